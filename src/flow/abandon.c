/* Messages that are given up in the middle of their run: when a drain has no more time, and when
 * their worker is stuck in C code. Fenced, a run sends nothing more; what it has on the wire may
 * still arrive, so nobody gets the message before that request has timed out (contract 5.8, 5.9).
 * What its run comes to later changes nothing, an ack included. */
#include "flow/state.h"

#include "policy/retry.h"

enum { WIRE_MARGIN_MS = 1000 };

/* Until its request can do nothing more; 0: it has none on the wire. */
static int64_t on_the_wire_ms(const struct flow *f, const struct message *m)
{
    int64_t until_ms = atomic_load(&m->job->wire_until_ms), now = flow_now(f);
    if (until_ms == WIRE_NEVER || until_ms == WIRE_ANSWERED || until_ms <= now)
        return 0;
    return until_ms - now + WIRE_MARGIN_MS;
}

static void fence(struct flow *f, struct message *m)
{
    atomic_store(&m->job->fence, true); /* before the wire is looked at: job.h */
    f->seam.workers.ops->cancel(f->seam.workers.self, m->job);
}

/* Gathered first: settling one calls out, and may be the end of others. */
static void each_running(struct flow *f, void (*put)(struct flow *, struct message *))
{
    struct list running, *node;
    list_init(&running);
    for (size_t i = 0; i <= f->in_hand.mask; i++) {
        for (struct table_node *n = f->in_hand.buckets[i]; n; n = n->next) {
            struct message *m = table_entry(n, struct message, by_id);
            if (m->state == RUNNING)
                list_append(&running, &m->node);
        }
    }
    while ((node = list_pop(&running)))
        put(f, list_entry(node, struct message, node));
}

/* ---- out of time ---- */

/* The process is about to end: the queue keeps it hidden for as long as it takes. */
static void abandon(struct flow *f, struct message *m)
{
    fence(f, m);
    int64_t held_ms = flow_now(f) - m->received_ms;
    int visibility_s = retry_clamp_s((on_the_wire_ms(f, m) + 999) / 1000, held_ms);
    log_with(LOG_WARN, "given up in the middle: left to another run", LF_TEXT("id", m->job->id),
             LF_INT("hidden_s", visibility_s));
    if (visibility_s > 0) /* no other host may run its key before that either */
        keys_abandon(f, m);
    else
        keys_free(f, m);
    if (m->lost)
        message_drop(f, m);
    else
        settle_message(f, m, SETTLE_RELEASE, visibility_s);
}

void abandon_running(struct flow *f)
{
    each_running(f, abandon);
    settle_flush(f);
}

/* ---- stuck ---- */

static void give_up(struct flow *f, struct message *m)
{
    keys_free(f, m);
    m->claim_lost = false;
    if (m->lost)
        message_drop(f, m);
    else if (m->to_blame)
        verdict_stuck(f, m);
    else
        settle_message(f, m, SETTLE_RELEASE, 0);
}

/* While a request is on the wire it stays in hand, with its key and its place in its group: nothing
 * that must not run beside it does. */
static void give_up_in_time(struct flow *f, struct message *m)
{
    if (m->job->worker != JOB_WORKER_STUCK)
        return;
    int64_t left_ms = on_the_wire_ms(f, m);
    if (left_ms == 0)
        give_up(f, m);
    else if (left_ms < f->abandoned.next_ms)
        f->abandoned.next_ms = left_ms;
}

static void give_up_some(struct flow *f)
{
    f->abandoned.next_ms = INT64_MAX;
    each_running(f, give_up_in_time);
    if (f->abandoned.next_ms != INT64_MAX)
        flow_arm(f, &f->abandoned.timer, f->abandoned.next_ms);
    storm_check_end(f);
    dispatch_kick(f);
    intake_kick(f);
    drain_check(f);
}

static void on_timer(struct timer *t)
{
    give_up_some(flow_of(t, abandoned.timer));
}

static void detach(struct flow *f, struct message *m)
{
    if (m->job->worker == JOB_WORKER_STUCK || !f->dispatch.away[m->job->worker])
        return;
    fence(f, m);
    f->dispatch.busy[m->job->worker]--;
    f->dispatch.running--;
    m->job->worker = JOB_WORKER_STUCK;
    m->to_blame = atomic_load(&m->job->at_work);
    m->note = m->to_blame ? ABANDON_STUCK
                          : "given up: its worker got stuck in C code with another message";
    log_with(LOG_WARN, "given up in the middle: its worker is stuck", LF_TEXT("id", m->job->id),
             LF_TEXT("blamed", m->to_blame ? "yes" : "no"),
             LF_SECONDS("wire_s", (double)on_the_wire_ms(f, m) / 1000));
    if (m->probes)
        target_probe_ended(m);
}

void flow_worker_stuck(struct flow *f, int worker)
{
    if (f->drain.ended)
        return;
    f->dispatch.away[worker] = true;
    each_running(f, detach);
    give_up_some(f);
}

void flow_worker_back(struct flow *f, int worker)
{
    if (f->drain.ended)
        return;
    f->dispatch.away[worker] = false;
    dispatch_kick(f);
    intake_kick(f);
}

void abandon_init(struct flow *f)
{
    f->abandoned.timer.fire = on_timer;
}
