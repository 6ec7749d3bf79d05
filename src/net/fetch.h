/* HTTP client: libcurl's multi interface on one libev loop. One instance per loop, used by
 * that loop's thread only. The only user of curl.h.
 *
 * Completions are collected while libcurl and libev work and delivered by fetch_turn, which
 * the loop's owner calls after each ev_run(loop, EVRUN_ONCE): so `done` runs outside every
 * callback of both libraries and may start, cancel and resume what it likes.
 *
 * A request that is not `repeatable` reaches the server at most once: libcurl's silent repeat
 * on a dying reused connection is made impossible (reference: libcurl-libev, section 4). */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct fetch;
struct fetch_call;

struct fetch_request;
struct fetch_played;

struct fetch_options {
    const char *ca_file;    /* NULL: the system's */
    int connect_timeout_ms; /* default for requests that do not say */
    int idle_connection_s;  /* a kept connection older than this is not used again (20-30) */
    long max_connections;   /* kept open; at least the calls at once */
    /* Tests and dry runs: nothing goes to the network. Called by fetch_start, after its checks;
     * what it fills in is delivered by the next fetch_turn. NULL: the network answers. */
    void (*play)(void *arg, const struct fetch_request *q, struct fetch_played *answer);
    void *play_arg;
};

/* Once, before any thread: libcurl's global state, SIGPIPE ignored. */
int fetch_global_init(struct err *e);

const char *fetch_library(void); /* libcurl's own words on its version */

struct fetch *fetch_new(struct ev_loop *loop, const struct fetch_options *options, struct err *e);
/* Cancels what is open (its `done` is not called). */
void fetch_free(struct fetch *f);
void fetch_turn(struct fetch *f);

enum fetch_result {
    FETCH_OK,            /* an answer came, whatever its status */
    FETCH_NO_CONNECTION, /* name, connection (its timeout too), TLS handshake: nothing of the
                          * request was sent */
    FETCH_TIMEOUT,       /* timeout_ms are over; see `sent` */
    FETCH_CUT,           /* connection lost before the answer was whole */
    FETCH_TOO_BIG,       /* answer over max_body_bytes */
    FETCH_FAILED,        /* anything else; see error */
};

struct fetch_response {
    enum fetch_result result;
    bool sent;        /* some of the request may have reached the server */
    bool repeated;    /* libcurl sent it once more: the first may have been executed, too */
    int status;       /* 0 without an answer */
    const char *body; /* NUL follows; valid during `done` */
    size_t body_len;
    const char *error; /* words for people, with libcurl's own; "" if FETCH_OK */
    int64_t elapsed_us;
    int64_t first_byte_ms;  /* CLOCK_BOOTTIME of the answer's first byte; 0 without */
    const struct buf *head; /* raw header lines; use fetch_header, fetch_next_header */
};

/* What `play` answers: FETCH_OK with the rest, or how the request failed. */
struct fetch_played {
    enum fetch_result result;
    bool sent; /* the server may have executed it */
    int status;
    struct buf head; /* "Name: value" CR LF, each; empty at first */
    struct buf body;
    char words[128]; /* of a failure */
};

typedef void fetch_done(void *arg, const struct fetch_response *r);

struct fetch_request {
    const char *method;
    const char *url;       /* http or https */
    const char *unix_path; /* the server's Unix socket, whatever host the URL names; NULL: TCP */
    const char *const *headers; /* "Name: value", NULL-terminated; copied. May be NULL. Not
                                 * Content-Length, Transfer-Encoding, Expect: those are fetch's */
    const void *body;           /* must stay until `done` or cancel */
    size_t body_len;
    int timeout_ms;         /* whole request; more than 0 */
    int connect_timeout_ms; /* 0: the default */
    size_t max_body_bytes;  /* 0: 64 MiB */
    bool repeatable;        /* may be sent again by libcurl on a dead kept connection */
    fetch_done *done;
    void *arg;
};

/* NULL with `e` filled: bad URL, method or header, no memory. `done` comes by fetch_turn
 * otherwise. */
struct fetch_call *fetch_start(struct fetch *f, const struct fetch_request *request, struct err *e);
/* `done` will not come; the call is gone. Inside the call's own `done` it does nothing; not to
 * be used once that has returned. */
void fetch_cancel(struct fetch_call *call);

/* Copies the value of the first header of that name (case-insensitive) into `out`; false if
 * it is not there, or does not fit. */
bool fetch_header(const struct fetch_response *r, const char *name, char *out, size_t size);

/* Walks the headers of the last answer block: *at starts at 0. Names and values are not
 * NUL-terminated. */
bool fetch_next_header(const struct fetch_response *r, size_t *at, const char **name,
                       size_t *name_len, const char **value, size_t *value_len);

/* What the server asks for in Retry-After, at most a day; -1: nothing, nothing that can be read, or
 * nothing in the future. A date is compared with the answer's own Date where it has one: the clocks
 * of two machines differ. */
int64_t fetch_retry_after_ms(const struct fetch_response *r);

/* "scheme://host:port" of a URL, with the default port written out and the host folded to
 * lower case; -1 if it is no http(s) URL. */
int fetch_origin(const char *url, char *out, size_t size);

#endif
