/* What a host must make of a message, worked out from what crossed the seam and from nothing
 * else: where it is, what the queue must be told of it, by when, and how that is counted. A view
 * is odd while more than one continuation is right, for instance after its lease has lapsed; then
 * it only widens the bounds of the counts. */
#include "world.h"

#include "policy/retry.h"

#include <inttypes.h>
#include <math.h>

/* A settlement lingers for 5 ms to gather others; a failed one comes again after 100, 200, …
 * 5,000 ms. */
enum { PROMPT_MS = 6, AGAIN_BASE_MS = 100, AGAIN_CAP_MS = 5000 };

static const char *const kind_names[] = {"delete", "retry", "reject", "release"};

struct view *view_of(struct host *h, const struct record *r)
{
    return &h->views[r->number];
}

static bool lapsed(const struct view *v)
{
    return v->lease_ms <= sim.now_ms;
}

static bool in_hand(const struct host *h, const struct view *v)
{
    bool over = v->phase == PHASE_PARKED && sim.now_ms - v->parked_ms >= h->hold_ms;
    return !over && !v->odd && v->phase != PHASE_GONE && v->phase != PHASE_DECIDED && !lapsed(v);
}

static void widen(struct bounds *b, bool sure)
{
    b->low += sure;
    b->high++;
}

static void set_due(struct view *v, int64_t in_ms)
{
    v->due_ms = v->slept || v->odd ? 0 : sim.now_ms + in_ms;
}

static void decide(struct view *v, enum kind kind, int low_s, int high_s)
{
    v->phase = PHASE_DECIDED;
    v->kind = kind;
    v->low_s = low_s;
    v->high_s = high_s;
    v->sent = false;
    v->tries = 0;
    v->due_ms = 0;
    if (v->extending)
        corners[CORNER_verdict_during_extension]++; /* it waits for that answer */
    else
        set_due(v, PROMPT_MS);
}

/* ---- in ---- */

static void anew(struct view *v)
{
    *v = (struct view){.phase = PHASE_WAITING,
                       .anew = true,
                       .handle = v->told_handle,
                       .receives = v->told_receives,
                       .lease_ms = v->told_lease_ms,
                       .told_handle = v->told_handle,
                       .told_receives = v->told_receives,
                       .told_lease_ms = v->told_lease_ms,
                       .acked_ms = v->acked_ms,
                       .slept = v->told_lease_ms <= sim.now_ms}; /* read after a stall */
}

static void delivered_again(struct host *h, struct view *v)
{
    (void)h;
    v->anew = false;
    if (v->phase != PHASE_RUNNING && lapsed(v))
        v->odd = true; /* in hand no more, or about to be let go of */
    if (v->phase == PHASE_RUNNING)
        corners[CORNER_delivered_again_running]++;
    else if (v->phase == PHASE_PARKED)
        corners[CORNER_delivered_again_parked]++;
    else if (v->phase == PHASE_DECIDED)
        corners[CORNER_delivered_again_settling]++;
    if (v->told_receives < v->receives) {
        corners[CORNER_older_answer_overtaken]++;
        return;
    }
    v->handle = v->told_handle;
    v->receives = v->told_receives;
    v->lease_ms = v->told_lease_ms;
}

void view_heard(struct host *h, struct record *r, uint64_t handle, int receives,
                int64_t first_byte_ms)
{
    struct view *v = view_of(h, r);
    h->tally.received++;
    h->tally.drain_received += h->draining;
    v->own_retry_ms = 0;
    v->told_handle = handle;
    v->told_receives = receives;
    v->told_lease_ms = first_byte_ms + sim.visibility_s * INT64_C(1000);
    if (v->phase != PHASE_GONE) {
        delivered_again(h, v);
        return;
    }
    anew(v);
    if (h->draining)
        decide(v, KIND_RELEASE, 0, 0);
}

/* Only what is not in hand claims its key. */
void view_claimed(struct host *h, struct record *r, enum claim answer)
{
    struct view *v = view_of(h, r);
    check(INV_kept, v->anew || v->odd, "%s was in the hand of host %d, which has forgotten it",
          r->id, h->index);
    if (!v->anew)
        anew(v);
    h->tally.claims++;
    check(INV_forgotten, answer != CLAIM_HELD, "%s has nobody in host %d, but its key is held",
          r->id, h->index);
    if (answer == CLAIM_DONE) {
        check(INV_remembered, v->acked_ms > 0, "host %d never acked %s but thinks so", h->index,
              r->id);
        corners[CORNER_acked_comes_again]++;
        h->tally.done_claims++;
        decide(v, KIND_DELETE, 0, 0);
    } else if (answer == CLAIM_NO_MEMORY) {
        decide(v, KIND_RELEASE, 5, 5);
    }
}

