/* OAuth access tokens, fetched on the core thread: one per auth realm for the whole process,
 * one request at a time, used until a margin before they expire. Core thread only.
 *
 * Sources: RFC 6749 section 4.4; Keycloak's token endpoint (reference: keycloak, section 1). */
#ifndef OPS_TOKENS_H
#define OPS_TOKENS_H

#include "base/err.h"
#include "net/fetch.h"
#include "token.h"

#include <stdbool.h>

struct ev_loop;
struct metrics;
struct tokens;

struct tokens_options {
    const char *keycloak_url; /* NULL: not configured, every request fails with words */
    const char *client_id;
    const char *client_secret;      /* given directly, or NULL */
    const char *client_secret_file; /* read again at each fetch, so that a rotated one is found */
    int timeout_ms;
    struct metrics *metrics; /* NULL: nothing is counted */
    int writer;              /* of its metrics */
};

struct tokens_events {
    void *arg;
    void (*answer)(void *arg, struct token_request *request); /* filled in; goes home */
    /* For the realm that tokens_warm watches: can a token be had? */
    void (*down)(void *arg, const char *target, const char *why);
    void (*up)(void *arg, const char *target);
};

/* The options' strings must outlive it. NULL with `e`: no memory, or no usable URL. */
struct tokens *tokens_new(struct ev_loop *loop, struct fetch *fetch,
                          const struct tokens_options *options, const struct tokens_events *events,
                          struct err *e);
void tokens_free(struct tokens *t); /* requests that wait are answered with an error */

/* Answers by events.answer, perhaps at once. */
void tokens_request(struct tokens *t, struct token_request *request);

/* Fetches this realm's token now, and again every few seconds until it has come: so that a
 * Keycloak that is away, or refuses the secret, is known before a message is received. */
void tokens_warm(struct tokens *t, const char *realm);
bool tokens_tried(const struct tokens *t); /* tokens_warm's first try has ended, well or badly */

#endif
