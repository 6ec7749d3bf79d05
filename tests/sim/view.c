/* What a host must make of a message, worked out from what crossed the seam and from nothing
 * else: where it is, what the queue must be told of it, by when, and how that is counted. A view
 * is odd while more than one continuation is right, for instance after its lease has lapsed; then
 * it only widens the bounds of the counts. */
#include "world.h"

#include "policy/retry.h"

#include <inttypes.h>
#include <math.h>

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

static const char *const kind_names[] = {"delete", "retry", "reject", "release"};

struct view *view_of(struct host *h, const struct record *r)
{
    return &h->views[r->number];
}

static bool lapsed(const struct view *v)
{
    return v->lease_ms <= sim.now_ms;
}

static bool is_last(const struct view *v)
{
    return sim.max_receives > 0 && v->receives >= sim.max_receives;
}

/* It has been parked for so long that its host lets it go whenever it looks. */
static bool hold_over(const struct host *h, const struct view *v)
{
    return v->phase == PHASE_PARKED && sim.now_ms - v->parked_ms >= h->hold_ms && !is_last(v);
}

static bool in_hand(const struct host *h, const struct view *v)
{
    return !hold_over(h, v) && !v->odd && v->phase != PHASE_GONE && v->phase != PHASE_DECIDED &&
           !lapsed(v);
}

static void widen(struct bounds *b, bool sure)
{
    b->low += sure;
    b->high++;
}

static int64_t lease_length_ms(void)
{
    return sim.visibility_s * INT64_C(1000);
}

/* An extension is sent by half the lease. */
static void set_extend(struct view *v)
{
    v->extend_ms = v->slept || v->extending || lapsed(v) ? 0 : v->lease_ms - lease_length_ms() / 2;
    if (v->extend_ms > 0 && v->extend_ms < sim.now_ms)
        v->extend_ms = sim.now_ms;
}

/* What should have been said by now and was not. */
static void check_overdue(const struct host *h, const struct view *v)
{
    int number = (int)(v - h->views);
    if (v->odd || v->slept || v->phase == PHASE_GONE)
        return;
    bool late = v->due_ms > 0 && sim.now_ms > v->due_ms && v->due_ms < v->lease_ms;
    if (v->phase == PHASE_DECIDED)
        check(v->sent ? INV_entries : INV_prompt, !late,
              "m%d: host %d still owes the queue a %s, due %lld ms ago", number, h->index,
              kind_names[v->kind], (long long)(sim.now_ms - v->due_ms));
    else if (v->phase == PHASE_COPYING)
        check(INV_copied, !late, "m%d: host %d still owes a copy, due %lld ms ago", number,
              h->index, (long long)(sim.now_ms - v->due_ms));
    if (v->phase != PHASE_DECIDED && !hold_over(h, v))
        check(INV_lease, v->extend_ms == 0 || sim.now_ms <= v->extend_ms + 1,
              "m%d: host %d does not extend its lease, due %lld ms ago", number, h->index,
              (long long)(sim.now_ms - v->extend_ms));
}

static void gives_up(struct host *h, bool sure)
{
    if (h->draining)
        widen(&h->tally.drain_gave_up, sure);
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
    set_extend(v);
}

static void delivered_again(struct host *h, struct view *v)
{
    v->anew = false;
    if (v->phase != PHASE_RUNNING && lapsed(v)) {
        v->odd = true; /* in hand no more, or about to be let go of */
        corners[CORNER_lapse_while_waiting] +=
            v->phase == PHASE_WAITING || v->phase == PHASE_PARKED;
    }
    if (v->phase == PHASE_RUNNING)
        corners[CORNER_delivered_again_running]++;
    else if (v->phase == PHASE_PARKED)
        corners[CORNER_delivered_again_parked]++;
    else if (v->phase == PHASE_COPYING)
        corners[CORNER_delivered_again_copying]++;
    else if (v->phase == PHASE_DECIDED)
        corners[CORNER_delivered_again_settling]++;
    if (v->told_receives < v->receives) {
        corners[CORNER_older_answer_overtaken]++;
        return;
    }
    v->odd = v->odd || hold_over(h, v);
    v->handle = v->told_handle;
    v->receives = v->told_receives;
    v->lease_ms = v->told_lease_ms;
    set_extend(v);
}

void view_heard(struct host *h, struct record *r, uint64_t handle, int receives,
                int64_t first_byte_ms)
{
    struct view *v = view_of(h, r);
    check_overdue(h, v);
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
        check(INV_lease, sim.now_ms <= v->lease_ms || v->slept,
              "%s runs in host %d after its lease ended", r->id, h->index);
    }
    check_overdue(h, v);
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

static void decide_keep(struct view *v)
{
    decide(v, KIND_RETRY, (int)sim.retry_cap_s, (int)sim.retry_cap_s);
}

