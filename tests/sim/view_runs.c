/* What a host was told of a message, and what came of its runs. */
#include "view.h"

#include "policy/retry.h"

#include <limits.h>
#include <math.h>

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
                       .place = v->place,
                       .slept = v->told_lease_ms <= sim.now_ms}; /* read after a stall */
    set_extend(v);
}

static void delivered_again(struct host *h, struct view *v)
{
    corners[CORNER_delivered_again_key_waiting] += v->waited && awaits_key(v);
    v->anew = false;
    if (v->phase != PHASE_RUNNING && lapsed(v)) {
        v->odd = true; /* in hand no more, or about to be let go of */
        v->doubtful = false;
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
    if (v->odd) /* it may be in hand anew, and wait for its key */
        v->sent = false;
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
    groups_doubt(h);
    check_overdue(h, v);
    h->tally.received++;
    v->own_retry_ms = 0;
    /* Dropped, or about to be; or whether this was its last attempt goes by the receive before. */
    if (awaits_wire(v) && sim.now_ms >= v->give_up_low_ms &&
        (lapsed(v) || (v->to_blame && sim.max_receives > 0)))
        v->odd = true;
    v->told_handle = handle;
    v->told_receives = receives;
    v->told_lease_ms = first_byte_ms + sim.visibility_s * INT64_C(1000);
    if (v->phase != PHASE_GONE) {
        delivered_again(h, v);
        widen(&h->tally.again, !v->odd);
        h->tally.keyless.high += r->keyless && v->odd && !sim.fifo;
        corners[CORNER_group_joined_again] += sim.fifo && v->place == 0;
        if (v->place == 0 || v->odd)
            group_joins(h, v);
        return;
    }
    if (r->keyless && !h->draining && !sim.fifo)
        widen(&h->tally.keyless, true);
    anew(v);
    group_joins(h, v);
    if (h->draining)
        decide(v, KIND_RELEASE, 0, 0);
    else if (!group_first(h, v))
        v->phase = PHASE_BEHIND;
}

/* In a group it may have been taken in a while ago; or it was there all the time, as a dead letter
 * that was kept. */
static void group_taken_in_again(struct host *h, struct view *v)
{
    h->unsure = h->unsure || (v->phase == PHASE_BACKOFF && v->comebacks > 0);
    v->phase = PHASE_WAITING;
    v->starts = v->fails = v->probed = v->comebacks = v->comebacks_open = 0;
    v->parked_ms = v->due_ms = 0;
    v->sent = v->copied = v->copy_open = false;
}

/* It was taken in when its host last heard of it. If that is not just now, it has waited for its
 * key since, and was extended perhaps; which answer counts is known unless there was a later one
 * that was older, or no memory for a newer one. */
static void taken_in_again(struct host *h, struct view *v)
{
    struct view before = *v;
    anew(v);
    if (v->told_lease_ms - lease_length_ms() == sim.now_ms)
        return;
    v->slept = true;
    if (before.told_receives < before.receives || h->unsure)
        v->odd = h->unsure = true;
    if (before.handle == v->handle && before.lease_ms > v->lease_ms)
        v->lease_ms = before.lease_ms;
    v->extending = before.extending == v->handle ? v->handle : 0;
    v->extend_ms = 0;
}

/* Only what is not in hand claims its key. */
void view_claimed(struct host *h, struct record *r, enum claim answer)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
    check_if(!v->odd && sim.fifo, INV_in_order, group_first(h, v),
             "%s takes its turn in host %d before others of its group", r->id, h->index);
    if (v->phase == PHASE_BEHIND)
        v->phase = PHASE_WAITING;
    check_if(!v->odd, INV_kept, !v->claimed,
             "%s was in the hand of host %d, which has forgotten it", r->id, h->index);
    if (!v->anew && v->odd && sim.fifo)
        group_taken_in_again(h, v);
    else if (!v->anew && v->odd) /* let go of meanwhile, and taken in again */
        taken_in_again(h, v);
    v->claimed = true;
    corners[CORNER_keyless] += r->keyless;
    if (r->keyless && sim.fifo) /* its key is looked at when its turn comes */
        widen(&h->tally.keyless, true);
    int64_t since_ms = *acked_ms(h, r);
    bool remembered = since_ms > 0 && sim.now_ms - since_ms < h->ttl_ms;
    check_if(remembered && answer != CLAIM_NO_MEMORY, INV_once, answer == CLAIM_DONE,
             "%s was acked by host %d, which does not remember it", r->id, h->index);
    if (answer == CLAIM_NEW && sim.shared) {
        struct hold *o = hold_of(h, r);
        struct view *last = &h->views[o->record];
        last->in_vain |= last->phase == PHASE_RECORDING && o->failed;
        *o = (struct hold){.host = h, .record = r->number, .failed = h->store_away};
        v->asked_ms = sim.now_ms;
        v->asking = sim.closed || !h->store_away; /* else it runs at once, or tries the store */
    }
    if (answer == CLAIM_DONE) {
        corners[CORNER_waited_deleted_unrun] += v->waited;
        check(INV_remembered, since_ms > 0, "host %d never acked %s but thinks so", h->index,
              r->id);
        corners[CORNER_acked_comes_again]++;
        h->tally.done_claims++;
        decide_aside(v, KIND_DELETE, 0, 0);
    } else if (answer == CLAIM_NO_MEMORY) {
        decide(v, KIND_RELEASE, 5, 5);
    }
}