/* ---- runs ---- */

void view_started(struct host *h, struct record *r, const struct job *job)
{
    struct view *v = view_of(h, r);
    check(INV_one_runner, v->odd || v->phase == PHASE_WAITING || v->phase == PHASE_PARKED,
          "%s runs in host %d, where it is %s", r->id, h->index,
          v->phase == PHASE_RUNNING ? "running" : "settled or being settled");
    if (!v->odd) {
        check(INV_attempt, job->attempt == v->receives + v->starts,
              "%s is told of attempt %d after %d receives and %d runs here", r->id, job->attempt,
              v->receives, v->starts);
        check(INV_lease, !lapsed(v) || v->slept, "%s runs in host %d after its lease ended", r->id,
              h->index);
    }
    v->starts++;
    v->phase = PHASE_RUNNING;
}

static void decide_retry(struct host *h, struct view *v, int64_t after_ms)
{
    double ceiling = fmin(sim.retry_cap_s, ldexp(h->retry_base_s, v->receives + v->starts - 2));
    int after_s = (int)((after_ms + 999) / 1000);
    if (after_ms >= 0)
        decide(v, KIND_RETRY, after_s, after_s);
    else
        decide(v, KIND_RETRY, RETRY_MIN_S,
               ceiling > RETRY_MIN_S ? (int)ceil(ceiling) : RETRY_MIN_S);
}

static void verdict_after_lapse(struct host *h, struct view *v, const struct job *job)
{
    if (!v->odd && !v->slept && sim.now_ms > v->lease_ms + 1) {
        h->tally.lease_lost.low++;
        corners[CORNER_lapse_while_running]++;
    }
    if (job->outcome == OUTCOME_ACK)
        corners[CORNER_ack_after_lapse]++;
    v->odd = true;
    v->phase = PHASE_DECIDED;
}

void view_verdict(struct host *h, struct record *r, const struct job *job)
{
    struct view *v = view_of(h, r);
    if (job->outcome == OUTCOME_ACK)
        v->acked_ms = sim.now_ms;
    if (v->phase != PHASE_RUNNING)
        return; /* given up meanwhile */
    if (v->odd || lapsed(v)) {
        verdict_after_lapse(h, v, job);
        return;
    }
    switch (job->outcome) {
    case OUTCOME_ACK:
        decide(v, KIND_DELETE, 0, 0);
        return;
    case OUTCOME_REJECT:
        decide(v, KIND_REJECT, (int)sim.retry_cap_s, (int)sim.retry_cap_s);
        return;
    case OUTCOME_RELEASE:
        decide(v, KIND_RELEASE, 0, 0);
        return;
    case OUTCOME_NONE:
    case OUTCOME_RETRY:
        break;
    }
    if (job->target_failed && !h->draining && v->parked_ms == 0)
        v->parked_ms = sim.now_ms;
    if (job->target_failed && !h->draining && sim.now_ms - v->parked_ms < h->hold_ms)
        v->phase = PHASE_PARKED;
    else
        decide_retry(h, v, job->after_ms);
}

void view_cancelled(struct host *h, struct record *r, bool sent, int64_t wire_until_ms)
{
    struct view *v = view_of(h, r);
    if (v->odd || v->phase != PHASE_RUNNING)
        return;
    check(INV_lease, h->draining || lapsed(v),
          "%s was taken from its handler in host %d for nothing", r->id, h->index);
    if (!h->draining || lapsed(v)) {
        v->odd = true;
        return;
    }
    corners[sent ? CORNER_given_up_on_the_wire : CORNER_given_up_unsent]++;
    int left_s =
        sent && wire_until_ms > sim.now_ms ? (int)((wire_until_ms - sim.now_ms + 999) / 1000) : 0;
    decide(v, KIND_RELEASE, left_s, sent && left_s > 0 ? left_s + 1 : 0);
}

/* ---- extensions ---- */

bool view_is_extension(struct host *h, const struct record *r, const struct queue_entry *e,
                       enum queue_op op)
{
    const struct view *v = view_of(h, r);
    /* Retries are always shorter than the lease here. */
    return op == QUEUE_CHANGE && e->visibility_s == sim.visibility_s &&
           (v->phase != PHASE_DECIDED || (v->odd && !v->sent));
}

