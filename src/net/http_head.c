#include "net/http_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *http_head_find(const struct httpd_header *headers, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcasecmp(headers[i].name, name) == 0)
            return headers[i].value;
    return NULL;
}

static int occurrences(const struct httpd_header *headers, int count, const char *name)
{
    int found = 0;
    for (int i = 0; i < count; i++)
        found += strcasecmp(headers[i].name, name) == 0;
    return found;
}

/* A page of a foreign site can make a browser send requests here under its own name, never
 * under an address or localhost. */
static bool host_is_local(const char *host)
{
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    if (host[0] == '[')
        return strspn(host + 1, "0123456789abcdefABCDEF:.") == len - 1;
    if (strspn(host, "0123456789.") == len)
        return true;
    static const char local[] = "localhost";
    size_t n = sizeof local - 1;
    return len >= n && strncasecmp(host + len - n, local, n) == 0 &&
           (len == n || host[len - n - 1] == '.');
}

const char *http_head_check(const char *path, const struct httpd_header *headers, int count,
                            const struct http_head_limits *limits, unsigned *status)
{
    *status = 400;
    if (path[0] != '/')
        return "the path is no path: it starts with '/' and its escapes are %01 to %FF\n";
    int lengths = occurrences(headers, count, "Content-Length");
    if (occurrences(headers, count, "Host") > 1 || lengths > 1 ||
        (lengths && occurrences(headers, count, "Transfer-Encoding")))
        return "Host, or the body's length, is given twice\n";
    const char *host = http_head_find(headers, count, "Host");
    const char *length = http_head_find(headers, count, "Content-Length");
    *status = 403;
    if (host && !limits->any_host && !host_is_local(host))
        return "this server answers to IP addresses and localhost only, not to that Host\n";
    *status = 413;
    if (length && strtoull(length, NULL, 10) > limits->max_body_bytes)
        return "the body is too large\n";
    return NULL;
}
