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

/* RESTART_MS: in which a host that has left by itself, its queue being empty, comes again. */
enum { RESTART_MS = 10000 };
enum { HOSTS_MAX = 4, WORKERS_MAX = 8, ARRIVALS_MS = 30000, WIRE_MARGIN_MS = 1000 };

/* Faults that a seed switches on, each drawn for itself: most runs lack some of them. The number
 * is how often it must have struck in a thousand seeds for a run to count (check.c): half of what
 * is usual, a quarter of what is rare. */
#define FAULTS(X)                                                                                  \
    X(receive_lost, 500)    /* never reached the queue */                                          \
    X(receive_unheard, 400) /* executed, answer lost: counts burn, messages hide */                \
    X(receive_late, 200)    /* the answer takes long, perhaps longer than the lease */             \
    X(receive_busy, 500)    /* 5xx or throttled */                                                 \
    X(duplicate, 3000)      /* handed out while hidden */                                          \
    X(batch_lost, 600)                                                                             \
    X(batch_unheard, 600) /* executed, answer lost */                                              \
    X(batch_late, 300)                                                                             \
    X(batch_busy, 600)                                                                             \
    X(copy_lost, 70)                                                                               \
    X(copy_unheard, 60) /* the dead-letter queue has it, the answer is lost */                     \
    X(copy_late, 50)                                                                               \
    X(copy_busy, 60)                                                                               \
    X(copy_denied, 400)   /* for good: no such dead-letter queue, or no permission */              \
    X(redrive, 100)       /* received too often: the queue itself moves it */                      \
    X(call_refused, 190)  /* could not even be started */                                          \
    X(entry_failed, 1100) /* one entry, not the sender's fault */                                  \
    X(entry_missing, 300) /* one entry in neither list of the answer */                            \
    X(no_memory, 190)     /* an allocation of the flow's fails */                                  \
    X(slow_handler, 1000) /* longer than the lease */                                              \
    X(handler_error, 1600)                                                                         \
    X(handler_after, 600) /* an error that says when to come again */                              \
    X(handler_reject, 1200)                                                                        \
    X(target_down, 5000)    /* for a while every run fails by the target */                        \
    X(target_breaker, 3000) /* a message that its target fails, and no other */                    \
    X(token_away, 500)      /* for a while no token can be had: the target is down by hearsay */   \
    X(held, 500)            /* an operator pauses the intake */                                    \
    X(crash, 500)           /* a host dies and comes back without its memory */                    \
    X(restart, 600)         /* a host drains and comes back */                                     \
    X(hurry, 30)            /* a second signal during the drain */                                 \
    X(pause, 300)           /* a host stands still, then believes its old leases */                \
    X(stuck, 180)           /* a worker does not come back from its handler */                     \
    X(queue_away, 300)      /* for a while nothing reaches the queue */                            \
    X(store_lost, 350)                                                                             \
    X(store_unheard, 500)                                                                          \
    X(store_late, 200)                                                                             \
    X(store_after_all, 450) /* carried out after its sender has given up */                        \
    X(store_busy, 1300)                                                                            \
    X(store_away, 2500) /* for a while nothing reaches the shared store, or it denies everything   \
                         */

enum fault {
#define X(name, least) FAULT_##name,
    FAULTS(X)
#undef X
        FAULT_COUNT
};

