/* What the files of flow/ share: the record of a message and the state of the whole. Each part
 * of `struct flow` is written by the file it is named after; the others read.
 *
 * A message in hand is in exactly one state and at most one of the lists through `node`:
 *
 *   CLAIMING ──► BUFFERED ──► RUNNING ──► RECORDING ──► SETTLING ──► gone
 *                   ▲            │  │                      ▲
 *                   ├── PARKED ◄─┤  └► COPYING (to the dead-letter queue)
 *                   └─ WAITING ◄─┘
 *
 * Of a FIFO queue's group all but the first are WAITING from the start. CLAIMING and RECORDING are
 * for a store that several hosts share; without one they are skipped.
 */
#ifndef FLOW_STATE_H
#define FLOW_STATE_H

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "flow/flow.h"
#include "policy/breaker.h"
#include "policy/limit.h"
#include "policy/polls.h"
#include "policy/rate.h"
#include "policy/storm.h"
#include "seam.h"

enum {
    POLLS_MAX = 8,
    SETTLE_LINGER_MS = 5,
    SETTLING_FREE = 100, /* so many messages may be settling without counting as in hand */
    RELEASE_LATER_S = 5, /* for a message that cannot be taken just now */
    FAILURES_MAX = 32,   /* kinds of failures that the log counts at a time */
};

enum message_state { CLAIMING, BUFFERED, RUNNING, PARKED, WAITING, RECORDING, COPYING, SETTLING };

/* What becomes of a message. */
enum settle_kind {
    SETTLE_ACK,
    SETTLE_DUPLICATE, /* acked before: deleted unrun */
    SETTLE_RETRY,
    SETTLE_REJECT, /* the dead-letter queue has confirmed its copy */
    SETTLE_KEEP,   /* a dead letter that could not be copied: visible again at the retry cap */
    SETTLE_RELEASE,
};

struct receipt {
    struct receipt *older; /* kept until the message is gone: calls on the wire point at them */
    char text[];
};

struct message {
    struct list node;
    struct table_node by_id;
    struct job *job; /* read-only and not ours to free while `out` */
    bool out;        /* a worker has the job */
    enum message_state state;

    const char *handle; /* the newest */
    struct receipt *receipts;
    int receive_count;
    int reruns; /* runs again here */
    uint64_t body_hash;
    bool claimed;       /* dedupe keeps a place for it: it has its key */
    struct key *key;    /* which it has; NULL while it has none, and if it goes by its id */
    struct key *awaits; /* PARKED: until another lets go of it */
    bool claim_lost;    /* while it ran: another host may run its key too */
    int64_t asked_ms;   /* when it asked for its claim first */

    struct list lease;   /* in flow->leases while it is extended */
    int64_t received_ms; /* boot clock: first byte of the newest receive */
    int64_t lease_until_ms;
    int64_t lease_due_ms; /* next look at the lease: extend, or notice that it lapsed */
    bool extending;       /* an extension is on the wire */
    bool lost;            /* the lease lapsed while in hand */
    bool dropped;         /* gone, but for the extension on the wire that points at it */

    struct target *probes; /* the target that it was sent to try */
    int64_t parked_ms;     /* first parking since it was received */
    int probed;            /* times it was sent to try a target */
    int comebacks;         /* times its target came back without it, and then failed it again */

    struct group *group;  /* of a FIFO queue; NULL: on its own, or being given back */
    struct list in_group; /* its place in there */
    int failures;         /* runs that failed by themselves since it was received */
    bool to_blame;        /* its worker does not come back from its handler */
    bool deleted;         /* the queue has confirmed it */

    struct copy_call *copy; /* on the wire, in state COPYING */
    bool exhausted;         /* its attempts are; otherwise it was rejected */
    bool bare_copy;         /* the next try goes without host.failure */
    int64_t copying_ms;     /* since when */

    enum settle_kind kind;
    const char *note; /* static: more on it, for the log; NULL */
    int visibility_s;
    int tries;        /* of the settlement, or of the copy */
    int64_t again_ms; /* the next one; of one that waits to run again, that */
};

/* A batch call on the wire; freed by its `done`, or with the flow. */
struct batch_call {
    struct queue_batch batch;
    struct flow *flow;
    struct list node; /* in flow->calls */
};