static void dies(struct host *h, struct view *v, bool exhausted)
{
    if (!h->dead_letters) {
        decide_keep(v);
        return;
    }
    v->phase = PHASE_COPYING;
    v->exhausted = exhausted;
    v->copying_ms = sim.now_ms;
    set_due(v, 0);
    if (queue_copies_open(h) >= COPIES_AT_ONCE)
        v->due_ms = 0;
}

static void verdict_after_lapse(struct host *h, struct view *v, const struct job *job)
{
    if (!v->odd && !v->slept && sim.now_ms > v->lease_ms + 1) {
        h->tally.lease_lost.low++;
        check(INV_lease, atomic_load(&job->lease_lost), "%s is not told that its lease has lapsed",
              job->id);
        corners[CORNER_lapse_while_running]++;
    }
    if (job->outcome == OUTCOME_ACK)
        corners[CORNER_ack_after_lapse]++;
    v->odd = true;
    v->phase = PHASE_DECIDED;
}

/* A message that its target fails again each time after others have brought it back. */
bool view_blamed(struct host *h, const struct run *run)
{
    return run->job->target_failed && !run->probe &&
           view_of(h, run->record)->comebacks >= COMEBACKS_MAX;
}

void view_target_up(struct host *h, bool proven)
{
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        if (v->phase != PHASE_PARKED)
            continue;
        v->comebacks += proven;
        v->odd = v->odd || hold_over(h, v) || lapsed(v);
        v->phase = PHASE_WAITING;
        tell(&sim.records[i], "host %d: its target is back%s", h->index,
             proven ? ", tried by another" : "");
        h->unsure = h->unsure || (v->odd && v->comebacks >= COMEBACKS_MAX);
    }
}

/* Those that wait take turns. */
void view_probes(struct host *h, struct record *r)
{
    struct view *v = view_of(h, r);
    for (int i = 0; i < sim.count && !h->unsure && !v->odd; i++) {
        const struct view *other = &h->views[i];
        bool waits = other->phase == PHASE_PARKED && in_hand(h, other);
        check(INV_outage, !waits || other == v || other->probed >= v->probed,
              "host %d tries its target with %s for the %dth time, m%d waits for its %dth",
              h->index, r->id, v->probed + 1, i, other->probed + 1);
    }
    v->probed++;
}

bool view_has_company(const struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        const struct view *v = &h->views[i];
        if (in_hand(h, v) && v->probed <= COMPANY_AFTER)
            return false;
    }
    return true;
}

void view_verdict(struct host *h, struct record *r, const struct job *job, bool blamed)
{
    struct view *v = view_of(h, r);
    bool outage = job->target_failed && !blamed;
    corners[CORNER_target_exonerated] += blamed;
    r->failed |= blamed || (job->target_failed && (h->unsure || v->odd));
    if (job->outcome == OUTCOME_ACK)
        v->acked_ms = sim.now_ms;
    if (v->phase != PHASE_RUNNING)
        return; /* given up meanwhile */
    check_overdue(h, v);
    check(INV_lease, v->odd || lapsed(v) || v->slept || !atomic_load(&job->lease_lost),
          "%s is told that its lease has lapsed, and it has not", r->id);
    if (v->odd || lapsed(v)) {
        verdict_after_lapse(h, v, job);
        return;
    }
    switch (job->outcome) {
    case OUTCOME_ACK:
        decide(v, KIND_DELETE, 0, 0);
        return;
    case OUTCOME_REJECT:
        dies(h, v, false);
        return;
    case OUTCOME_RELEASE:
        decide(v, KIND_RELEASE, 0, 0);
        return;
    case OUTCOME_NONE:
    case OUTCOME_RETRY:
        break;
    }
    if (outage && !h->draining && v->parked_ms == 0)
        v->parked_ms = sim.now_ms;
    if (outage && !h->draining && (sim.now_ms - v->parked_ms < h->hold_ms || is_last(v)))
        v->phase = PHASE_PARKED;
    else if (!outage && is_last(v))
        dies(h, v, true);
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
    check(INV_lease, v->odd || v->slept || v->extend_ms == 0 || sim.now_ms <= v->extend_ms + 1,
          "%s: host %d extends it %lld ms late", r->id, h->index,
          (long long)(sim.now_ms - v->extend_ms));
    check(INV_lease,
          v->odd || v->slept ||
              sim.now_ms >= v->lease_ms - lease_length_ms() / 2 - lease_length_ms() / 10,
          "%s: host %d extends a lease of which %lld ms are left", r->id, h->index,
          (long long)(v->lease_ms - sim.now_ms));
    v->extending = handle;
    v->extend_ms = 0;
}

