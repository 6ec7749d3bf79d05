/* A worker: one thread with its own loop, HTTP client and Lua state. The pool starts and stops
 * it; between those the two speak through mailboxes only. */
#ifndef POOL_WORKER_H
#define POOL_WORKER_H

#include "base/err.h"
#include "net/mailbox.h"
#include "net/fetch.h"
#include "pool/generation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum worker_state { WORKER_STARTING, WORKER_READY, WORKER_FAILED };

/* Where a worker's mail goes; the same for all workers of a pool. */
struct worker_home {
    struct mailbox *verdicts; /* struct job by node */
    struct mailbox *tokens;   /* struct token_request by node: questions */
    struct ev_loop *loop;
    ev_async *state_changed; /* a worker became ready or failed */
};

struct worker {
    int index;
    bool live; /* core thread: it was started, and not joined yet */

    /* The core's, of stuck.c. */
    bool fenced;           /* it is stuck in C code, or was: it ends when it comes back */
    int64_t seen_since_ms; /* its heartbeat at the last look, unmoved for so long */
    int64_t unmoved_ms;
    struct worker *older;

    pthread_t thread;
    const struct vm_options *vm_options; /* all but what is the bundle's */
    struct bundle *bundle;               /* the core's reference: to start with */
    bool trial; /* it only tries the handler out, and ends: ready, or failed */
    struct fetch_options fetch_options;
    struct cache *cache;     /* of all workers */
    struct metrics *metrics; /* NULL: nothing is counted */
    int writer;              /* of them */
    struct worker_home home;

    /* From the core. */
    struct mailbox jobs;
    struct mailbox tokens; /* answers */
    ev_async nudge;        /* `stop`, `cancels` or something of `handler` was set */
    atomic_bool stop;
    atomic_bool cancels; /* look for fenced jobs */

    /* To the core: `error` is written before `state`. */
    atomic_int state;
    struct err error;
    atomic_bool done; /* the thread has ended */

    /* Its heartbeat, to whoever looks: when this turn's work began, CLOCK_BOOTTIME; 0: it waits for
     * events. */
    _Atomic int64_t busy_since_ms;

    /* The thread's own. */
    struct ev_loop *loop;
    ev_prepare waits; /* these two set the heartbeat */
    ev_check wakes;
    struct fetch *fetch;
    struct generations handler; /* in part the core's */
    unsigned told;              /* of the handler's news */
    struct list verdicts;       /* of this turn */
    struct list questions;      /* of this turn */
    struct job **open;          /* by slot; NULL: free */
    struct metric *memory;
};

/* Core thread. -1: nothing was started. */
int worker_start(struct worker *w, struct err *e);
void worker_nudge(struct worker *w);
/* After `stop`: false if the thread did not end within `wait_ms` (it is stuck in C code); then
 * nothing of it may be freed. */
bool worker_join(struct worker *w, int wait_ms);

#endif