/* What keeps from receiving more, in the order in which it is asked; the last one that lets nothing
 * through is told. */
enum intake_link {
    LINK_NONE,
    LINK_SLOTS, /* as much is in hand as slots and prefetch take */
    LINK_LIMIT, /* as much as a target's limit lets run */
    LINK_RETRY_AFTER,
    LINK_GROUPS, /* FIFO: too many wait behind the first of their group */
    LINK_RATE,
    LINK_TARGET, /* one is down */
    LINK_STORM,  /* nearly all messages fail alike */
    LINK_STORE,  /* the shared store is away, and nothing runs without it */
    LINK_QUEUE,  /* the last receive failed */
    LINK_PAUSE,
    LINK_STOP,
};

struct poll {
    struct queue_receive receive;
    struct flow *flow;
    bool open;
    bool repeats;       /* an earlier one whose answer was lost */
    int64_t attempt_ms; /* FIFO: when its attempt id was made */
};

/* FIFO: a receive whose answer was lost. */
struct unheard {
    char attempt[QUEUE_ATTEMPT_BYTES];
    int64_t since_ms;
};

/* A key in hand. Messages that go by their ids need none. */
struct key {
    struct table_node by_text;
    struct message *holder;
    struct shared_claim *claim; /* in the shared store; it may outlast the holder. NULL: none */
    struct list waiting;        /* messages that were received with it since, oldest first */
    char text[];
};

enum claim_state {
    CLAIM_ASKING,   /* its message waits for it */
    CLAIM_OURS,     /* renewed while its message is in hand */
    CLAIM_UNFENCED, /* the store was away: its message goes on without, and it is tried again */
    CLAIM_LOST,     /* it has ended or is somebody else's, while its message runs */
    CLAIM_TELLING,  /* acked: the store is to be told, and then the queue */
    CLAIM_FREEING,
};

struct shared_claim {
    struct shared_call call; /* first: its `done` comes back to the claim */
    struct flow *flow;
    struct key *key;
    enum claim_state state;
    bool open;    /* the call is on the wire; what else is to be said waits for its answer */
    bool perhaps; /* the store may have it as ours */
    bool counted; /* as unfenced */
    int tries;
    struct list due; /* in flow->claims.by_due, while nothing is on the wire */
    int64_t due_ms;
    int64_t until_ms;      /* nobody else may have it before; 0: no saying */
    int64_t held_until_ms; /* somebody else has it until then, by the last answer; 0: never */
};

/* A failure that the log has told in full (failures.c). */
struct failure {
    uint64_t fingerprint; /* 0: the place is free */
    int64_t since_ms;     /* it was told, or its count was */
    int64_t again;        /* times since */
    char kind[24];
    char at[96];
    char reason[256];
    char last_id[128];
};

enum key_kind { KEY_MESSAGE_ID, KEY_DEDUPLICATION_ID, KEY_POINTER };

struct target {
    struct table_node by_name;
    struct list in_all; /* in flow->targets.all */
    struct flow *flow;
    struct limit limit;
    double request_s, calls; /* what messages needed of it lately: limits.c */
    struct log_gate wait_gate;
    struct rate rate;       /* of requests */
    struct breaker breaker; /* of calls, also of those whose errors handlers caught */
    bool coupled;           /* they hold intake too */
    bool down;
    bool storm;            /* no server: messages that fail alike (storm.c) */
    int tries;             /* of a storm, that failed */
    bool external;         /* somebody else tries it and will say when it is back */
    int trial;             /* down, and short of messages to try it with: so many may be in hand */
    struct list parked;    /* oldest first */
    struct message *probe; /* running to try it */
    struct timer timer;
    int64_t since_ms;
    char name[];
};

struct flow {
    struct flow_options options;
    struct seam seam;
    struct flow_events events;
    struct flow_counts counts;
    struct table in_hand;
    struct list calls;

    struct { /* intake.c */
        struct polls policy;
        struct poll polls[POLLS_MAX];
        int open;
        int reserved;
        int errors;                /* in a row */
        enum queue_status failure; /* the last of them */
        bool answered;             /* the queue has answered once */
        bool paused;
        struct rate rate;
        enum intake_link link; /* that lets nothing through, since then */
        const struct target *link_target;
        int64_t link_ms;
        int64_t failing_ms;       /* since, with `errors` */
        int64_t alive_ms;         /* when a receive ended, or one was begun with none open */
        int64_t last_answer_wall; /* ms */
        bool backing_off;
        int64_t started_ms;
        struct timer timer; /* the next poll after a backoff or a small one */
        struct unheard unheard[POLLS_MAX];
        int unheard_count;
        struct log_gate gate;
    } intake;