static void extension_holds(struct host *h, struct record *r, struct view *v, int64_t sent_ms)
{
    int64_t until_ms = sent_ms + sim.visibility_s * INT64_C(1000);
    bool held = !v->odd && !lapsed(v);
    if (until_ms > v->lease_ms)
        v->lease_ms = until_ms;
    set_extend(v);
    /* It knows again how long it has; what went wrong before is made good. */
    if (held && r->holder == h && r->holder_life == h->life && r->handle == v->handle &&
        !h->draining && until_ms > sim.now_ms + 500)
        r->excused = false;
}

static void extension_refused(struct host *h, struct view *v)
{
    widen(&h->tally.lease_lost, !v->odd && !lapsed(v) && !hold_over(h, v));
    v->own_retry_ms = -1;
    bool stays = v->phase == PHASE_RUNNING || v->copy_open || hold_over(h, v);
    if (!v->odd && !stays)
        v->phase = PHASE_GONE;
    else
        v->odd = true;
}

/* A release that hides for as long as an extension looks like one. */
static void perhaps_release(struct host *h)
{
    h->tally.settled[KIND_RELEASE].high++;
    h->tally.entries_failed.high += 2; /* the entry, and that it is given up */
    gives_up(h, false);
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
    set_extend(v);
    if (v->odd && h->draining)
        perhaps_release(h);
    if (lapsed(v) && v->phase != PHASE_RUNNING)
        v->odd = true; /* let go of at its end, or just about to be */
    if (good)
        widen(&h->tally.extensions, !v->odd && !lapsed(v));
    if (good && handle == v->handle)
        extension_holds(h, r, v, b->sent_ms);
    else if (b->result.status == QUEUE_OK && e->sender_fault && handle == v->handle &&
             v->phase != PHASE_DECIDED)
        extension_refused(h, v);
    else if (!good && handle == v->handle)
        v->extend_ms = v->slept || v->lease_ms <= sim.now_ms + EXTEND_AGAIN_MS
                           ? 0 /* it is left to lapse */
                           : sim.now_ms + EXTEND_AGAIN_MS;
    if (v->phase == PHASE_DECIDED && !v->sent)
        set_due(v, PROMPT_MS);
}

/* ---- copies ---- */

/* Time was up: what no copy is on the wire of is kept. */
static bool hurries(const struct host *h)
{
    return h->draining && (h->hurried || sim.now_ms - h->drain_began_ms >= h->drain_ms);
}

void view_copies(struct host *h, struct record *r, const struct queue_copy *copy)
{
    struct view *v = view_of(h, r);
    check(INV_unrun, v->odd || (v->phase == PHASE_COPYING && v->exhausted == copy->exhausted),
          "%s: host %d makes a dead letter of it, and nothing says that it is one", r->id,
          h->index);
    check(INV_unrun, r->failed, "%s: host %d makes a dead letter of it, and no run has failed",
          r->id, h->index);
    check(INV_copied, !v->copy_open && !v->copied, "%s: host %d copies it a second time", r->id,
          h->index);
    check(INV_copied, v->due_ms == 0 || sim.now_ms <= v->due_ms,
          "%s: the copy of host %d is %lld ms late", r->id, h->index,
          (long long)(sim.now_ms - v->due_ms));
    check(INV_copied, copy->wall_ms == sim.now_ms, "%s is copied at %lld", r->id,
          (long long)copy->wall_ms);
    corners[CORNER_copied_exhausted] += copy->exhausted;
    v->copy_open = true;
    v->due_ms = 0;
}

/* Refused for good, or for too long: it is kept. */
static void copy_failed(struct host *h, struct view *v, enum queue_status status)
{
    bool passing = status == QUEUE_UNREACHABLE || status == QUEUE_BUSY;
    if (v->odd || lapsed(v)) {
        corners[CORNER_lapse_while_copying]++;
        v->odd = true;
    } else if (passing && !hurries(h) && sim.now_ms - v->copying_ms < h->hold_ms) {
        corners[CORNER_copy_tried_again]++;
        if (queue_copies_open(h) < COPIES_AT_ONCE)
            set_due(v, COPY_AGAIN_CAP_MS);
    } else {
        corners[CORNER_copy_kept]++;
        decide_keep(v);
    }
}

void view_copied(struct host *h, struct record *r, const struct queue_result *result)
{
    struct view *v = view_of(h, r);
    v->copy_open = false;
    if (result->status != QUEUE_OK) {
        copy_failed(h, v, result->status);
        return;
    }
    v->copied = true;
    if (lapsed(v))
        v->odd = true;
    if (!v->odd)
        decide(v, KIND_REJECT, 0, 0);
}

/* ---- out ---- */

