/* What a host says of a message to the queue: extensions, copies, settlements. */
#include "view.h"

#include <inttypes.h>

/* ---- extensions ---- */

/* In this very moment, in which its extension was due, too: either goes first. */
static bool decided_aside_just_now(const struct view *v)
{
    return v->phase == PHASE_DECIDED && !v->sent && v->decided_aside_ms == sim.now_ms;
}

bool view_is_extension(struct host *h, const struct record *r, const struct queue_entry *e,
                       enum queue_op op)
{
    const struct view *v = view_of(h, r);
    /* Retries are always shorter than the lease here. */
    return op == QUEUE_CHANGE && e->visibility_s == sim.visibility_s &&
           (v->phase != PHASE_DECIDED || decided_aside_just_now(v) ||
            (v->odd && (!v->sent || v->visibility_s != sim.visibility_s)));
}

void view_extends(struct host *h, struct record *r, uint64_t handle)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
    check_if(!v->odd, INV_newest, handle == v->handle,
             "%s: handle %" PRIu64 " is used, host %d has %" PRIu64, r->id, handle, h->index,
             v->handle);
    check_if(!v->odd, INV_lease, v->phase != PHASE_GONE,
             "%s is extended by host %d, which has settled it", r->id, h->index);
    check_if(!v->odd && !v->slept && v->extend_ms > 0, INV_lease, sim.now_ms <= v->extend_ms + 1,
             "%s: host %d extends it %lld ms late", r->id, h->index,
             (long long)(sim.now_ms - v->extend_ms));
    check_if(!v->odd && !v->slept, INV_lease,
             sim.now_ms >= v->lease_ms - lease_length_ms() / 2 - lease_length_ms() / 10,
             "%s: host %d extends a lease of which %lld ms are left", r->id, h->index,
             (long long)(v->lease_ms - sim.now_ms));
    v->extending = handle;
    v->extend_ms = 0;
    if (v->phase == PHASE_DECIDED)
        v->due_ms = 0; /* it waits for that answer */
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

/* A store may have decided of it already, unseen from here: then it settles, and loses nothing. */
static bool store_decides(const struct view *v)
{
    return v->phase == PHASE_WAITING || v->phase == PHASE_RECORDING;
}

static void extension_refused(struct host *h, struct view *v)
{
    bool sure = !v->odd && !lapsed(v) && !hold_over(h, v) && v->phase != PHASE_DECIDED;
    bool given_up =
        awaits_wire(v) && sim.now_ms >= v->give_up_low_ms; /* perhaps: it settles then */
    widen(&h->tally.lease_lost, sure && !given_up && !store_decides(v));
    v->own_retry_ms = -1;
    bool stays = v->phase == PHASE_RUNNING || v->phase == PHASE_RECORDING || v->copy_open ||
                 v->phase == PHASE_DECIDED || hold_over(h, v);
    if (!v->odd && !stays) {
        v->phase = PHASE_GONE;
        group_leaves(h, v, false);
    } else {
        v->odd = true;
    }
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
    groups_doubt(h);
    if (v->extending != handle) { /* of an earlier time in hand */
        h->tally.extensions.high++;
        return;
    }
    bool good = b->result.status == QUEUE_OK && e->ok;
    v->extending = 0;
    v->answered_ms = sim.now_ms;
    set_extend(v);
    if (v->odd && h->draining)
        perhaps_release(h);
    if (lapsed(v) && v->phase != PHASE_RUNNING)
        v->odd = true; /* let go of at its end, or just about to be */
    if (good)
        widen(&h->tally.extensions, !v->odd && !lapsed(v) && !v->slept && v->phase != PHASE_GONE);
    if (good && handle == v->handle)
        extension_holds(h, r, v, b->sent_ms);
    else if (b->result.status == QUEUE_OK && e->sender_fault && handle == v->handle &&
             (v->phase != PHASE_DECIDED || decided_aside_just_now(v)))
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
    groups_doubt(h);
    if (!v->odd && awaits_wire(v))
        decide_given_up(h, v);
    check_if(!v->odd, INV_unrun, v->phase == PHASE_COPYING && v->exhausted == copy->exhausted,
             "%s: host %d makes a dead letter of it, and nothing says that it is one", r->id,
             h->index);
    check(INV_unrun, r->failed, "%s: host %d makes a dead letter of it, and no run has failed",
          r->id, h->index);
    check(INV_copied, !v->copy_open && !v->copied, "%s: host %d copies it a second time", r->id,
          h->index);
    check_if(v->due_ms > 0, INV_copied, sim.now_ms <= v->due_ms,
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
        decide_keep(h, v);
    }
}