/* What is checked, in the words of contract section 5; the number as for the faults. */
#define INVARIANTS(X)                                                                              \
    X(no_loss, 200000) /* deleted only after an ack, or once a copy was confirmed */               \
    X(unrun,                                                                                       \
      2000) /* no dead letter but for a rejecting run, or a failed one at the last receive */      \
    X(copied, 3000)       /* a dead letter is copied at once, and again until it is confirmed */   \
    X(one_runner, 800000) /* an id in one slot of a process at a time */                           \
    X(once, 5000)         /* acked is not run again by the same process while remembered */        \
    X(remembered, 100000) /* done is remembered at an ack, and at nothing else */                  \
    X(forgotten, 1600)    /* no place is kept for a failed key */                                  \
    X(claimed, 30000)     /* nothing runs without a claim, unless the store is away and it may */  \
    X(claims, 70000)      /* one host at a time has a claim on a key and runs it */                \
    X(recorded, 4000)     /* the store is told of an ack before the queue is told to delete */     \
    X(freed, 3000)        /* and of a failure */                                                   \
    X(waits, 30)          /* no receive while the store is away and nothing may run without it */  \
    X(in_order, 60000)  /* of a FIFO group one runs, once all before it are gone from the queue */ \
    X(in_place, 14000)  /* a failed one of a group runs again after its backoff, the rest wait */  \
    X(handed_on, 40000) /* what waits for a key waits for one that is in hand */                   \
    X(lease, 400000)    /* in hand is hidden, unless an extension failed */                        \
    X(kept, 110000)     /* nothing in hand is let go of without a word to the queue */             \
    X(newest, 120000)   /* no call uses a handle older than one its host has heard of */           \
    X(ordered, 120000)  /* a settlement is not on the wire beside an extension of the message */   \
    X(fits, 200000)   /* a settlement says what the verdict said, hidden for as long as it said */ \
    X(prompt, 110000) /* a verdict is on the wire at once */                                       \
    X(entries, 10000) /* a failed entry is on the wire again within the lease */                   \
    X(permits, 200000) /* no more is asked for than may be in hand */                              \
    X(attempt, 110000) /* the handler is told receives plus runs again here */                     \
    X(parked, 400)     /* what waits for its target stays, up to hold, unless the host drains */   \
    X(outage,                                                                                      \
      130000)        /* no receive while the host knows its target is down; one probe at a time */ \
    X(held, 100000)  /* no receive while an operator has paused it */                              \
    X(calm, 170000)  /* no timer fires, and no receive ends empty, in a loop without a pause */    \
    X(slots, 110000) /* never more running than slots */                                           \
    X(fence, 200)    /* a cancelled job is fenced before its worker hears of it */                 \
    X(drain,                                                                                       \
      400000)     /* no receive after it began; nothing left in hand when it says so; in time */   \
    X(empty, 200) /* --until-empty leaves when the work is done, and says what is left */          \
    X(wire, 40)   /* a message with a request on the wire is not shown to others */                \
    X(counts, 20000) /* flow_counts are the models' own counts */                                  \
    X(quiet, 5000)   /* without faults each message is received once, and nothing is late */       \
    X(settled, 500)  /* with the faults off everything is settled within a bound */                \
    X(idle, 2000)    /* then a host has one poll open, and leaves at once when told */             \
    X(clean, 500)    /* every job made is freed */

enum invariant {
#define X(name, least) INV_##name,
    INVARIANTS(X)
#undef X
        INV_COUNT
};