    struct { /* keys.c */
        enum key_kind by;
        struct table by_text;
        int waiting;
        struct log_gate gate;
    } keys;

    struct { /* claims.c */
        struct list by_due;
        struct list asking;   /* messages in state CLAIMING */
        struct list recorded; /* messages in state RECORDING */
        int waiting, recording;
        int count; /* claims */
        int open;  /* calls on the wire */
        bool away;
        int64_t since_ms; /* away */
        int64_t try_ms;   /* it is tried again */
        struct timer timer;
        struct log_gate gate;
    } claims;

    struct { /* dispatch.c */
        struct list buffered;
        int workers;           /* that may be given jobs */
        bool full;             /* all of their slots were taken */
        bool *away;            /* per worker: it is stuck, and none has taken its place yet */
        int64_t all_completed; /* since the start */
        int *busy;             /* per worker */
        struct list *outgoing; /* per worker, filled and emptied within one pass */
        int running;
        int buffered_count;
        double completed_per_s;
        int64_t completed; /* since rate_ms */
        int64_t rate_ms;
    } dispatch;

    struct {                        /* limits.c */
        double message_s, messages; /* lately */
        bool fresh;                 /* something has come home since the last tick */
        int runs;                   /* that came home, the first few of them */
        int64_t first_ms;           /* the first one began; 0: none has */
        int64_t due_ms;
        struct timer tick;
        struct timer again; /* when the next request may start */
    } limits;

    struct { /* storm.c */
        struct storm policy;
        bool raging;
        bool ends; /* the flow, for it */
    } storm;

    struct { /* failures.c */
        struct failure known[FAILURES_MAX];
        struct timer timer;
    } failures;

    struct { /* target.c */
        struct table by_name;
        struct list all;
        int down;
        int parked;
    } targets;

    struct { /* group.c */
        struct table by_name;
        struct list by_due; /* groups whose first one waits for its turn */
        struct list back;   /* messages to be given back */
        struct timer timer;
        int waiting; /* messages in state WAITING */
    } groups;

    struct { /* lease.c */
        struct list by_due;
        struct timer timer;
        struct log_gate gate;
    } leases;

    struct {                 /* dlq.c */
        struct list waiting; /* messages to be copied now or later */
        struct list calls;
        int open;    /* copies on the wire */
        int copying; /* messages in state COPYING */
        struct timer again;
        struct log_gate gate;
    } dlq;

    struct {                    /* settle.c */
        struct list pending[2]; /* by queue_op */
        int pending_count[2];
        struct list later; /* to be tried again */
        struct timer linger;
        struct timer again;
        int settling; /* messages in state SETTLING */
    } settle;

    struct { /* until_empty.c */
        struct table retries;
        int64_t unheard_until_ms; /* what a lost answer carried is hidden; long ago: none is lost */
    } empty;

    struct { /* abandon.c */
        struct timer timer;
        int64_t next_ms; /* until the next one of them can be settled */
    } abandoned;

    struct { /* drain.c */
        bool draining;
        bool out_of_time;
        bool flushing; /* time was up once: only settlements are waited for */
        int gave_up;   /* settlements, since it began */
        bool ended;
        struct timer cut; /* the open polls */
        struct timer deadline;
    } drain;
};

static inline int64_t flow_now(const struct flow *f)
{
    return f->seam.clock.ops->boot_ms(f->seam.clock.self);
}

static inline uint64_t flow_random(const struct flow *f)
{
    return f->seam.random.ops->next(f->seam.random.self);
}

static inline void flow_arm(const struct flow *f, struct timer *t, int64_t delay_ms)
{
    f->seam.timers.ops->arm(f->seam.timers.self, t, delay_ms > 0 ? delay_ms : 0);
}

static inline void flow_stop(const struct flow *f, struct timer *t)
{
    f->seam.timers.ops->stop(f->seam.timers.self, t);
}