void view_copied(struct host *h, struct record *r, const struct queue_result *result)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
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
    check(INV_no_loss, *acked_ms(h, r) > 0 || v->copied || v->told_acked,
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
    check_if(v->due_ms > 0, v->sent ? INV_entries : INV_prompt, sim.now_ms <= v->due_ms,
             "%s: the %s of host %d is %lld ms late", r->id, kind_names[v->kind], h->index,
             (long long)(sim.now_ms - v->due_ms));
    check_if(v->sent && !v->slept, INV_entries, sim.now_ms < v->lease_ms + AGAIN_CAP_MS,
             "%s: host %d tries again long after the lease", r->id, h->index);
    const struct hold *o = hold_of(h, r);
    check_if(!done && *acked_ms(h, r) == 0 && sim.shared && o->record == r->number && !h->unsure &&
                 !hurries(h),
             INV_freed, !o->ours || o->open, "%s: host %d gives it back and keeps its claim", r->id,
             h->index);
    corners[CORNER_settlement_tried_again] += v->sent;
}

void view_settles(struct host *h, struct record *r, uint64_t handle, enum queue_op op,
                  int visibility_s)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
    tell(r, "host %d sends %s of %d s", h->index, op == QUEUE_DELETE ? "a delete" : "a change",
         visibility_s);
    check_if(!v->odd, INV_newest, handle == v->handle,
             "%s: handle %" PRIu64 " is used, host %d has %" PRIu64, r->id, handle, h->index,
             v->handle);
    check_if(!v->odd && op == QUEUE_CHANGE && handle == v->handle, INV_lease, !lapsed(v),
             "%s: host %d gives it back after its lease, perhaps out of the hands of another",
             r->id, h->index);
    check_if(!v->odd && sim.fifo, INV_in_place, !awaits_turn(v),
             "%s: host %d gives it back, which should wait for its turn in its group", r->id,
             h->index);
    if (!v->odd && v->phase == PHASE_PARKED) {
        check(INV_parked, sim.now_ms - v->parked_ms >= h->hold_ms,
              "%s: host %d gives it back after %lld ms of its %lld in the park", r->id, h->index,
              (long long)(sim.now_ms - v->parked_ms), (long long)h->hold_ms);
        corners[CORNER_hold_ran_out]++;
        decide_retry(h, v, -1);
    }
    if (!v->odd && v->phase == PHASE_WAITING && v->asked_ms > 0) {
        check(INV_parked, sim.now_ms - v->asked_ms >= h->hold_ms,
              "%s: host %d gives it back, which has waited %lld ms of its %lld for its claim",
              r->id, h->index, (long long)(sim.now_ms - v->asked_ms), (long long)h->hold_ms);
        corners[CORNER_claim_waited_too_long]++;
        r->burnt = true;
        decide_retry(h, v, -1);
    }
    if (!v->odd && awaits_wire(v))
        decide_given_up(h, v);
    if (!v->odd && v->phase == PHASE_RECORDING) {
        const struct hold *o = hold_of(h, r);
        check_if(!h->unsure, INV_recorded,
                 v->in_vain || o->told || o->failed || h->store_away || hurries(h) || lapsed(v) ||
                     v->slept,
                 "%s: host %d deletes it and has not told the store of the ack", r->id, h->index);
        decide(v, KIND_DELETE, 0, 0);
        v->due_ms = 0;
    }
    if (!v->odd && v->phase == PHASE_COPYING && !v->copy_open && hurries(h)) {
        decide_keep(h, v);
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
    group_leaves(h, v, op == QUEUE_DELETE);
}

void view_settled(struct host *h, struct record *r, uint64_t handle, const struct queue_batch *b,
                  const struct queue_entry *e)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
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
        group_leaves(h, v, false);
    }
}
