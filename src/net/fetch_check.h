/* The part of fetch that needs no libcurl: what it refuses to send (a request that libcurl
 * would read otherwise than its caller, or that could carry a second one inside), and its
 * words for what went wrong. Pure functions; any thread. Inside net/ only. */
#ifndef NET_FETCH_CHECK_H
#define NET_FETCH_CHECK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* An http(s) URL in pieces; they point into it. */
struct fetch_parts {
    bool https;
    const char *host; /* IPv6 with its brackets */
    size_t host_len;
    const char *port; /* digits; NULL: the scheme's */
    size_t port_len;
};

/* -1 with `e`: no http(s) URL, credentials inside, or bytes that should be percent-encoded.
 * What passes has one reading only, so that a check of the origin holds for libcurl too. */
int fetch_check_url(const char *url, struct fetch_parts *parts, struct err *e);

/* localhost, 127.*, [::1]: never by a proxy. */
bool fetch_parts_loopback(const struct fetch_parts *parts);

/* An HTTP token of at most FETCH_METHOD_MAX bytes. */
enum { FETCH_METHOD_MAX = 31 };
int fetch_check_method(const char *method, struct err *e);

/* "Name: value". Fills in the length of the name, and whether the value is empty. -1 with `e`
 * for a line break or other control character, a name that is no token, or one of the headers
 * that frame the request and are therefore fetch's own. */
int fetch_check_header(const char *line, size_t *name_len, bool *empty, struct err *e);

bool fetch_has_header(const char *const *headers, const char *name);

/* The ways in which libcurl sends a request; the method's name may differ. */
enum fetch_mode { FETCH_MODE_NONE, FETCH_MODE_GET, FETCH_MODE_HEAD, FETCH_MODE_BODY };
enum fetch_mode fetch_mode_of(const char *method, size_t body_len);

/* Sets r->error from r->result: words for people, in `out`. */
struct fetch_response;
struct fetch_story {
    const char *url;
    const char *detail; /* the library's words */
    int timeout_ms;
    size_t max_body_bytes;
};
void fetch_explain(struct fetch_response *r, const struct fetch_story *s, char *out, size_t size);

#endif
