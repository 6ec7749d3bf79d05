/* A handler without queue, workers and network: one Lua state on the calling thread, whose
 * requests are answered by a function, and whose sleeps take no time. For `host test` and dry runs.
 *
 * One thread. Nothing outside is reached: tokens are made up, too. */
#ifndef OPS_REHEARSAL_H
#define OPS_REHEARSAL_H

#include "base/err.h"
#include "conf/conf.h"
#include "job.h"

#include <stdbool.h>

struct fetch_request;
struct fetch_played;
struct rehearsal;
struct vm;
struct vm_stage;

struct rehearsal_options {
    const struct conf *conf;
    const char *handler_path;
    const struct vm_stage *stage; /* it is a file of tests, or a tool; NULL: a handler */
    bool embedded;                /* it is one of the files in the binary */
    unsigned unwrap;              /* its messages: policy/envelope.h */
    void (*play)(void *arg, const struct fetch_request *q, struct fetch_played *answer);
    void *play_arg;
};

/* The token that every realm of Keycloak gives here. */
extern const char rehearsal_token[];

/* Where a handler finds Keycloak if the configuration names none. */
extern const char rehearsal_keycloak_url[], rehearsal_keycloak_realm[];

/* Loads the handler and runs its init. NULL with `e`: what, with file and line. The options'
 * strings must outlive it. */
struct rehearsal *rehearsal_new(const struct rehearsal_options *options, struct err *e);
void rehearsal_free(struct rehearsal *r);

/* Runs one message to its verdict, which then stands in the job; the job stays the caller's. */
void rehearsal_run(struct rehearsal *r, struct job *job);

struct vm *rehearsal_vm(struct rehearsal *r);

#endif
