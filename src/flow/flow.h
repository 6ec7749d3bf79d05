/* A message's life on the core thread, from receive to settlement. Everything outside is
 * reached through the seam (seam.h), so that the simulator runs this very code.
 *
 * Core thread only. Nothing here blocks. `ended` comes once; after it only
 * flow_verdicts, flow_counts and flow_free may be called. */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include "base/err.h"
#include "base/list.h"
#include "seam.h"

#include <stdbool.h>
#include <stdint.h>

struct board;
struct flow;
struct metric;

struct flow_options {
    const char *queue_name; /* for logs */
    int wait_s;             /* long poll, 0-20 */
    int batch;              /* messages per receive, 1-10 */
    int visibility_s;       /* length of a lease */
    const char *key; /* dedupe.key: "message_id" (also NULL), "deduplication_id", or a pointer */
    /* With a shared store: how long a claim lasts, more than one and a half leases and a request;
     * how long an acked key is remembered; what to do when it is away. */
    int64_t claim_ms;
    int64_t remember_ms;
    bool claims_closed; /* wait; otherwise run unfenced */
    double retry_base_s;
    double retry_cap_s;
    bool fifo;            /* the queue is one: groups in order */
    bool dead_letters;    /* there is a queue for them */
    int max_receives;     /* a failed run at this receive or later was the last; 0: no end */
    int64_t retention_ms; /* after which the queue drops a message, from its sending; 0: unknown */
    int64_t hold_ms;      /* longest parking of one message */
    int64_t probe_ms;     /* between probes of a target that is down */
    int64_t drain_ms;     /* how long running handlers may go on after flow_drain */
    int64_t unreachable_ms; /* how long the queue may stay away before its first answer */
    double log_settled;     /* share of the lines for acked messages, 0-1; others always */
    struct {
        bool on;     /* false: all slots, whatever the targets make of it */
        int max;     /* requests at once, for each target; 0: what it can take */
        int fixed;   /* the same, but not found by watching; 0: found */
        double rate; /* requests per second, for each target; 0: no limit */
    } limit;
    int breaker_failures; /* 0: errors that handlers catch trip nothing */
    int64_t breaker_window_ms;
    const char *couple;  /* targets that hold intake also when handlers catch their errors: comma
                          * between, as scheme://host:port; NULL: none */
    struct board *board; /* where open targets are published; NULL: nowhere */
    int storm_window;    /* runs by which a failure storm is told; 0: there are none */
    double rate;         /* messages per second; 0: no limit */
    bool until_empty;
    int64_t patience_ms; /* until_empty: a retry of ours due within this is waited for */
    /* luahost_settle_entries_failed_total{op,code}, the core thread's share; NULL: none */
    struct metric *entries_failed;
};

enum flow_end {
    FLOW_DRAINED,     /* stopped, or empty: everything is settled */
    FLOW_LEFT_LATER,  /* until_empty: retries of ours are due after `patience` */
    FLOW_OUT_OF_TIME, /* drain ran out of time, or a second signal: what was left is logged */
    FLOW_UNREACHABLE, /* the queue stayed away from the start */
    FLOW_REFUSED,     /* queue missing or access denied at the start */
};

struct flow_events {
    void *arg;
    void (*ready)(void *arg); /* the queue has answered for the first time */
    void (*ended)(void *arg, enum flow_end end, const char *text);
};

struct flow_counts {
    int64_t received, started, lease_lost;
    int64_t duplicates;   /* deliveries of what was in hand, or acked before */
    int64_t acked_before; /* of these */
    int64_t keyless;      /* messages that went by their ids, because they have no key */
    int64_t unfenced;     /* messages that the shared store could not keep from running twice */
    int64_t claims_lost;  /* claims that another host has taken, or that could not be renewed */
    int64_t acked, retried, rejected, released; /* settled and confirmed */
    int64_t deleted_unrun;                      /* of `acked`: duplicates */
    int64_t extensions;                         /* of leases, done */
    int64_t extensions_failed;                  /* no answer, or not our fault: tried again */
    int64_t extensions_refused;                 /* the receipt handle is not good any more */
    int64_t entries_failed;
};

