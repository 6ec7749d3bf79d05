/* The seven interfaces through which flow/ reaches everything outside itself: queue, pool,
 * store, shared store, timers, clock, random. The product stands behind them with aws/, pool/,
 * policy/ and libev; the simulator with models. Core thread only.
 *
 * Calls that take time are objects of the caller's with a `done` callback, which comes from
 * the loop, never from inside the call that started it. A start that returns -1 has failed at
 * once (no memory, too large) with `result` filled in, and `done` will not come. */
#ifndef SEAM_H
#define SEAM_H

#include "base/list.h"
#include "job.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- queue -------------------------------------------------------------------------- */

enum queue_status {
    QUEUE_OK,
    QUEUE_UNREACHABLE, /* no connection, no answer in time, answer cut: it may have happened */
    QUEUE_BUSY,        /* throttled, 5xx, over limit: later */
    QUEUE_MISSING,     /* no such queue */
    QUEUE_DENIED,      /* credentials refused or no permission */
    QUEUE_FAULT,       /* anything else: text says what; retried slowly */
};

struct queue_result {
    enum queue_status status;
    int http_status;        /* 0: no answer */
    bool unheard;           /* one that was sent had no answer: that one may have happened */
    char code[64];          /* SQS's normalised error code, or "" */
    char text[512];         /* for people: what, where, what to do; "" if QUEUE_OK */
    int64_t retry_after_ms; /* the server's wish; -1: none */
};

enum { QUEUE_BATCH_MAX = 10, QUEUE_HANDLE_MAX_BYTES = 4096, QUEUE_ATTEMPT_BYTES = 33 };

struct queue_receive {
    int max;    /* 1-10 */
    int wait_s; /* 0-20 */
    int visibility_s;
    /* FIFO: ReceiveRequestAttemptId, 32 hex digits; "" on a standard queue. Asked for again with
     * it, what the lost answer carried is handed out once more, under leases that begin anew. */
    char attempt[QUEUE_ATTEMPT_BYTES];
    void (*done)(struct queue_receive *);
    struct queue_result result;
    struct list jobs;      /* struct job by `node`; `done` takes them all */
    int64_t first_byte_ms; /* CLOCK_BOOTTIME: the leases start here (architecture, step 7) */
    void *call;            /* the implementation's; NULL when idle */
};

struct queue_entry {
    const char *handle; /* the caller's, stays until `done` */
    int visibility_s;   /* QUEUE_CHANGE only */
    void *tag;          /* the caller's */
    /* Answered, if the batch's result is QUEUE_OK: an entry in neither list of the answer is a
     * failure that is not the sender's fault. */
    bool ok;
    bool sender_fault;
    char code[64];
    char text[160];
};

enum queue_op { QUEUE_DELETE, QUEUE_CHANGE };

struct queue_batch {
    enum queue_op op;
    int count; /* 1-10 */
    struct queue_entry entries[QUEUE_BATCH_MAX];
    void (*done)(struct queue_batch *);
    struct queue_result result;
    int64_t sent_ms; /* CLOCK_BOOTTIME when it was handed to the network: extensions start here */
    void *call;
};

/* A copy of a message on the dead-letter queue: its body, attributes and trace, and what became of
 * it as one attribute `host.failure` (contract, section 4). */
struct queue_copy {
    const struct job *job; /* the message and the last verdict on it; the caller's, until `done` */
    const char *stuck;     /* static: why there is no verdict, and none is read; NULL: there is */
    bool exhausted;        /* it ran out of attempts; otherwise its handler rejected it */
    bool bare;             /* without host.failure: with it the queue refused it */
    int64_t wall_ms;       /* when */
    void (*done)(struct queue_copy *);
    /* QUEUE_OK: the dead-letter queue has confirmed it. QUEUE_UNREACHABLE: it may have it. */
    struct queue_result result;
    void *call;
};

struct queue_ops {
    int (*receive)(void *self, struct queue_receive *);
    void (*cancel)(void *self, struct queue_receive *); /* `done` will not come */
    int (*batch)(void *self, struct queue_batch *);
    int (*copy)(void *self, struct queue_copy *);
};
struct queue {
    const struct queue_ops *ops;
    void *self;
};

/* ---- pool --------------------------------------------------------------------------- */

struct pool_ops {
    /* Hands all jobs of the list to one worker; the list is empty afterwards. Verdicts come
     * home in lists through the callback that the pool was made with. */
    void (*run)(void *self, int worker, struct list *jobs);
    /* Asks the worker to end this job's task if it can; the verdict still comes home. Set
     * job->fence first. */
    void (*cancel)(void *self, struct job *job);
};
struct workers {
    const struct pool_ops *ops;
    void *self;
    int count; /* workers, numbered from 0 */
    int slots; /* of each */
};

/* ---- store: what dedupe remembers ------------------------------------------------------ */