/* What must have happened before anything may be deleted, whatever else is open. */
void view_deletes(struct host *h, const struct record *r)
{
    const struct view *v = view_of(h, r);
    check(INV_no_loss, v->acked_ms > 0 || v->copied,
          "%s: host %d deletes it, and neither a handler of its acked it nor was a copy confirmed",
          r->id, h->index);
}

static void settles_decided(struct host *h, struct record *r, struct view *v, enum queue_op op,
                            int visibility_s)
{
    bool done = v->kind == KIND_DELETE || v->kind == KIND_REJECT;
    enum queue_op expected = done ? QUEUE_DELETE : QUEUE_CHANGE;
    check(INV_fits,
          op == expected &&
              (op == QUEUE_DELETE || (visibility_s >= v->low_s && visibility_s <= v->high_s)),
          "%s: host %d owes a %s of %d to %d s and sends a %s of %d s", r->id, h->index,
          kind_names[v->kind], v->low_s, v->high_s, op == QUEUE_DELETE ? "delete" : "change",
          visibility_s);
    check(v->sent ? INV_entries : INV_prompt, v->due_ms == 0 || sim.now_ms <= v->due_ms,
          "%s: the %s of host %d is %lld ms late", r->id, kind_names[v->kind], h->index,
          (long long)(sim.now_ms - v->due_ms));
    check(INV_entries, !v->sent || v->slept || sim.now_ms < v->lease_ms + AGAIN_CAP_MS,
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
    if (!v->odd && v->phase == PHASE_COPYING && !v->copy_open && hurries(h)) {
        decide_keep(v);
        v->due_ms = 0;
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

/* A failed entry comes again within AGAIN_CAP_MS: one timer serves all. */
static void try_again(struct host *h, struct view *v)
{
    if (v->odd || v->lease_ms - sim.now_ms <= AGAIN_CAP_MS) { /* it may give up */
        h->tally.entries_failed.high++;
        h->tally.lease_lost.high++;
        gives_up(h, false);
        v->odd = true;
        return;
    }
    set_due(v, AGAIN_CAP_MS + PROMPT_MS);
}

static void confirmed(struct host *h, struct view *v, enum queue_op op)
{
    bool sure = !v->odd && !v->late;
    for (enum kind k = 0; k < KIND_COUNT; k++)
        if (v->odd ? (k == KIND_DELETE || k == KIND_REJECT) == (op == QUEUE_DELETE) : k == v->kind)
            widen(&h->tally.settled[k], sure);
    if (op == QUEUE_CHANGE && (v->odd || v->kind == KIND_RETRY))
        v->own_retry_ms = v->odd ? -1 : sim.now_ms + v->visibility_s * INT64_C(1000);
    v->phase = PHASE_GONE;
    v->odd = false;
}

void view_settled(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                  const struct queue_entry *e)
{
    struct view *v = view_of(h, r);
    if (b->result.status != QUEUE_OK) {
        try_again(h, v);
    } else if (!e->ok && !e->sender_fault) {
        widen(&h->tally.entries_failed, true);
        try_again(h, v);
    } else if (handle != v->handle) {
        set_due(v, PROMPT_MS); /* only the newest is sure to work */
    } else if (e->ok) {
        confirmed(h, v, b->op);
    } else {
        widen(&h->tally.entries_failed, !v->odd);
        if (b->op == QUEUE_DELETE)
            widen(&h->tally.lease_lost, !v->odd);
        gives_up(h, !v->odd);
        v->own_retry_ms = -1;
        v->phase = PHASE_GONE;
        v->odd = false;
    }
}

/* ---- all of a host ---- */

void view_drains(struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        corners[CORNER_drain_with_copying] += v->phase == PHASE_COPYING;
        if (v->phase != PHASE_WAITING && v->phase != PHASE_PARKED)
            continue;
        corners[v->phase == PHASE_PARKED ? CORNER_drain_with_parked : CORNER_drain_with_waiting]++;
        if (lapsed(v) || hold_over(h, v))
            v->odd = true; /* let go of, or its retry lingers */
        else if (!v->odd)
            decide(v, KIND_RELEASE, 0, 0);
    }
}

void view_sleeps(struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        h->views[i].slept = true;
        h->views[i].due_ms = h->views[i].extend_ms = 0;
    }
}

void view_all_odd(struct host *h)
{
    for (int i = 0; i < sim.count; i++) {
        h->views[i].odd = true;
        h->views[i].due_ms = h->views[i].extend_ms = 0;
    }
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
    if (h->unsure)
        return;
    for (int i = 0; i < sim.count && !host_asleep(h); i++)
        check_overdue(h, &h->views[i]);
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
        check_overdue(h, v);
        bool over = v->odd || v->phase == PHASE_GONE || lapsed(v) ||
                    (!in_time && v->phase == PHASE_DECIDED);
        check(INV_drain, over, "m%d is in the hand of host %d, which says it is done", i, h->index);
    }
}