/* Corners that a run must have been in. */
#define CORNERS(X)                                                                                 \
    X(verdict_during_extension, 130)                                                               \
    X(delivered_again_running, 400)                                                                \
    X(delivered_again_parked, 20)                                                                  \
    X(delivered_again_settling, 300)                                                               \
    X(older_answer_overtaken, 6)                                                                   \
    X(lapse_while_waiting, 140)                                                                    \
    X(lapse_while_running, 30)                                                                     \
    X(ack_after_lapse, 1200)                                                                       \
    X(key_waits, 3000)                                                                             \
    X(waited_deleted_unrun, 2000)                                                                  \
    X(waited_runs, 1000)                                                                           \
    X(changed_body_runs, 3000)                                                                     \
    X(drain_with_key_waiting, 100)                                                                 \
    X(delivered_again_key_waiting, 6)                                                              \
    X(claimed_elsewhere, 3500)                                                                     \
    X(acked_elsewhere, 800)                                                                        \
    X(claim_taken_over, 500)                                                                       \
    X(claim_lost, 20)                                                                              \
    X(runs_unfenced, 4500)                                                                         \
    X(claim_waited_too_long, 150)                                                                  \
    X(keyless, 1100)                                                                               \
    X(runs_again_in_place, 400)                                                                    \
    X(group_hold_ran_out, 40)                                                                      \
    X(behind_given_back, 100)                                                                      \
    X(group_joined_again, 12)                                                                      \
    X(next_after_dead_letter, 18)                                                                  \
    X(drain_with_backoff, 30)                                                                      \
    X(drain_with_behind, 150)                                                                      \
    X(kept_in_place, 60)                                                                           \
    X(acked_comes_again, 5000)                                                                     \
    X(hold_ran_out, 400)                                                                           \
    X(company_received, 170)                                                                       \
    X(company_for_several, 6)                                                                      \
    X(target_exonerated, 110)                                                                      \
    X(trial_receive, 500)                                                                          \
    X(trip_with_polls_open, 1100)                                                                  \
    X(drain_with_waiting, 300)                                                                     \
    X(drain_with_parked, 500)                                                                      \
    X(given_up_on_the_wire, 110)                                                                   \
    X(given_up_unsent, 20)                                                                         \
    X(stuck_blamed, 150)                                                                           \
    X(stuck_neighbour, 170)                                                                        \
    X(stuck_on_the_wire, 75)                                                                       \
    X(stuck_late_ack, 40)                                                                          \
    X(stuck_exhausted, 1)                                                                          \
    X(stuck_twice, 40)                                                                             \
    X(settlement_tried_again, 5000)                                                                \
    X(copy_tried_again, 200)                                                                       \
    X(copied_exhausted, 130)                                                                       \
    X(copy_kept, 400)                                                                              \
    X(lapse_while_copying, 30)                                                                     \
    X(delivered_again_copying, 7)                                                                  \
    X(drain_with_copying, 20)                                                                      \
    X(left_for_later, 6)                                                                           \
    X(left_empty, 110)

enum corner {
#define X(name, least) CORNER_##name,
    CORNERS(X)
#undef X
        CORNER_COUNT
};

struct host;

/* A message as the queue knows it. */
struct record {
    int number;
    char id[24];
    int key;      /* records of one number are one business key */
    int body;     /* and of one number have the same body; each key has its own */
    int pair;     /* the first record with this key and body */
    bool keyless; /* its body has none */
    int group;    /* FIFO: those of one group stand in the order of their numbers */
    int receives;
    int64_t visible_ms;  /* hidden until then */
    int64_t received_ms; /* newest receive; 0: never */
    uint64_t handle;     /* newest; grows */
    bool gone;           /* deleted, or moved to the dead-letter queue by the queue itself */
    bool acked;          /* some handler's ack has been delivered to a flow: kept at `pair` */
    int copies;          /* of it on the dead-letter queue */
    bool confirmed;      /* some host was told of one */
    bool failed;         /* a run of it failed by itself */
    bool burnt;          /* a fault, a drain or the end of a hold took a receive of it */
    bool poison;         /* its handler always fails until the faults are off */
    bool breaker;        /* its target always fails it, until then */
    struct list visible; /* in queue.ready or queue.hidden */
    struct host *holder; /* last host that was answered with it */
    uint64_t holder_life;
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
    bool probe;             /* to try a target that was down */
    int64_t hangs_until_ms; /* its worker does; INT64_MAX: for good */
    bool given_up;          /* with its worker */
    int64_t wire_until_ms;  /* its request then; 0: none */
};

/* Where a message is by what its host was told and has said: view.c. */
enum phase {
    PHASE_GONE,
    PHASE_WAITING,
    PHASE_RUNNING,
    PHASE_PARKED,
    PHASE_BEHIND,  /* others of its group go before it */
    PHASE_BACKOFF, /* it failed and will run again in place, its group waits */
    PHASE_COPYING,
    PHASE_RECORDING, /* acked, and the shared store is to be told first */
    PHASE_DECIDED,
};

