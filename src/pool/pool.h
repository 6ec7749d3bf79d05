/* The pool of workers, seen from the core thread: all with the same handler, or, while it is
 * replaced, with two generations of it. Core thread only. */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include "base/err.h"
#include "net/fetch.h"
#include "seam.h"
#include "token.h"
#include "vm/vm.h"

struct bundle;
struct ev_loop;
struct metrics;
struct pool;

struct pool_options {
    int workers;           /* at the start */
    int most;              /* ever; 0: as many as at the start */
    struct vm_options vm;  /* slots in here; its strings must outlive the pool */
    struct bundle *bundle; /* what they start with; sealed. The pool takes a reference */
    struct fetch_options fetch;
    struct metrics *metrics; /* NULL: nothing is counted; workers write as 1, 2, … */
    int64_t stuck_ms; /* a worker that has not looked up for so long is stuck in C code; 0: never */
};

/* What pool_turn delivers. */
struct pool_events {
    void *arg;
    void (*verdicts)(void *arg, struct list *jobs);              /* takes them all */
    void (*ask_token)(void *arg, struct token_request *request); /* pool_token_answer */
    /* With `stuck_ms`. A worker is stuck: it is told to end, and the jobs that it has are its own;
     * verdicts may come late, or never. It may be given nothing more until `back`: another one is
     * ready in its place. `given_up`: none will be, the process should end. */
    void (*stuck)(void *arg, int worker);
    void (*back)(void *arg, int worker);
    void (*given_up)(void *arg);
};

/* Starts the threads. NULL: some could not be started; none is left running. */
struct pool *pool_new(struct ev_loop *loop, const struct pool_options *options,
                      const struct pool_events *events, struct err *e);

/* Delivers what has come; to be called after each turn of the loop. */
void pool_turn(struct pool *p);

/* READY: all are. FAILED: one could not load or init the handler; `e` has its words. */
enum pool_state { POOL_STARTING, POOL_READY, POOL_FAILED };
enum pool_state pool_state(struct pool *p, struct err *e);

/* What can be seen of a worker from outside. */
struct worker_view {
    const char *state;      /* "starting", "ready", "failed", "stuck" */
    bool fenced;            /* it is that */
    int64_t in_one_turn_ms; /* so long it has been at work without looking up; 0: it waits */
};
/* `worker` from 0; false: there is no such worker. */
bool pool_look(const struct pool *p, int worker, struct worker_view *view);

/* How many there should be, at most `most`: more are started, in the order of their numbers; those
 * with the highest numbers end, give their memory back, and must have nothing to do. One that
 * cannot be started is told in the log, and asked for again by the next call. */
void pool_want(struct pool *p, int workers);
int pool_usable(const struct pool *p);                 /* workers 0 … this are ready */
int64_t pool_cpu_us(const struct pool *p, int worker); /* of its thread so far; 0: there is none */

/* ---- a new generation of the handler (contract, section 4, Reload) ----
 *
 * It is tried out on a thread of its own: load, M.init, M.selftest. Then every worker prepares a
 * state with it, beside its messages. When all have, all go over to it, between messages; those in
 * progress end where they began. If one of these fails, nothing has changed. Workers that are
 * started later load the same bytes. */

/* Takes the reference over. The bundle is not sealed: loading it fills it. Only while none is
 * under way, and pool_two is false. -1 with `e`: no thread could be started. */
int pool_replace(struct pool *p, struct bundle *b, struct err *e);
enum pool_replacing {
    REPLACING_NONE,
    REPLACING_TRIAL,
    REPLACING_PREPARING, /* the workers do */
    REPLACING_DONE,      /* told once; then NONE */
    REPLACING_REFUSED,   /* told once; `e` has why */
};
enum pool_replacing pool_replacing(struct pool *p, struct err *e);
bool pool_two(const struct pool *p); /* messages of the generation before still run */

/* `count` is the most that there can be: only those that are usable may be given jobs. */
struct workers pool_seam(struct pool *p);
void pool_token_answer(struct pool *p, struct token_request *request);

int pool_stuck(const struct pool *p); /* workers that got stuck, so far */

/* Ends the threads; the last verdicts are delivered. Unless it is freed the process has to end by
 * _exit. */
enum pool_end {
    POOL_FREED,
    POOL_FENCED, /* not all have ended, and `stuck` was told of those */
    POOL_STUCK,  /* others did not end either */
};
enum pool_end pool_free(struct pool *p);

#endif