/* ---- runs ---- */

/* Its run was in time, and is told in the next millisecond that others may have its key. */
static bool claim_ends_now(struct host *h, const struct record *r)
{
    const struct hold *o = hold_of(h, r);
    return sim.closed && o->record == r->number && o->until_ms == sim.now_ms + 1;
}

void view_started(struct host *h, struct record *r, const struct job *job)
{
    struct view *v = view_of(h, r);
    groups_doubt(h);
    check_if(!v->odd && v->phase == PHASE_BACKOFF, INV_in_place, sim.now_ms >= v->again_low_ms,
             "%s runs again in host %d, %lld ms too early", r->id, h->index,
             (long long)(v->again_low_ms - sim.now_ms));
    corners[CORNER_runs_again_in_place] += !v->odd && v->phase == PHASE_BACKOFF;
    if (v->phase == PHASE_BACKOFF)
        v->phase = PHASE_WAITING;
    if (v->doubtful && !lapsed(v) && !claim_ends_now(h, r))
        v->odd = false;
    v->doubtful = false;
    check_if(!v->odd, INV_one_runner, v->phase == PHASE_WAITING || v->phase == PHASE_PARKED,
             "%s runs in host %d, where it is %s", r->id, h->index,
             v->phase == PHASE_RUNNING ? "running" : "settled or being settled");
    if (!v->odd) {
        check(INV_attempt, job->attempt == v->receives + v->starts,
              "%s is told of attempt %d after %d receives and %d runs here", r->id, job->attempt,
              v->receives, v->starts);
        check_if(!v->slept, INV_lease, sim.now_ms <= v->lease_ms,
                 "%s runs in host %d after its lease ended", r->id, h->index);
    }
    v->asking = false;
    check_overdue(h, v);
    corners[CORNER_waited_runs] += v->waited && v->starts == 0;
    corners[CORNER_changed_body_runs] += r->key != r->number && r->pair == r->number;
    v->starts++;
    v->given_up = false;
    v->phase = PHASE_RUNNING;
}

static int longest_backoff_s(const struct host *h, const struct view *v)
{
    int reruns = v->starts > 0 ? v->starts - 1 : 0;
    double ceiling = fmin(sim.retry_cap_s, ldexp(h->retry_base_s, v->receives + reruns - 1));
    return ceiling > RETRY_MIN_S ? (int)ceil(ceiling) : RETRY_MIN_S;
}

void decide_retry(struct host *h, struct view *v, int64_t after_ms)
{
    int after_s = (int)((after_ms + 999) / 1000), low_s = after_s, high_s = after_s;
    if (after_ms < 0) {
        low_s = RETRY_MIN_S;
        high_s = longest_backoff_s(h, v);
    }
    if (!group_keeps(h, v, low_s, high_s))
        decide(v, KIND_RETRY, low_s, high_s);
}

void decide_keep(struct host *h, struct view *v)
{
    int seconds = (int)sim.retry_cap_s;
    v->claimed = false; /* it let go of its key as a dead letter */
    if (!v->given_up && group_keeps(h, v, seconds, seconds))
        corners[CORNER_kept_in_place]++;
    else
        decide(v, KIND_RETRY, seconds, seconds);
}

static bool is_exhausted(const struct view *v)
{
    return sim.max_receives > 0 && v->receives + v->fails > sim.max_receives;
}

static void dies(struct host *h, struct view *v, bool exhausted)
{
    if (!h->dead_letters) {
        decide_keep(h, v);
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
    /* In a group it may have been taken in anew; then its target's failures count from there. */
    h->unsure = h->unsure || (sim.fifo && job->target_failed);
    v->odd = true;
    v->doubtful = false; /* what its host makes of this verdict is open, too */
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
        if (v->odd && v->phase == PHASE_DECIDED) /* it may wait there, too */
            v->comebacks_open += proven;
        if (v->phase != PHASE_PARKED)
            continue;
        v->comebacks += proven && !v->doubtful;
        v->comebacks_open += proven && v->doubtful; /* unless it asked for its claim then */
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
        const struct hold *o = hold_of(h, &sim.records[i]);
        /* Its claim is over, or a store that is back is to say first whose it is. */
        bool asks = sim.shared && (o->ours ? o->until_ms <= sim.now_ms : !h->store_away);
        bool waits = other->phase == PHASE_PARKED && in_hand(h, other) && !asks;
        check_if(waits && other != v, INV_outage, other->probed >= v->probed,
                 "host %d tries its target with %s for the %dth time, m%d waits for its %dth",
                 h->index, r->id, v->probed + 1, i, other->probed + 1);
    }
    v->probed++;
}