/* What the queue must be told of a message. */
enum kind { KIND_DELETE, KIND_RETRY, KIND_REJECT, KIND_RELEASE, KIND_COUNT };

/* A message as one life of a host must see it, worked out from what crossed the seam alone. */
struct view {
    enum phase phase;
    bool odd;   /* more than one continuation is right: no exact expectations until it is settled */
    bool slept; /* its host stood still: nothing of it is on time */
    bool anew;  /* it was not in hand when the host was told of it last */
    bool claimed;     /* it has asked for its key since it was received */
    bool waited;      /* and not at once */
    bool asking;      /* WAITING: for an answer of the shared store */
    bool doubtful;    /* odd only because its claim was lost, until it runs again */
    bool told_acked;  /* that one knows it as acked */
    bool in_vain;     /* RECORDING: its key went on, and telling the store had failed */
    int64_t asked_ms; /* when it asked first; 0: never */
    uint64_t handle;  /* newest one that the host was told while it had the message */
    int receives;
    int64_t lease_ms;     /* end of the lease by what the host was told */
    uint64_t told_handle; /* in the last answer, newer or not */
    int told_receives;
    int64_t told_lease_ms;
    int starts;    /* since it was received */
    int fails;     /* of those, by itself */
    int64_t place; /* FIFO: in its group in this host; 0: none, or it is on its way back */
    int64_t again_low_ms, again_high_ms; /* BACKOFF: between these it runs again */
    uint64_t extending;                  /* handle of the extension on the wire; 0: none */
    int64_t extend_ms;                   /* an extension is on the wire by then; 0: no saying */
    int64_t answered_ms;                 /* when the last extension was; 0: never */
    int64_t parked_ms;                   /* first parking since it was received; 0: none */
    int probed;                          /* runs to try a target that was down */
    int comebacks;            /* times its target came back by another, while it was parked */
    int comebacks_open;       /* the same, and it may have been asking for its claim */
    int64_t copying_ms;       /* COPYING: since when */
    bool exhausted;           /* COPYING: it is its last receive; otherwise it was rejected */
    bool copy_open;           /* a copy is on the wire */
    bool copied;              /* its host was told that the dead-letter queue has it */
    enum kind kind;           /* DECIDED: what the queue must be told */
    int low_s, high_s;        /* DECIDED: and for how long it hides */
    int64_t due_ms;           /* DECIDED, COPYING: on the wire by then; 0: no saying */
    bool sent;                /* DECIDED: it has been on the wire */
    bool late;                /* it was sent after the lease had ended */
    int tries;                /* that failed */
    int visibility_s;         /* as it was sent */
    int64_t acked_ms;         /* of a pair: when a handler acked it in this life; 0: never */
    int64_t decided_aside_ms; /* by a drain, or by the end of another it waited for */
    bool given_up;            /* RUNNING: with its worker; it is settled between these: */
    int64_t give_up_low_ms, give_up_high_ms;
    bool to_blame;        /* for its worker */
    int64_t own_retry_ms; /* when a retry of this life's own is due; 0: none, -1: no saying */
};

/* Between these must a count of the program's be; they differ by what an odd view may be. */
struct bounds {
    int64_t low, high;
};

struct tally {
    int64_t received, started, done_claims;
    struct bounds again, keyless;
    struct bounds settled[KIND_COUNT], extensions, entries_failed, lease_lost, drain_gave_up;
};

/* A key as one life of a host must see it, by what it has said to the shared store and heard. */
struct hold {
    struct host *host;
    int record;  /* that claimed it last */
    bool open;   /* a call is on the wire */
    bool ours;   /* as far as it was told, until then */
    bool failed; /* the last call was not answered */
    bool told;   /* the store has confirmed the ack */
    int64_t until_ms;
    int64_t foreign_until_ms;
};

/* A key, and the pair of that number, as the shared store has it. */
struct item {
    char token[SHARED_TOKEN_BYTES];
    int64_t until_ms, claimed_ms;
    int64_t acked_until_ms, acked_ms;
};

