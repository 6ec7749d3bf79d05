/* The simulator: shipped flow/ and policy/ under a simulated queue, workers, store, timers, clock
 * and randomness, all driven by one seed. One thread; time moves only when nothing is due.
 *
 * What is checked reads the models in here, never the program's own tables. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/list.h"
#include "base/rand.h"
#include "flow/flow.h"
#include "policy/dedupe.h"
#include "seam.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOSTS_MAX = 4, WORKERS_MAX = 8 };

/* Faults that a seed switches on, each drawn for itself: most runs lack some of them. */
#define FAULTS(X)                                                                                  \
    X(receive_lost)    /* never reached the queue */                                               \
    X(receive_unheard) /* executed, answer lost: counts burn, messages hide */                     \
    X(receive_late)    /* the answer takes long, perhaps longer than the lease */                  \
    X(receive_busy)    /* 5xx or throttled */                                                      \
    X(duplicate)       /* handed out while hidden */                                               \
    X(batch_lost)                                                                                  \
    X(batch_unheard) /* executed, answer lost */                                                   \
    X(batch_late)                                                                                  \
    X(batch_busy)                                                                                  \
    X(entry_failed)  /* one entry, not the sender's fault */                                       \
    X(entry_missing) /* one entry in neither list of the answer */                                 \
    X(slow_handler)  /* longer than the lease */                                                   \
    X(handler_error)                                                                               \
    X(handler_reject)                                                                              \
    X(target_down) /* for a while every run fails by the target */                                 \
    X(crash)       /* a host dies and comes back without its memory */                             \
    X(restart)     /* a host drains and comes back */                                              \
    X(hurry)       /* a second signal during the drain */                                          \
    X(pause)       /* a host stands still, then believes its old leases */                         \
    X(queue_away)  /* for a while nothing reaches the queue */

enum fault {
#define X(name) FAULT_##name,
    FAULTS(X)
#undef X
        FAULT_COUNT
};

/* What is checked, in the words of contract section 5. */
#define INVARIANTS(X)                                                                              \
    X(no_loss)    /* deleted only after an ack */                                                  \
    X(one_runner) /* an id in one slot of a process at a time */                                   \
    X(once)       /* acked is not run again by the same process */                                 \
    X(lease)      /* in hand is hidden, unless an extension failed */                              \
    X(newest)     /* no call uses a handle older than one its host has heard of */                 \
    X(ordered)    /* a settlement is not on the wire beside an extension of the same message */    \
    X(outage)     /* no receive while the host knows its target is down; one probe */              \
    X(slots)      /* never more running than slots */                                              \
    X(drain)      /* no receive after it began; nothing left in hand when it says so */            \
    X(wire)       /* a message with a request on the wire is not shown to others */                \
    X(settled)    /* with the faults off everything is settled within a bound */                   \
    X(clean)      /* every job made is freed */

enum invariant {
#define X(name) INV_##name,
    INVARIANTS(X)
#undef X
        INV_COUNT
};

struct host;

/* A message as the queue knows it. */
struct record {
    int number;
    char id[24];
    int receives;
    int64_t visible_ms;  /* hidden until then */
    int64_t received_ms; /* newest receive; 0: never */
    uint64_t handle;     /* newest; grows */
    bool deleted;
    bool acked;          /* some handler's ack has been delivered to a flow */
    bool poison;         /* its handler always fails until the faults are off */
    struct list visible; /* in queue.ready or queue.hidden */
    struct host *holder; /* last host that was answered with it */
    uint64_t holder_life;
    uint64_t heard;        /* newest handle that its holder has been told */
    bool excused;          /* a fault since then lets its lease lapse */
    struct host *extender; /* who has an extension of it on the wire */
    uint64_t extender_life;
    uint64_t extender_handle;
    int64_t wire_until_ms; /* a request for it may be at the target until then */
};

struct run {
    struct list node; /* in host.running */
    struct host *host;
    struct job *job;
    struct record *record;
    bool sent;
    bool probe; /* began while its host knew that the target is down */
};

struct host {
    int index;
    bool up;
    bool draining;
    uint64_t life; /* grows at each start; events of an older life are dropped */
    int64_t asleep_until_ms;
    int workers, slots;
    int busy[WORKERS_MAX];
    struct list running;
    struct list calls; /* struct call, on the wire */
    struct flow *flow;
    struct dedupe *dedupe;
    bool down_known; /* it has heard that the target failed */
    int probes;
    bool ended;
    enum flow_end end;
    uint8_t *acked; /* per record: acked in this life */
};

struct event {
    int64_t at_ms;
    uint64_t shuffle; /* what happens at once happens in an order of the seed's */
    uint64_t order;
    void (*happen)(void *arg, uint64_t number);
    void *arg;
    uint64_t number;
    struct host *host; /* NULL: the world's own */
    uint64_t life;
};

struct world {
    uint64_t seed;
    int64_t now_ms;
    int64_t faults_end_ms;
    struct event *heap;
    size_t events, room;
    uint64_t order;
    struct rng shuffle, load, fault, handler, host_random;
    bool enabled[FAULT_COUNT];
    int visibility_s;
    double retry_cap_s;

    struct record *records;
    int count;
    struct list ready;  /* visible */
    struct list hidden; /* by visible_ms */
    int deleted;
    bool target_down;
    bool queue_away;

    struct host hosts[HOSTS_MAX];
    int host_count;
    int64_t jobs_made, jobs_freed;
    uint64_t log_hash;
    int64_t steps;
};

extern struct world sim;
extern int64_t fault_hits[FAULT_COUNT];
extern int64_t checks[INV_COUNT];
extern const char *const fault_names[FAULT_COUNT];
extern const char *const invariant_names[INV_COUNT];

/* world.c: time and chance. */
void later(int64_t delay_ms, struct host *host, void (*happen)(void *, uint64_t), void *arg,
           uint64_t number);
bool step(void); /* false: nothing is left to happen */
int64_t between(struct rng *r, int64_t low, int64_t high);
bool chance(struct rng *r, int per_mille);
bool strikes(enum fault f, int per_mille); /* only while faults are on */
void note(uint64_t what, uint64_t which);  /* into the log's hash */
extern int watched; /* the number of the message whose life is told; -1: none */
void tell(const struct record *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* check.c: counts the check; ends the run with words when it fails. */
void check(enum invariant i, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* queue.c */
void queue_fill(int count);
struct queue queue_for(struct host *h);
void queue_forget_calls(struct host *h);
void queue_forget_events(void);
struct record *record_of(const char *id);

/* pool.c */
struct workers workers_for(struct host *h);
void workers_forget(struct host *h);

/* host.c */
void host_start(struct host *h);
void host_trouble(void *arg, uint64_t number); /* the events that crash, restart, pause hosts */
void host_crash(struct host *h);
void host_free(struct host *h);
bool host_asleep(struct host *h);

#endif
