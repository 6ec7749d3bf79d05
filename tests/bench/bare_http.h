/* libcurl's multi interface on the default libev loop, for the bare loop: POST only, pooled
 * handles with their constant options set once. `done` is called by http_turn, outside of
 * both libraries' callbacks. Failure ends the program: the yardstick has no error handling. */
#ifndef BENCH_BARE_HTTP_H
#define BENCH_BARE_HTTP_H

#include <stddef.h>

struct curl_slist;

struct http_post {
    const char *url;
    struct curl_slist *headers; /* the caller's, until done */
    const char *body;           /* the caller's, until done */
    size_t body_len;
    long timeout_ms;
    void (*done)(void *arg, long status, const char *body, size_t body_len);
    void *arg;
};

void http_init(void);
void http_free(void);
void http_start(const struct http_post *post);
void http_turn(void);

/* Ends the program with words on stderr. */
_Noreturn void fail(const char *what);

#endif