bool view_has_company(const struct host *h)
{
    int count = 0, least = INT_MAX;
    for (int i = 0; i < sim.count; i++) {
        const struct view *v = &h->views[i];
        if (!in_hand(h, v) || awaits_key(v) || awaits_turn(v) || awaits_wire(v))
            continue;
        count++;
        least = v->probed < least ? v->probed : least;
    }
    corners[CORNER_company_for_several] += count > 1;
    return least >= COMPANY_AFTER * count;
}

void view_verdict(struct host *h, struct record *r, const struct job *job, bool blamed)
{
    struct view *v = view_of(h, r);
    bool outage = job->target_failed && !blamed;
    if (job->target_failed && v->comebacks < COMEBACKS_MAX &&
        v->comebacks + v->comebacks_open >= COMEBACKS_MAX)
        v->odd = h->unsure = true; /* whether it is blamed */
    if (v->odd && job->target_failed && v->comebacks + v->comebacks_open > 0)
        h->unsure = true; /* and so, whether its target is down */
    corners[CORNER_target_exonerated] += blamed;
    r->failed |= blamed || (job->target_failed && (h->unsure || v->odd));
    if (job->outcome == OUTCOME_ACK)
        *acked_ms(h, r) = sim.now_ms;
    if (v->phase != PHASE_RUNNING)
        return; /* given up meanwhile */
    groups_doubt(h);
    check_overdue(h, v);
    check_if(!v->odd && !lapsed(v) && !v->slept, INV_lease, !atomic_load(&job->lease_lost),
             "%s is told that its lease has lapsed, and it has not", r->id);
    if (v->odd || lapsed(v)) {
        verdict_after_lapse(h, v, job);
        return;
    }
    switch (job->outcome) {
    case OUTCOME_ACK:
        hold_of(h, r)->failed |= h->store_away; /* then telling it is in vain */
        if (sim.shared)
            v->phase = PHASE_RECORDING;
        else
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
    v->fails += !outage;
    if (outage && !h->draining && v->parked_ms == 0)
        v->parked_ms = sim.now_ms;
    if (outage && !h->draining && (sim.now_ms - v->parked_ms < h->hold_ms || is_last(v)))
        v->phase = PHASE_PARKED;
    else if (!outage && is_exhausted(v))
        dies(h, v, true);
    else
        decide_retry(h, v, job->after_ms);
}

void view_cancelled(struct host *h, struct record *r, bool sent, int64_t wire_until_ms)
{
    struct view *v = view_of(h, r);
    if (v->odd || v->phase != PHASE_RUNNING)
        return;
    bool claim_gone = sim.shared && v->slept; /* as its host hears on waking */
    check(INV_lease, h->draining || lapsed(v) || claim_gone,
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

/* ---- given up with a worker ---- */

static void given_up_for_long(void *arg, uint64_t number)
{
    struct host *h = arg;
    struct view *v = &h->views[number];
    if (!awaits_wire(v) || sim.now_ms <= v->give_up_high_ms || !(v->odd || lapsed(v)))
        return;
    v->odd = true; /* dropped without a word */
    v->phase = PHASE_DECIDED;
}

void view_given_up(struct host *h, const struct run *run)
{
    struct view *v = view_of(h, run->record);
    groups_doubt(h);
    if (v->phase != PHASE_RUNNING)
        return;
    v->given_up = true;
    v->to_blame = atomic_load(&run->job->at_work);
    v->fails += v->to_blame;
    run->record->failed |= v->to_blame;
    v->give_up_low_ms = run->wire_until_ms ? run->wire_until_ms - 1 : sim.now_ms; /* answered */
    v->give_up_high_ms = run->wire_until_ms ? run->wire_until_ms + WIRE_MARGIN_MS : sim.now_ms;
    corners[v->to_blame ? CORNER_stuck_blamed : CORNER_stuck_neighbour]++;
    corners[CORNER_stuck_on_the_wire] += run->wire_until_ms > 0;
    corners[CORNER_stuck_twice] += h->stuck_workers > 0;
    v->odd = v->odd || lapsed(v);
    v->doubtful = false;
    later(v->give_up_high_ms + 1 - sim.now_ms, h, given_up_for_long, h,
          (uint64_t)run->record->number);
}

void decide_given_up(struct host *h, struct view *v)
{
    check(INV_wire, sim.now_ms >= v->give_up_low_ms,
          "m%d: host %d gives it back %lld ms before its request is over", (int)(v - h->views),
          h->index, (long long)(v->give_up_low_ms - sim.now_ms));
    if (v->to_blame && is_exhausted(v)) {
        corners[CORNER_stuck_exhausted]++;
        dies(h, v, true);
    } else if (v->to_blame) {
        decide(v, KIND_RETRY, RETRY_MIN_S, longest_backoff_s(h, v));
    } else {
        decide(v, KIND_RELEASE, 0, 0);
    }
    v->due_ms = 0;
}