void view_extends(struct host *h, struct record *r, uint64_t handle)
{
    struct view *v = view_of(h, r);
    check(INV_newest, v->odd || handle == v->handle,
          "%s: handle %" PRIu64 " is used, host %d has %" PRIu64, r->id, handle, h->index,
          v->handle);
    check(INV_lease, v->odd || v->phase != PHASE_GONE,
          "%s is extended by host %d, which has settled it", r->id, h->index);
    v->extending = handle;
}

static void extension_holds(struct host *h, struct record *r, struct view *v, int64_t sent_ms)
{
    int64_t until_ms = sent_ms + sim.visibility_s * INT64_C(1000);
    bool held = !v->odd && !lapsed(v);
    if (until_ms > v->lease_ms)
        v->lease_ms = until_ms;
    /* It knows again how long it has; what went wrong before is made good. */
    if (held && r->holder == h && r->holder_life == h->life && r->handle == v->handle &&
        !h->draining && until_ms > sim.now_ms + 500)
        r->excused = false;
}

static void extension_refused(struct host *h, struct view *v)
{
    widen(&h->tally.lease_lost, !v->odd && !lapsed(v));
    if (!v->odd && v->phase != PHASE_RUNNING)
        v->phase = PHASE_GONE;
    else
        v->odd = true;
}

void view_extended(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                   const struct queue_entry *e)
{
    struct view *v = view_of(h, r);
    if (v->extending != handle) { /* of an earlier time in hand */
        h->tally.extensions.high++;
        return;
    }
    bool good = b->result.status == QUEUE_OK && e->ok;
    v->extending = 0;
    if (lapsed(v) && v->phase != PHASE_RUNNING)
        v->odd = true; /* let go of at its end, or just about to be */
    if (good)
        widen(&h->tally.extensions, !v->odd && !lapsed(v));
    if (good && handle == v->handle)
        extension_holds(h, r, v, b->sent_ms);
    else if (b->result.status == QUEUE_OK && e->sender_fault && handle == v->handle &&
             v->phase != PHASE_DECIDED)
        extension_refused(h, v);
    if (v->phase == PHASE_DECIDED && !v->sent)
        set_due(v, PROMPT_MS);
}

/* ---- out ---- */

static void settles_decided(struct host *h, struct record *r, struct view *v, enum queue_op op,
                            int visibility_s)
{
    enum queue_op expected = v->kind == KIND_DELETE ? QUEUE_DELETE : QUEUE_CHANGE;
    check(INV_fits,
          op == expected &&
              (op == QUEUE_DELETE || (visibility_s >= v->low_s && visibility_s <= v->high_s)),
          "%s: host %d owes a %s of %d to %d s and sends a %s of %d s", r->id, h->index,
          kind_names[v->kind], v->low_s, v->high_s, op == QUEUE_DELETE ? "delete" : "change",
          visibility_s);
    check(INV_prompt, v->due_ms == 0 || sim.now_ms <= v->due_ms,
          "%s: the %s of host %d is %lld ms late", r->id, kind_names[v->kind], h->index,
          (long long)(sim.now_ms - v->due_ms));
    check(INV_prompt, !v->sent || v->slept || sim.now_ms < v->lease_ms + AGAIN_CAP_MS,
          "%s: host %d tries again long after the lease", r->id, h->index);
    corners[CORNER_settlement_tried_again] += v->sent;
}

void view_settles(struct host *h, struct record *r, uint64_t handle, enum queue_op op,
                  int visibility_s)
{
    struct view *v = view_of(h, r);
    tell(r, "host %d sends %s of %d s", h->index, op == QUEUE_DELETE ? "a delete" : "a change",
         visibility_s);
    check(INV_newest, v->odd || handle == v->handle,
          "%s: handle %" PRIu64 " is used, host %d has %" PRIu64, r->id, handle, h->index,
          v->handle);
    if (!v->odd && v->phase == PHASE_PARKED) {
        check(INV_parked, sim.now_ms - v->parked_ms >= h->hold_ms,
              "%s: host %d gives it back after %lld ms of its %lld in the park", r->id, h->index,
              (long long)(sim.now_ms - v->parked_ms), (long long)h->hold_ms);
        corners[CORNER_hold_ran_out]++;
        decide_retry(h, v, -1);
    }
    if (!v->odd)
        check(INV_fits, v->phase == PHASE_DECIDED, "%s: host %d settles it undecided", r->id,
              h->index);
    if (!v->odd)
        settles_decided(h, r, v, op, visibility_s);
    v->late = lapsed(v);
    v->phase = PHASE_DECIDED;
    v->visibility_s = visibility_s;
    v->due_ms = 0;
    v->sent = true;
}

