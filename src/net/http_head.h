/* What a server refuses by the head of a request alone: libmicrohttpd takes two Hosts, two
 * lengths, and any Host. Any thread. */
#ifndef NET_HTTP_HEAD_H
#define NET_HTTP_HEAD_H

#include "net/httpd.h"

#include <stdbool.h>
#include <stddef.h>

struct http_head_limits {
    bool any_host; /* false: IP addresses and localhost only */
    size_t max_body_bytes;
};

/* `path` is decoded, "" if that failed. NULL: nothing is wrong; else words for the client, and
 * `status`. */
const char *http_head_check(const char *path, const struct httpd_header *headers, int count,
                            const struct http_head_limits *limits, unsigned *status);

/* Value of the first header of that name (any case), or NULL. */
const char *http_head_find(const struct httpd_header *headers, int count, const char *name);

#endif