struct host {
    int index;
    bool up;
    bool draining;
    bool until_empty;
    bool held;       /* by an operator */
    bool trialled;   /* it was down already when the token went */
    bool token_away; /* it was told that its target is down by hearsay */
    uint64_t life;   /* grows at each start; events of an older life are dropped */
    int64_t asleep_until_ms;
    int64_t drain_ms; /* it may take so long */
    int64_t drain_began_ms;
    int64_t hold_ms, probe_ms, patience_ms, ttl_ms;
    int64_t unheard_until_ms; /* what its last lost answer carried is hidden */
    double retry_base_s;
    bool dead_letters; /* it has been told of a queue for them */
    int wait_s, batch;
    int workers, slots;
    int64_t places; /* given out in groups */
    int homing;     /* messages whose verdict it is just being told: on no account of its */
    int busy[WORKERS_MAX];
    int limit;  /* messages at once, while nothing probes; 0: as many as there are slots */
    bool heard; /* a call has come home: it knows that there is a target */
    double rate;
    struct list running;
    struct list calls; /* struct call, on the wire */
    struct list stuck; /* struct run, given up with their workers */
    int64_t hangs_until_ms[WORKERS_MAX];
    bool away[WORKERS_MAX]; /* stuck, and nobody is in its place yet */
    int stuck_workers;
    bool detaching; /* its flow is just being told of one */
    struct flow *flow;
    struct dedupe *dedupe;
    bool down_known; /* it has heard that the target failed */
    bool probe_sent; /* the last probe reached the target */
    int64_t probed_ms;
    int probes;
    bool ended;
    bool hurried;
    bool slept;
    enum flow_end end;
    bool troubled;  /* a fault touched it: leases may have lapsed */
    int64_t second; /* in which it has done so much: */
    int fires, empties;
    bool unsure; /* more than one course is right for it, after a failed allocation for instance */
    struct tally tally;
    struct view *views; /* per record */
    struct hold *holds; /* per key */
    bool store_away;    /* the last call to the shared store was not answered */
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
    bool quiet; /* no faults at all */
    bool fifo;  /* the queue is one */
    int groups;
    const char *key; /* dedupe.key of all hosts; NULL: the message id */
    bool shared;     /* the hosts share a store */
    bool closed;     /* and run nothing while it is away */
    bool store_away, store_denied;
    struct item *items;
    struct list store_calls;
    bool closing;        /* hosts that end stay away */
    struct host *inside; /* whose flow is running: its allocations may fail */
    bool starving;       /* one did, since it was entered */
    int visibility_s;
    enum queue_status dlq_status; /* what a copy is answered for good; QUEUE_OK: it is taken */
    int max_receives;             /* the queue's maxReceiveCount; 0: none */
    double retry_cap_s;

