/* A handler without queue and workers: one Lua state on the calling thread. For `host test` and
 * `host invoke`. Unless it is live, its requests are answered by a function, its sleeps take no
 * time, and its tokens are made up: nothing outside is reached. */
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
struct vm_wait;

struct rehearsal_options {
    const struct conf *conf;
    const char *handler_path;
    const struct vm_stage *stage; /* it is a file of tests, or a tool; NULL: a handler */
    bool embedded;                /* it is one of the files in the binary */
    unsigned unwrap;              /* its messages: policy/envelope.h */
    /* NULL: the network answers, sleeps take their time, and tokens are Keycloak's own. */
    void (*play)(void *arg, const struct fetch_request *q, struct fetch_played *answer);
    void *play_arg;
    void (*waited)(void *arg, const struct vm_wait *wait); /* vm/vm.h; NULL: nobody asks */
    void *waited_arg;
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