enum claim { CLAIM_NEW, CLAIM_DONE, CLAIM_NO_MEMORY };

/* This process's memory of what was acked. Which key is in hand is the flow's own business. */
struct store_ops {
    /* Before a run. CLAIM_DONE: acked before with the same body hash, while it is remembered.
     * CLAIM_NEW: a place is kept, so that `done` cannot fail; `done` or `free` follows. */
    enum claim (*claim)(void *self, const struct job *job, const char *key, uint64_t body_hash);
    void (*done)(void *self, const struct job *job, const char *key,
                 uint64_t body_hash);                /* at the ack verdict */
    void (*free)(void *self, const struct job *job); /* failed, or given back unrun */
};
struct store {
    const struct store_ops *ops;
    void *self;
};

/* ---- shared store: claims that several hosts see ------------------------------------------ */

/* Behind the memory above, and only if one is configured. One record a key: who has claimed it
 * (a token) and until when, and which bodies were acked under it lately. */
enum shared_op {
    /* Takes the key for the token, for `for_ms` from now; renews what the token has already, be
     * it by an earlier call whose answer was lost. Never takes what another token holds. */
    SHARED_CLAIM,
    /* Acked: the body is remembered under the key for `for_ms`, whoever has the claim now (a run
     * may be unfenced, or have outlived its claim); the claim ends if it is the token's. Repeated
     * after a lost answer it is SHARED_OK again. */
    SHARED_DONE,
    /* Failed, or given back unrun: the claim ends if it is the token's, else nothing changes, and
     * that is SHARED_OK too. What was acked stays remembered. */
    SHARED_FREE,
};

enum shared_answer {
    SHARED_OK,
    SHARED_ACKED, /* CLAIM: acked before with the same body, and remembered: not claimed */
    SHARED_HELD,  /* CLAIM: somebody else's, for at most `wait_ms` more unless it is renewed */
    SHARED_AWAY,  /* no answer, answer cut, throttled, 5xx: it may have happened */
    SHARED_FAULT, /* a person must act: no such table, other keys, denied. Nothing happened */
};

enum { SHARED_TOKEN_BYTES = 33 };

struct shared_call {
    struct list node; /* the caller's until the start, then the implementation's */
    enum shared_op op;
    /* Read during the start only. The key is UTF-8 of any length up to a message's: the store
     * shortens what it cannot hold, and keeps keys of different queues apart. Bodies are compared
     * by a hash that cannot be forged and is the same on every host; of a key's acked bodies at
     * least the last few are remembered. */
    const char *key;
    const char *body; /* CLAIM, DONE */
    size_t body_len;
    char token[SHARED_TOKEN_BYTES]; /* of this host's claim: 32 hex digits, random */
    int64_t for_ms;                 /* CLAIM, DONE */
    void (*done)(struct shared_call *);
    enum shared_answer answer;
    /* CLAIM: CLOCK_BOOTTIME from which `for_ms` counts, never later than the store's own
     * reckoning. Expiries are set and judged by one clock, as near as the store gets to that. */
    int64_t sent_ms;
    int64_t wait_ms; /* HELD: what is left of it. AWAY: the store's wish. -1: unknown */
    char text[320];  /* AWAY, FAULT: for people: what, where, what to do */
    void *call;      /* the implementation's; NULL when idle */
};

struct shared_ops {
    /* Starts the calls of the list, by `node`; how many share a request is the store's decision.
     * One key has at most one call open. What cannot be started at all (no memory) stays in the
     * list, with its answer, and its `done` will not come. A call takes at most `timeout_ms`,
     * tries of its own included. Freeing the store forgets the open ones: their `done` does not
     * come, the caller still owns them. */
    void (*start)(void *self, struct list *calls);
};
struct shared {
    const struct shared_ops *ops; /* NULL: there is none, dedupe is this process's own */
    void *self;
    int64_t timeout_ms;
};

/* ---- timers, clock, random --------------------------------------------------------------- */

struct timer {
    void (*fire)(struct timer *);
    bool armed;
    _Alignas(8) unsigned char impl[64]; /* the implementation's; zero before first use */
};
struct timer_ops {
    void (*arm)(void *self, struct timer *t, int64_t delay_ms); /* again: moves it */
    void (*stop)(void *self, struct timer *t);                  /* unarmed: nothing */
};
struct timers {
    const struct timer_ops *ops;
    void *self;
};

struct clock_ops {
    int64_t (*boot_ms)(void *self);
    int64_t (*wall_ms)(void *self);
};
struct clock {
    const struct clock_ops *ops;
    void *self;
};

struct random_ops {
    uint64_t (*next)(void *self);
};
struct random {
    const struct random_ops *ops;
    void *self;
};

struct seam {
    struct queue queue;
    struct workers workers;
    struct store store;
    struct shared shared;
    struct timers timers;
    struct clock clock;
    struct random random;
};

#endif