    struct record *records;
    int count;
    struct list ready;  /* visible */
    struct list hidden; /* by visible_ms */
    int gone;
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
extern int64_t corners[CORNER_COUNT];

/* world.c: time and chance. */
void later(int64_t delay_ms, struct host *host, void (*happen)(void *, uint64_t), void *arg,
           uint64_t number);
bool step(void); /* false: nothing is left to happen */
int64_t between(struct rng *r, int64_t low, int64_t high);
bool chance(struct rng *r, int per_mille);
bool strikes(enum fault f, int per_mille); /* only while faults are on */
void note(uint64_t what, uint64_t which);  /* into the log's hash */
enum { WATCH_NONE = -1, WATCH_ALL = -2 };
extern int watched; /* the number of the message whose life is told */
void tell(const struct record *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* check.c: counts the check; ends the run with words when it fails. What cannot fail, because
 * nothing is demanded just now, is not counted. */
void check(enum invariant i, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define check_if(demanded, ...)                                                                    \
    do {                                                                                           \
        if (demanded)                                                                              \
            check(__VA_ARGS__);                                                                    \
    } while (0)
void check_report(void);
int check_reach(uint64_t seeds); /* 1, with words, if something was exercised too rarely */

/* memory.c: the simulator's own memory, which never fails it. */
void *grab(size_t bytes);
void enter_flow(struct host *h);
void leave_flow(struct host *h); /* after a failed allocation anything of its may be late */

/* queue.c */
void queue_fill(int count);
struct record *record_of(const char *id);

/* receive.c */
void queue_forget_events(void);

/* wire.c */
struct queue queue_for(struct host *h);
void queue_forget_calls(struct host *h);
int queue_polls_open(const struct host *h);
int queue_copies_open(const struct host *h);
int queue_reserved(const struct host *h); /* messages that open polls ask for */
int queue_batches_open(const struct host *h);

/* store.c */
struct shared store_for(struct host *h);
void store_forget_calls(struct host *h);
void store_free(void);
struct hold *hold_of(struct host *h, const struct record *r);
void store_check_start(struct host *h, const struct record *r);

/* pool.c */
extern const char target_name[];
struct workers workers_for(struct host *h);
void workers_forget(struct host *h);

/* stuck.c */
bool run_hangs(struct run *run, void (*happen)(void *, uint64_t)); /* false: it goes on now */
void worker_hangs(struct host *h);
void stuck_check_start(const struct host *h, const struct record *r);
bool stuck_on_wire(const struct host *h);

/* fifo.c: what a FIFO queue gives next; NULL: nothing now. */
struct call;
struct record *fifo_pick(const struct call *c);
void fifo_check_start(struct host *h, const struct record *r);

/* view.c */
struct view *view_of(struct host *h, const struct record *r);
int64_t *acked_ms(struct host *h, const struct record *r); /* of its key and body */
void view_check_waiting(struct host *h); /* each waits for a key that is in hand */
void view_drains(struct host *h);
void view_sleeps(struct host *h);
void view_all_odd(struct host *h);
void view_counts(struct host *h);           /* the program's counts against its own */
void view_end(struct host *h);              /* what must be over when a flow says it has drained */
int view_in_hand(const struct host *h);     /* waiting, running or parked, under its lease */
int view_key_waiting(const struct host *h); /* of those, what waits for another's key */

/* view_runs.c: what the host hears */
void view_heard(struct host *h, struct record *r, uint64_t handle, int receives,
                int64_t first_byte_ms);
void view_claimed(struct host *h, struct record *r, enum claim answer);
void view_started(struct host *h, struct record *r, const struct job *job);
bool view_blamed(struct host *h, const struct run *run); /* its target failed it alone */
void view_verdict(struct host *h, struct record *r, const struct job *job, bool blamed);
void view_target_up(struct host *h, bool proven); /* a probe was answered, or told so */
void view_probes(struct host *h, struct record *r);
bool view_has_company(const struct host *h); /* all in hand have tried in vain for long */
void view_given_up(struct host *h, const struct run *run);
void view_cancelled(struct host *h, struct record *r, bool sent, int64_t wire_until_ms);

/* view_says.c: what it says to the queue */
bool view_is_extension(struct host *h, const struct record *r, const struct queue_entry *e,
                       enum queue_op op);
void view_extends(struct host *h, struct record *r, uint64_t handle);
void view_extended(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                   const struct queue_entry *e);
void view_settles(struct host *h, struct record *r, uint64_t handle, enum queue_op op,
                  int visibility_s);
void view_settled(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                  const struct queue_entry *e);
void view_copies(struct host *h, struct record *r, const struct queue_copy *copy);
void view_copied(struct host *h, struct record *r, const struct queue_result *result);
void view_deletes(struct host *h, const struct record *r);

/* host.c */
void host_start(struct host *h);
void host_trouble(void *arg, uint64_t number); /* the events that crash, restart, pause hosts */
void host_leaves(void *arg, uint64_t number);
void host_crash(struct host *h);
void host_drain(struct host *h);
void host_free(struct host *h);
void host_calm(struct host *h, int *count, int most); /* one more of what must not loop */
bool host_asleep(struct host *h);

#endif
