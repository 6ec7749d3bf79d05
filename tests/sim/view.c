/* What a host must make of a message, worked out from what crossed the seam and from nothing
 * else: where it is, what the queue must be told of it, by when, and how that is counted. A view
 * is odd while more than one continuation is right, for instance after its lease has lapsed; then
 * it only widens the bounds of the counts. */
#include "view.h"

const char *const kind_names[] = {"delete", "retry", "reject", "release"};

struct view *view_of(struct host *h, const struct record *r)
{
    return &h->views[r->number];
}

int64_t *acked_ms(struct host *h, const struct record *r)
{
    return &h->views[r->pair].acked_ms;
}

/* It has been parked for so long that its host lets it go whenever it looks. */
bool hold_over(const struct host *h, const struct view *v)
{
    int64_t since_ms = v->phase == PHASE_PARKED                       ? v->parked_ms
                       : v->phase == PHASE_WAITING && v->asked_ms > 0 ? v->asked_ms
                                                                      : INT64_MAX;
    return since_ms <= sim.now_ms - h->hold_ms && !is_last(v);
}

bool in_hand(const struct host *h, const struct view *v)
{
    return !hold_over(h, v) && !v->odd && v->phase != PHASE_GONE && v->phase != PHASE_DECIDED &&
           v->phase != PHASE_RECORDING && !lapsed(v);
}

void widen(struct bounds *b, bool sure)
{
    b->low += sure;
    b->high++;
}

/* An extension is sent by half the lease. */
void set_extend(struct view *v)
{
    v->extend_ms = v->slept || v->extending || lapsed(v) ? 0 : v->lease_ms - lease_length_ms() / 2;
    if (v->extend_ms > 0 && v->extend_ms < sim.now_ms)
        v->extend_ms = sim.now_ms;
}

/* What should have been said by now and was not. */
void check_overdue(const struct host *h, const struct view *v)
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
    if (awaits_wire(v) && sim.now_ms >= v->give_up_low_ms) {
        int64_t ready_ms =
            v->give_up_high_ms > v->answered_ms ? v->give_up_high_ms : v->answered_ms;
        check_if(!v->extending && !lapsed(v), INV_prompt, sim.now_ms <= ready_ms + PROMPT_MS,
                 "m%d: host %d still owes it to the queue, given up %lld ms ago", number, h->index,
                 (long long)(sim.now_ms - ready_ms));
        return;
    }
    if (v->phase != PHASE_DECIDED && !hold_over(h, v))
        check_if(v->extend_ms > 0, INV_lease, sim.now_ms <= v->extend_ms + 1,
                 "m%d: host %d does not extend its lease, due %lld ms ago", number, h->index,
                 (long long)(sim.now_ms - v->extend_ms));
}

void gives_up(struct host *h, bool sure)
{
    if (h->draining)
        widen(&h->tally.drain_gave_up, sure);
}

void set_due(struct view *v, int64_t in_ms)
{
    v->due_ms = v->slept || v->odd ? 0 : sim.now_ms + in_ms;
}

void decide(struct view *v, enum kind kind, int low_s, int high_s)
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

void decide_aside(struct view *v, enum kind kind, int low_s, int high_s)
{
    decide(v, kind, low_s, high_s);
    v->decided_aside_ms = sim.now_ms;
}

/* ---- all of a host ---- */

/* Those behind go back after the one that they wait for. */
static void drains_in_group(struct host *h, struct view *v)
{
    int64_t low_ms = v->again_low_ms - sim.now_ms, high_ms = v->again_high_ms - sim.now_ms;
    corners[v->phase == PHASE_BEHIND ? CORNER_drain_with_behind : CORNER_drain_with_backoff]++;
    bool sleeps = low_ms > 0, waits = high_ms < -PROMPT_MS; /* for a slot: its timer has fired */
    if (lapsed(v) || v->slept || (v->phase == PHASE_BACKOFF && !sleeps && !waits))
        v->odd = true;
    else if (!v->odd && v->phase == PHASE_BACKOFF && sleeps)
        decide_aside(v, KIND_RETRY, (int)(low_ms / 1000), (int)((high_ms + 999) / 1000));
    else if (!v->odd && (v->phase == PHASE_BACKOFF || group_first(h, v)))
        decide_aside(v, KIND_RELEASE, 0, 0);
}

void view_drains(struct host *h)
{
    groups_doubt(h);
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        corners[CORNER_drain_with_copying] += v->phase == PHASE_COPYING;
        if (awaits_turn(v))
            drains_in_group(h, v);
        if (v->phase != PHASE_WAITING && v->phase != PHASE_PARKED)
            continue;
        corners[CORNER_drain_with_key_waiting] += awaits_key(v);
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
        h->views[i].doubtful = false;
        h->views[i].due_ms = h->views[i].extend_ms = 0;
    }
}

int view_in_hand(const struct host *h)
{
    int count = 0;
    for (int i = 0; i < sim.count; i++)
        count +=
            in_hand(h, &h->views[i]) && !awaits_turn(&h->views[i]) && !awaits_wire(&h->views[i]);
    return count;
}

int view_key_waiting(const struct host *h)
{
    int count = 0;
    for (int i = 0; i < sim.count; i++)
        count += in_hand(h, &h->views[i]) && awaits_key(&h->views[i]);
    return count;
}

static bool key_in_hand(const struct host *h, int key)
{
    if (h->holds[key].open || h->holds[key].failed) /* the store is still to be told */
        return true;
    for (int i = 0; i < sim.count; i++) {
        const struct view *v = &h->views[i];
        if (sim.records[i].key == key && v->phase != PHASE_GONE &&
            (v->odd || (v->claimed && v->phase != PHASE_COPYING && v->phase != PHASE_DECIDED)))
            return true;
    }
    return false;
}

void view_check_waiting(struct host *h)
{
    for (int i = 0; i < sim.count && sim.key && !h->draining && !h->unsure; i++) {
        struct view *v = &h->views[i];
        if (!awaits_key(v) || !in_hand(h, v))
            continue;
        corners[CORNER_key_waits] += !v->waited;
        v->waited = true;
        check(INV_handed_on, key_in_hand(h, sim.records[i].key),
              "m%d waits in host %d for a key that nobody has", i, h->index);
    }
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
    within(h, "received", c->received, exactly(t->received));
    within(h, "started", c->started, exactly(t->started));
    within(h, "duplicates", c->duplicates,
           (struct bounds){t->again.low + t->done_claims, t->again.high + t->done_claims});
    within(h, "messages without a key", c->keyless, t->keyless);
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
        bool copied = v->phase == PHASE_COPYING && v->copy_open; /* and nobody has answered yet */
        bool over = v->odd || v->phase == PHASE_GONE || lapsed(v) ||
                    (!in_time && (v->phase == PHASE_DECIDED || v->phase == PHASE_BEHIND || copied));
        check(INV_drain, over, "m%d is in the hand of host %d, which says it is done", i, h->index);
    }
}
