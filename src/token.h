/* An OAuth access token and the request for one, which a worker sends to the core thread.
 *
 * The core fetches one token per auth realm for the whole process (ops/tokens). A worker
 * keeps the last token of a realm and asks again when it is about to expire, or when a server
 * refused it: then `stale` is that token's number, and the core drops it only if it is still
 * the newest (a 401 drops only the token it used). */
#ifndef TOKEN_H
#define TOKEN_H

#include "base/err.h"
#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct token {
    atomic_int refs;
    uint64_t number;    /* grows with each fetch; never 0 */
    int64_t refresh_ms; /* CLOCK_BOOTTIME from which it should not be used: margin applied */
    char text[];
};

struct token *token_new(const char *text, uint64_t number, int64_t refresh_ms); /* refs = 1 */
struct token *token_ref(struct token *t);
void token_unref(struct token *t); /* NULL is fine */

/* Made by the vm, travels to the core and back, freed by the vm. */
struct token_request {
    struct list node;
    int worker;
    uint32_t serial; /* of the bundle that asks: a worker may have two for a while */
    void *task;      /* the vm's; with its generation the vm tells a late answer */
    uint64_t task_generation;
    char realm[256]; /* auth realm */
    uint64_t stale;  /* number of a token that a server refused; 0: none */
    /* The answer: a token (one reference, the vm's), or an error. */
    struct token *token;
    struct err error;
    bool target_failed; /* Keycloak away or the token refused; always so but for no memory */
    char target[128];
};

#endif
