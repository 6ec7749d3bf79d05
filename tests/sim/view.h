/* What the files of the view share. */
#ifndef SIM_VIEW_H
#define SIM_VIEW_H

#include "world.h"

/* A settlement lingers for 5 ms to gather others; a failed one comes again within 5 s, a copy
 * within 20 s. A failed extension comes again after 1 s. */
enum {
    PROMPT_MS = 6,
    AGAIN_CAP_MS = 5000,
    COPY_AGAIN_CAP_MS = 20000,
    COPIES_AT_ONCE = 16,
    EXTEND_AGAIN_MS = 1000,
    COMEBACKS_MAX = 3,
    COMPANY_AFTER = 5,
};

extern const char *const kind_names[];

static inline bool lapsed(const struct view *v)
{
    return v->lease_ms <= sim.now_ms;
}

/* Received, and its key is in hand under another id, or the shared store has not given it yet. */
static inline bool awaits_key(const struct view *v)
{
    return v->phase == PHASE_WAITING && (!v->claimed || v->asking);
}

/* Those wait for their turn in a group, and are on no account. */
static inline bool awaits_turn(const struct view *v)
{
    return v->phase == PHASE_BEHIND || v->phase == PHASE_BACKOFF;
}

/* It was given up with its worker, and is on no account either until it is settled. */
static inline bool awaits_wire(const struct view *v)
{
    return v->phase == PHASE_RUNNING && v->given_up;
}

static inline bool is_last(const struct view *v)
{
    return sim.max_receives > 0 && v->receives >= sim.max_receives;
}

static inline int64_t lease_length_ms(void)
{
    return sim.visibility_s * INT64_C(1000);
}

/* view.c */
bool hold_over(const struct host *h, const struct view *v);
bool in_hand(const struct host *h, const struct view *v);
void widen(struct bounds *b, bool sure);
void set_extend(struct view *v);
void check_overdue(const struct host *h, const struct view *v);
void gives_up(struct host *h, bool sure);
void set_due(struct view *v, int64_t in_ms);
void decide(struct view *v, enum kind kind, int low_s, int high_s);
/* By something else than its own verdict: an extension that is due now may still go first. */
void decide_aside(struct view *v, enum kind kind, int low_s, int high_s);

/* view_groups.c: FIFO; elsewhere they do nothing. */
void groups_doubt(struct host *h); /* before anything is expected of a message */
void group_joins(struct host *h, struct view *v);
bool group_first(const struct host *h, const struct view *v);
void group_leaves(struct host *h, struct view *v, bool deleted);
bool group_keeps(struct host *h, struct view *v, int low_s, int high_s); /* it stays in place */

/* view_runs.c */
void decide_given_up(struct host *h, struct view *v);
void decide_retry(struct host *h, struct view *v, int64_t after_ms);
void decide_keep(struct host *h, struct view *v); /* no dead-letter queue will have it */

#endif