#define flow_of(pointer, member) ((struct flow *)((char *)(pointer)-offsetof(struct flow, member)))

/* message.c: the record. message_drop takes it out of everything and frees it. */
struct message *message_new(struct flow *f, struct job *job, int64_t first_byte_ms);
int message_new_receipt(struct message *m, const char *handle); /* -1: no memory */
void message_drop(struct flow *f, struct message *m);

/* batch.c. NULL: no memory. */
struct batch_call *batch_new(struct flow *f, enum queue_op op, void (*done)(struct queue_batch *));
void batch_add(struct batch_call *c, struct message *m, int visibility_s);
void batch_send(struct batch_call *c);
void batch_free(struct batch_call *c);

/* intake.c: opens what polls it may. Safe to call at any time. */
void intake_init(struct flow *f);
void intake_kick(struct flow *f);
int intake_held(const struct flow *f); /* messages that count as in hand */
void intake_cut(struct flow *f);       /* no more polls; cancels the open ones */

/* admit.c: takes the jobs of an answer. */
void admit_jobs(struct flow *f, struct list *jobs, int64_t first_byte_ms);

/* keys.c: takes over a message that may run as soon as its key is free; `acked` before it is
 * settled. What waits for the key goes on at once; the caller kicks the dispatch. */
int keys_init(struct flow *f); /* -1: no memory */
void keys_end(struct flow *f);
void keys_admit(struct flow *f, struct message *m);
bool keys_acked(struct flow *f, struct message *m);   /* false: it settles when the store is told */
void keys_free(struct flow *f, struct message *m);    /* failed, or given back unrun */
void keys_abandon(struct flow *f, struct message *m); /* what it sent may still arrive */
void keys_place_free(struct flow *f, struct message *m); /* only its place in the memory */
void keys_hand_on(struct flow *f, struct key *k);
bool keys_leave(struct flow *f, struct message *m); /* false: it waits for no key */
void keys_unpark_all(struct flow *f, void (*put)(struct flow *, struct message *));

/* claims.c: only with a shared store. What it ends goes on with keys_hand_on. */
void claims_init(struct flow *f);
int claims_take(struct flow *f, struct key *k); /* the holder goes on when it is ours; -1: no memory
                                                 */
void claims_acked(struct flow *f, struct message *m);
void claims_free(struct flow *f, struct shared_claim *c);
void claims_abandon(struct flow *f, struct shared_claim *c); /* it is left to expire */
void claims_leave(struct flow *f, struct message *m);        /* unless it is CLAIMING: nothing */
void claims_settle_now(struct flow *f, struct message *m);   /* RECORDING: no more waiting */
void claims_hurry(struct flow *f);                           /* all of them */
void claims_give_back(struct flow *f, void (*put)(struct flow *, struct message *));
bool claims_may_run(const struct flow *f, const struct message *m); /* false: an answer decides */
int claims_permits(const struct flow *f);

/* dispatch.c */
int dispatch_init(struct flow *f); /* -1: no memory */
void dispatch_free(struct flow *f);
void dispatch_buffer(struct flow *f, struct message *m, bool first);
void dispatch_unbuffer(struct flow *f, struct message *m);
void dispatch_kick(struct flow *f);
int dispatch_slots(const struct flow *f);
int dispatch_capacity(struct flow *f); /* slots and prefetch */

/* verdict.c: puts a message that ran where its verdict says. verdict_stuck: it has none, and its
 * job, which a worker may still write, is not read; its key is free already. */
void verdict_stuck(struct flow *f, struct message *m);
void verdict_retry(struct flow *f, struct message *m);
int verdict_backoff_s(struct flow *f, const struct message *m); /* our own, without its wishes */
bool verdict_is_exhausted(const struct flow *f, const struct message *m); /* by this failure */
void verdict_forget(struct flow *f, struct message *m);                   /* its key */
bool verdict_is_last(const struct flow *f, const struct message *m); /* no receive is left to it */

/* group.c: all of it does nothing on a standard queue. */
int group_init(struct flow *f); /* -1: no memory */
void group_free(struct flow *f);
int group_join(struct flow *f, struct message *m);  /* as the last; -1: no memory */
bool group_turn(struct flow *f, struct message *m); /* false: it waits; keys_admit comes later */
void group_skip(struct flow *f, struct list *jobs, const struct job *left); /* what is behind it */
void group_leave(struct flow *f, struct message *m);
bool group_again(struct flow *f, struct message *m, int delay_s); /* false: it cannot stay */
bool group_full(const struct flow *f);
void group_drain(struct flow *f);