static void try_again(struct host *h, struct view *v, int64_t wish_ms)
{
    int64_t delay_ms = AGAIN_CAP_MS; /* one timer serves all, and does not move forward */
    (void)wish_ms;
    if (v->odd || v->lease_ms - sim.now_ms <= delay_ms) { /* it may give up */
        h->tally.entries_failed.high++;
        h->tally.lease_lost.high++;
        v->odd = true;
        return;
    }
    set_due(v, delay_ms + PROMPT_MS);
}

static void confirmed(struct host *h, struct view *v, enum queue_op op)
{
    bool sure = !v->odd && !v->late;
    for (enum kind k = 0; k < KIND_COUNT; k++)
        if (v->odd ? (k == KIND_DELETE) == (op == QUEUE_DELETE) : k == v->kind)
            widen(&h->tally.settled[k], sure);
    if (op == QUEUE_CHANGE && (v->odd || v->kind == KIND_RETRY || v->kind == KIND_REJECT))
        v->own_retry_ms = v->odd ? -1 : sim.now_ms + v->visibility_s * INT64_C(1000);
    v->phase = PHASE_GONE;
    v->odd = false;
}

void view_settled(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                  const struct queue_entry *e)
{
    struct view *v = view_of(h, r);
    if (b->result.status != QUEUE_OK) {
        try_again(h, v, b->result.retry_after_ms);
    } else if (!e->ok && !e->sender_fault) {
        widen(&h->tally.entries_failed, true);
        try_again(h, v, -1);
    } else if (handle != v->handle) {
        set_due(v, PROMPT_MS); /* only the newest is sure to work */
    } else if (e->ok) {
        confirmed(h, v, b->op);
    } else {
        widen(&h->tally.entries_failed, !v->odd);
        if (b->op == QUEUE_DELETE)
            widen(&h->tally.lease_lost, !v->odd);
        v->phase = PHASE_GONE;
        v->odd = false;
    }
}

/* ---- all of a host ---- */

void view_drains(struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        if (v->phase != PHASE_WAITING && v->phase != PHASE_PARKED)
            continue;
        corners[v->phase == PHASE_PARKED ? CORNER_drain_with_parked : CORNER_drain_with_waiting]++;
        if (lapsed(v) || (v->phase == PHASE_PARKED && sim.now_ms - v->parked_ms >= h->hold_ms))
            v->odd = true; /* let go of, or its retry lingers */
        else if (!v->odd)
            decide(v, KIND_RELEASE, 0, 0);
    }
}

void view_sleeps(struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        h->views[i].slept = true;
        h->views[i].due_ms = 0;
    }
}

void view_all_odd(struct host *h)
{
    for (int i = 0; i < sim.count; i++)
        h->views[i].odd = true;
}

int view_in_hand(const struct host *h)
{
    int count = 0;
    for (int i = 0; i < sim.count; i++)
        count += in_hand(h, &h->views[i]);
    return count;
}

static void within(const struct host *h, const char *name, int64_t count, struct bounds b)
{
    check(INV_counts, count >= b.low && count <= b.high,
          "host %d counts %lld %s, and should between %lld and %lld", h->index, (long long)count,
          name, (long long)b.low, (long long)b.high);
}

static struct bounds exactly(int64_t n)
{
    return (struct bounds){n, n};
}

void view_counts(struct host *h)
{
    const struct flow_counts *c = flow_counts(h->flow);
    const struct tally *t = &h->tally;
    if (h->starved)
        return;
    int64_t again = t->received - t->claims + t->done_claims;
    within(h, "received", c->received, exactly(t->received));
    within(h, "started", c->started, exactly(t->started));
    within(h, "duplicates", c->duplicates, (struct bounds){again - t->drain_received, again});
    within(h, "acked", c->acked, t->settled[KIND_DELETE]);
    within(h, "retried", c->retried, t->settled[KIND_RETRY]);
    within(h, "rejected", c->rejected, t->settled[KIND_REJECT]);
    within(h, "released", c->released, t->settled[KIND_RELEASE]);
    within(h, "extensions", c->extensions, t->extensions);
    within(h, "failed entries", c->entries_failed, t->entries_failed);
    within(h, "lost leases", c->lease_lost,
           (struct bounds){t->lease_lost.low, h->troubled ? INT64_MAX : t->lease_lost.high});
}

void view_end(struct host *h)
{
    bool in_time = h->end != FLOW_OUT_OF_TIME;
    for (int i = 0; i < sim.count; i++) {
        const struct view *v = &h->views[i];
        bool over = v->odd || v->phase == PHASE_GONE || lapsed(v) ||
                    (!in_time && v->phase == PHASE_DECIDED);
        check(INV_drain, over, "m%d is in the hand of host %d, which says it is done", i, h->index);
    }
}