/* The options' strings and the seam's objects must outlive the flow. NULL: no memory. */
struct flow *flow_new(const struct flow_options *options, const struct seam *seam,
                      const struct flow_events *events);
/* The queue's calls must have been cancelled by then: it frees what they point at. Jobs that
 * are still at a worker are not freed: their verdicts must not come any more. */
void flow_free(struct flow *f);

void flow_start(struct flow *f);

/* Jobs that come home; takes them all. */
void flow_verdicts(struct flow *f, struct list *jobs);

/* A target is known to be unusable (or usable again) from elsewhere, for instance because no
 * token can be had: intake is held while it is down. */
void flow_target_down(struct flow *f, const char *target, const char *why);
void flow_target_up(struct flow *f, const char *target);

/* Stop receiving, and go on. What is in hand goes on either way. */
void flow_pause(struct flow *f, bool paused);

/* Messages per second from now on; 0: no limit. Requests at once of each target: see `limit`. */
void flow_set_rate(struct flow *f, double per_s);
void flow_set_limit(struct flow *f, int max, int fixed);
void flow_set_target_rate(struct flow *f, double per_s);

/* Contract 5.9. A second call waits no longer. */
void flow_drain(struct flow *f);

const struct flow_counts *flow_counts(const struct flow *f);

/* Where everything is. Texts live until the flow does anything. */
struct flow_view {
    bool draining, paused;
    bool answered;             /* the queue has, once */
    enum queue_status failure; /* of the last receive; QUEUE_OK if it worked */
    /* What keeps it from receiving, in words, and for how long (-1: not known); NULL: nothing. */
    const char *hold;
    bool at_work; /* and that is only as much as may be: it is working, with no trouble */
    const char *hold_target; /* the server that it is about, or NULL */
    int64_t hold_ms;
    /* CLOCK_BOOTTIME, when a receive ended, however, or one was begun while none was open. */
    int64_t alive_ms;
    int64_t last_answer_wall; /* ms, when the last one was answered, empty or not; 0: none */
    int in_hand, buffered, running, parked, waiting, copying, settling, polls_open;
    int workers, workers_busy, slots; /* slots of all workers */
};
void flow_look(const struct flow *f, struct flow_view *view);

/* How many messages that worker runs. */
int flow_worker_running(const struct flow *f, int worker);

enum breaker_state { BREAKER_CLOSED, BREAKER_TRYING, BREAKER_OPEN };

struct target_view {
    const char *name;
    enum breaker_state breaker;
    int parked;
    int64_t down_ms;       /* for so long; 0: it is not */
    int limit;             /* requests at once; 0: it has asked to wait */
    const char *limit_why; /* in words */
    int64_t wait_ms;       /* until what it asked for with Retry-After has passed; 0 */
    double slowdown;       /* durations over what they are unloaded, lately */
};
/* Every server that was called or has failed since the start, in no order. */
void flow_each_target(const struct flow *f, void (*each)(void *arg, const struct target_view *),
                      void *arg);

/* What the number of workers is decided by; `slots_full` begins anew with each look. */
struct flow_load {
    int64_t completed, received; /* since the start */
    double unloaded_s;           /* a message's duration with its targets unloaded; 0: not known */
    int permits;                 /* messages that the targets let run at once */
    int in_hand;
    bool slots_full;    /* all slots of the workers were taken at some time */
    bool receives_full; /* they bring as much as they ask for */
    bool held;          /* intake is: nothing is to be learnt */
};
void flow_look_at_load(struct flow *f, struct flow_load *load);

/* A worker does not come back from C code. What it runs is fenced and given up: the message that
 * is to blame is retried after a backoff, its neighbours are released, each when no request of its
 * own can be on the wire any more. Verdicts on them may still come, and change nothing. The worker
 * is given nothing until another one is ready in its place. */
void flow_worker_stuck(struct flow *f, int worker);
void flow_worker_back(struct flow *f, int worker);

/* Workers 0 … n - 1 may be given jobs from now on; at the start all of the seam's. */
void flow_set_workers(struct flow *f, int n);

/* One log line on where everything is. */
void flow_report(const struct flow *f);

#endif