/* failures.c: how much of a failure goes into the line about it; asked once a line. */
enum telling { TELL_ALL, TELL_BRIEFLY, TELL_NOT };
void failures_init(struct flow *f);
enum telling failures_line(struct flow *f, const struct message *m);
void failures_tell(struct flow *f); /* the counts, now */

/* storm.c: true if the message failed in a storm: then storm_park takes it. */
bool storm_catches(struct flow *f, struct message *m);
void storm_park(struct flow *f, struct message *m);
void storm_over(struct flow *f);
void storm_check_end(struct flow *f);

/* limits.c: messages that may run at once; `by` is the target that makes it so few, or NULL. */
void limits_init(struct flow *f);
int limits_permits(const struct flow *f, const struct target **by);
int64_t limits_blocked_ms(const struct flow *f, const struct target *t); /* by its Retry-After */
bool limits_rate(struct flow *f);    /* a message may start, as far as requests per second go */
void limits_started(struct flow *f); /* one more runs */
void limits_ran(struct flow *f, const struct job *job); /* it came home */

/* target.c */
struct target *target_called(struct flow *f, const char *name); /* NULL: not watched */
void target_call_ended(struct target *t, bool failed, int64_t started_ms);
void target_init(struct flow *f);
void target_free(struct flow *f);
bool target_blames(
    const struct message *m); /* the failure is the message's own, not the target's */
void target_failed(struct flow *f, struct message *m); /* its run was: the target is down */
void target_park_in(struct flow *f, struct message *m, const char *name);
bool target_storm_rises(struct flow *f, const char *name, const char *why); /* false: no memory */
void target_storm_failed(struct message *m);                                /* what tried it did */
void target_park(struct flow *f, struct message *m);  /* until the target is back */
void target_probe_ended(struct message *m);           /* not by the target's failure */
void target_leave(struct flow *f, struct message *m); /* it is parked there */
void target_unpark_all(struct flow *f, void (*put)(struct flow *, struct message *));
const struct target *target_longest_down(const struct flow *f);
int target_permits(const struct flow *f); /* messages that may be in hand on its account */

/* lease.c */
void lease_init(struct flow *f);
void lease_begin(struct flow *f, struct message *m, int64_t first_byte_ms);
void lease_holds(struct message *m);                 /* after all, or again */
void lease_fence(struct flow *f, struct message *m); /* RUNNING, and others may run it too */
void lease_end(struct flow *f, struct message *m);   /* no more extensions */

/* dlq.c: takes over a message that is in no list. */
void dlq_init(struct flow *f);
void dlq_free(struct flow *f);
void dlq_message(struct flow *f, struct message *m, bool exhausted);
bool dlq_lapsed(struct flow *f, struct message *m); /* false: its copy is on the wire and decides */
void dlq_kick(struct flow *f);
void dlq_hurry(struct flow *f); /* keeps what is not on the wire */

/* settle.c */
void settle_init(struct flow *f);
void settle_message(struct flow *f, struct message *m, enum settle_kind kind, int visibility_s);
void settle_extension_answered(struct flow *f, struct message *m);
void settle_flush(struct flow *f);

/* until_empty.c */
int until_empty_init(struct flow *f);
void until_empty_free(struct flow *f);
void until_empty_retry(struct flow *f, const char *id, int visibility_s);
void until_empty_received(struct flow *f, const char *id);
void until_empty_lost_receive(struct flow *f, const struct queue_receive *r);
void until_empty_heard_after_all(struct flow *f);
void until_empty_poll(struct flow *f, bool came_empty);

/* abandon.c: messages that are given up in the middle of their run. */
#define ABANDON_STUCK "its handler did not come back from C code"
void abandon_init(struct flow *f);
void abandon_running(struct flow *f); /* all of them, now: the host leaves */

/* drain.c: ends the flow when nothing is left to wait for. */
void drain_init(struct flow *f);
void drain_check(struct flow *f);
void flow_finish(struct flow *f, enum flow_end end, const char *text);

#endif
