/* HTTP server: libmicrohttpd on one libev loop. One instance per loop, used by that loop's
 * thread only. httpd.c and httpd_answer.c are the only users of microhttpd.h.
 *
 * Whole requests are collected while libmicrohttpd and libev work and handed out by
 * httpd_turn, which the loop's owner calls after each ev_run(loop, EVRUN_ONCE): so `request`
 * and `gone` run outside every callback of both libraries and may do what they like. The
 * answer may be given at once or later; meanwhile the connection sleeps, and costs nothing.
 *
 * What it refuses by itself: bodies over the limit (413), a Host that is neither an IP
 * address nor localhost (403: DNS rebinding), two of Host or Content-Length or one beside
 * Transfer-Encoding, escapes that are none (400). Who sends or reads too slowly is cut. */
#ifndef NET_HTTPD_H
#define NET_HTTPD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;
struct httpd;
struct httpd_request;

struct httpd_options {
    const char *listen;    /* "127.0.0.1:9324"; see net/listen.h */
    const char *unix_path; /* instead: a Unix socket, which takes any Host */
    bool allow_remote;     /* may listen on more than loopback; then any Host is taken */
    size_t max_body_bytes; /* of a request */
    int max_connections;   /* more wait unaccepted */
    int idle_s;            /* a connection without any traffic is closed after this */
    int exchange_s;        /* a request must be whole, and an answer taken, within this */
};

struct httpd_owner {
    void *arg;
    /* A whole request. The owner has it until it calls httpd_reply, or `gone` returns. */
    void (*request)(void *arg, struct httpd_request *r);
    /* The client of a request that waits for its answer has left: there is nobody to answer,
     * and `r` is no more after this call. */
    void (*gone)(void *arg, struct httpd_request *r);
};

/* Starts listening. NULL with `e`, whose code is listen_tcp's. */
struct httpd *httpd_new(struct ev_loop *loop, const struct httpd_options *options,
                        const struct httpd_owner *owner, struct err *e);
/* Cuts every connection; requests that wait for an answer are no more (no `gone`). Not to be
 * called from `request` or `gone`. */
void httpd_free(struct httpd *h);
void httpd_turn(struct httpd *h);

/* "127.0.0.1:40123": where it listens, the port written out; or the Unix socket's path. */
const char *httpd_name(const struct httpd *h);

const char *httpd_library(void); /* libmicrohttpd's version */

/* What the client sent; valid while the owner has the request. */
const char *httpd_method(const struct httpd_request *r);
const char *httpd_path(const struct httpd_request *r);     /* decoded: %2f is a slash here */
const char *httpd_raw_path(const struct httpd_request *r); /* as it came, without the query */
const char *httpd_query(const struct httpd_request *r);    /* as it came; "" without */
const char *httpd_body(const struct httpd_request *r, size_t *len); /* a NUL follows */
/* Value of the first header of that name (any case), or NULL. */
const char *httpd_header(const struct httpd_request *r, const char *name);
/* Walks all headers as they came: *at starts at 0. */
bool httpd_next_header(const struct httpd_request *r, size_t *at, const char **name,
                       const char **value);

/* Asks the socket whether the client is still there. For an answer that gives something away
 * (a lease): `gone` of a departure that just happened may not have come yet. */
bool httpd_client_here(const struct httpd_request *r);

struct httpd_header {
    const char *name, *value;
};

/* Answers, and gives the request back. `body` is copied; headers end with a NULL name, may be
 * NULL; those with an empty value are left out. Without memory, or with a header that no HTTP
 * allows (line breaks), the client gets a 500 or is cut. */
void httpd_reply(struct httpd_request *r, unsigned status, const struct httpd_header *headers,
                 const void *body, size_t len);

/* What servers do that break, for those who test clients. Both give the request back. */

/* As httpd_reply, but the connection ends after `sent` bytes of the body, while the head has
 * promised `len`. */
void httpd_reply_part(struct httpd_request *r, unsigned status, const struct httpd_header *headers,
                      const void *body, size_t len, size_t sent);
/* Closes the connection without an answer. */
void httpd_cut(struct httpd_request *r);

#endif
