/* Receiving: how many polls are open and what they ask for. Receiving nothing on purpose is
 * how a sick target is spared; every link of that decision is in ask_chain(). */
#include "flow/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ERROR_BASE_MS = 200,
    ERROR_CAP_MS = 20000,
    FAULT_EVERY_MS = 30000, /* a configuration fault: slowly, and not for nothing */
    UNTIL_EMPTY_WAIT_S = 5,
    ATTEMPT_MS = 240000, /* SQS knows an attempt id for five minutes; less what a call takes */
};

int intake_held(const struct flow *f)
{
    int settling = f->settle.settling + f->claims.recording - SETTLING_FREE;
    return f->dispatch.buffered_count + f->dispatch.running + f->targets.parked + f->keys.waiting +
           f->claims.waiting + f->dlq.copying + (settling > 0 ? settling : 0);
}

/* ---- the permit chain ---------------------------------------------------------------------- */

/* What may be received now. Each link may lower it. */
struct grant {
    int capacity; /* messages that may be in hand */
    int batch;    /* messages that the next receive may ask for */
    enum intake_link link;
    const struct target *target; /* that the link is about, or NULL */
};

static void lower(struct grant *g, int *number, int to, enum intake_link link)
{
    if (to < *number)
        *number = to > 0 ? to : 0;
    if (to <= 0)
        g->link = link;
}

static void ask_slots(struct flow *f, struct grant *g)
{
    const struct target *by;
    int permits = limits_permits(f, &by);
    g->capacity = dispatch_capacity(f);
    g->batch = f->options.batch;
    if (f->targets.down > 0 && permits > 0 && target_permits(f) > g->capacity)
        g->capacity = target_permits(f); /* one more to try it with, though the rest wait */
    int free = g->capacity - intake_held(f) - f->intake.reserved;
    if (permits == 0)
        g->link = LINK_RETRY_AFTER;
    else if (free <= 0 && f->intake.open == 0)
        g->link = permits < dispatch_slots(f) ? LINK_LIMIT : LINK_SLOTS;
    if (g->link == LINK_LIMIT || g->link == LINK_RETRY_AFTER)
        g->target = by;
}

/* Slots and limits, rate, targets, pause: in this order, and what holds last is what is told. */
static struct grant ask_chain(struct flow *f)
{
    struct grant g = {0};
    ask_slots(f, &g);
    if (group_full(f))
        lower(&g, &g.capacity, 0, LINK_GROUPS);
    lower(&g, &g.batch, rate_grant(&f->intake.rate, flow_now(f)), LINK_RATE);
    if (g.link == LINK_RATE && f->intake.open > 0)
        g.link = LINK_NONE; /* the open ones have it all */
    lower(&g, &g.capacity, target_permits(f), f->storm.raging ? LINK_STORM : LINK_TARGET);
    lower(&g, &g.capacity, claims_permits(f), LINK_STORE);
    if (f->intake.backing_off)
        lower(&g, &g.capacity, 0, LINK_QUEUE);
    if (f->intake.paused)
        lower(&g, &g.capacity, 0, LINK_PAUSE);
    if (f->drain.draining || f->drain.ended)
        lower(&g, &g.capacity, 0, LINK_STOP);
    if (g.link == LINK_TARGET)
        g.target = target_longest_down(f);
    else if (g.link != LINK_LIMIT && g.link != LINK_RETRY_AFTER)
        g.target = NULL;
    return g;
}

static void note_link(struct flow *f, const struct grant *g)
{
    if (f->intake.link == g->link && f->intake.link_target == g->target)
        return;
    f->intake.link = g->link;
    f->intake.link_target = g->target;
    f->intake.link_ms = flow_now(f);
}

void flow_set_rate(struct flow *f, double per_s)
{
    rate_set(&f->intake.rate, per_s, flow_now(f));
    intake_kick(f);
}

static int first_wait_s(const struct flow *f)
{
    if (!f->intake.answered)
        return 0; /* so that a missing queue is known at once, and a good one too */
    if (f->options.until_empty && f->options.wait_s > UNTIL_EMPTY_WAIT_S)
        return UNTIL_EMPTY_WAIT_S;
    return f->options.wait_s;
}

/* ---- attempt ids ----------------------------------------------------------------------- */

/* Of the oldest receive whose answer was lost, while SQS still knows it, or a new one. */
static void name_attempt(struct flow *f, struct poll *p)
{
    int64_t now = flow_now(f);
    while (f->intake.unheard_count > 0) {
        struct unheard u = f->intake.unheard[0];
        memmove(f->intake.unheard, f->intake.unheard + 1,
                sizeof u * (size_t)--f->intake.unheard_count);
        if (now - u.since_ms >= ATTEMPT_MS)
            continue;
        memcpy(p->receive.attempt, u.attempt, sizeof u.attempt);
        p->attempt_ms = u.since_ms;
        p->repeats = true;
        return;
    }
    uint64_t high = flow_random(f), low = flow_random(f);
    snprintf(p->receive.attempt, sizeof p->receive.attempt, "%016" PRIx64 "%016" PRIx64, high, low);
    p->attempt_ms = now;
    p->repeats = false;
}

/* It may have been executed: what it carried is asked for again. One that was a repetition already
 * and was answered, with whatever error, is not: of its messages one has been deleted or changed,
 * and SQS will say so each time. */
static void keep_attempt(struct flow *f, const struct poll *p)
{
    enum queue_status status = p->receive.result.status;
    bool unheard = status == QUEUE_UNREACHABLE || (status == QUEUE_BUSY && !p->repeats);
    if (!f->options.fifo || !unheard || f->intake.unheard_count == POLLS_MAX)
        return;
    struct unheard *u = &f->intake.unheard[f->intake.unheard_count++];
    memcpy(u->attempt, p->receive.attempt, sizeof u->attempt);
    u->since_ms = p->attempt_ms;
}

/* ---- polls -------------------------------------------------------------------------------- */

static void poll_done(struct queue_receive *r);

static void open_poll(struct flow *f, const struct polls_grant *grant)
{
    struct poll *p = f->intake.polls;
    while (p->open)
        p++;
    p->flow = f;
    p->receive = (struct queue_receive){.max = grant->messages,
                                        .wait_s = grant->wait_s,
                                        .visibility_s = f->options.visibility_s,
                                        .done = poll_done};
    list_init(&p->receive.jobs);
    if (f->options.fifo)
        name_attempt(f, p);
    p->open = true;
    if (f->intake.open++ == 0)
        f->intake.alive_ms = flow_now(f);
    f->intake.reserved += grant->messages;
    rate_take(&f->intake.rate, grant->messages, flow_now(f));
    if (f->seam.queue.ops->receive(f->seam.queue.self, &p->receive) != 0)
        poll_done(&p->receive);
}

void intake_kick(struct flow *f)
{
    for (;;) {
        struct grant g = ask_chain(f);
        note_link(f, &g);
        if (g.batch == 0 && !f->intake.timer.armed)
            flow_arm(f, &f->intake.timer, rate_wait_ms(&f->intake.rate, flow_now(f)));
        if (g.capacity == 0 || g.batch == 0)
            return;
        struct polls_ask ask = {.capacity = g.capacity,
                                .in_hand = intake_held(f),
                                .reserved = f->intake.reserved,
                                .open = f->intake.open,
                                .batch = g.batch,
                                .wait_s = first_wait_s(f),
                                .now_ms = flow_now(f)};
        struct polls_grant grant = polls_next(&f->intake.policy, &ask);
        if (grant.messages == 0) {
            if (grant.again_ms > 0 && !f->intake.timer.armed)
                flow_arm(f, &f->intake.timer, grant.again_ms);
            return;
        }
        open_poll(f, &grant);
    }
}

static const char *advice(enum queue_status status)
{
    return status == QUEUE_UNREACHABLE || status == QUEUE_BUSY ? "trying again"
                                                               : "trying again every 30 s";
}

static void back_off(struct flow *f, const struct queue_result *result)
{
    bool fault = result->status != QUEUE_UNREACHABLE && result->status != QUEUE_BUSY;
    int shift = f->intake.errors < 8 ? f->intake.errors : 8;
    int64_t cap_ms = (int64_t)ERROR_BASE_MS << shift;
    if (cap_ms > ERROR_CAP_MS)
        cap_ms = ERROR_CAP_MS;
    int64_t delay_ms =
        fault ? FAULT_EVERY_MS : ERROR_BASE_MS / 2 + (int64_t)(flow_random(f) % (uint64_t)cap_ms);
    if (result->retry_after_ms > delay_ms)
        delay_ms = result->retry_after_ms < ERROR_CAP_MS ? result->retry_after_ms : ERROR_CAP_MS;
    f->intake.backing_off = true;
    flow_arm(f, &f->intake.timer, delay_ms);
}

/* True if the flow has ended for it: what is wrong from the start stays wrong. */
static bool start_failed(struct flow *f, const struct queue_result *result)
{
    if (f->intake.answered)
        return false;
    if (result->status == QUEUE_MISSING || result->status == QUEUE_DENIED) {
        flow_finish(f, FLOW_REFUSED, result->text);
        return true;
    }
    if (flow_now(f) - f->intake.started_ms >= f->options.unreachable_ms) {
        flow_finish(f, FLOW_UNREACHABLE, result->text);
        return true;
    }
    return false;
}

static void poll_failed(struct flow *f, const struct queue_result *result)
{
    if (start_failed(f, result))
        return;
    int64_t held_back;
    if (result->status != f->intake.failure) /* something else is wrong now: said at once */
        f->intake.gate = (struct log_gate){0};
    f->intake.failure = result->status;
    if (log_gate_open(&f->intake.gate, 10000, &held_back))
        log_with(LOG_WARN, "receive failed", LF_TEXT("error", result->text),
                 LF_TEXT("code", *result->code ? result->code : NULL),
                 LF_TEXT("next", advice(result->status)),
                 held_back ? LF_INT("repeated", held_back) : LF_TEXT("repeated", NULL));
    if (f->intake.errors == 0)
        f->intake.failing_ms = flow_now(f);
    back_off(f, result);
    f->intake.errors++;
}

static void poll_answered(struct flow *f, struct queue_receive *r)
{
    int came = list_length(&r->jobs), asked = r->max;
    int64_t first_byte_ms = r->first_byte_ms;
    struct list jobs; /* ours: whatever kicks the intake meanwhile may open this poll again */
    list_init(&jobs);
    list_splice(&jobs, &r->jobs);
    if (f->intake.errors > 0)
        log_info("receiving works again after %d failures", f->intake.errors);
    f->intake.errors = 0;
    f->intake.failure = QUEUE_OK;
    f->intake.last_answer_wall = f->seam.clock.ops->wall_ms(f->seam.clock.self);
    bool first = !f->intake.answered;
    f->intake.answered = true;
    if (first && f->events.ready)
        f->events.ready(f->events.arg);
    polls_result(&f->intake.policy, asked, came);
    admit_jobs(f, &jobs, first_byte_ms);
    if (!first) /* that one did not wait */
        until_empty_poll(f, came == 0);
}

static void poll_done(struct queue_receive *r)
{
    struct poll *p = (struct poll *)((char *)r - offsetof(struct poll, receive));
    struct flow *f = p->flow;
    rate_refund(&f->intake.rate, r->max - list_length(&r->jobs));
    p->open = false;
    f->intake.open--;
    f->intake.reserved -= r->max;
    f->intake.alive_ms = flow_now(f);
    keep_attempt(f, p);
    if (r->result.status == QUEUE_OK && p->repeats)
        until_empty_heard_after_all(f);
    until_empty_lost_receive(f, r);
    if (r->result.status == QUEUE_OK)
        poll_answered(f, r);
    else if (r->result.status != QUEUE_FAULT || !f->options.fifo || !p->repeats)
        poll_failed(f, &r->result);
    intake_kick(f);
    drain_check(f);
}

static void on_timer(struct timer *t)
{
    struct flow *f = flow_of(t, intake.timer);
    f->intake.backing_off = false;
    intake_kick(f);
}

void intake_init(struct flow *f)
{
    polls_init(&f->intake.policy, POLLS_MAX);
    f->intake.timer.fire = on_timer;
    rate_set(&f->intake.rate, f->options.rate, flow_now(f));
}

void intake_cut(struct flow *f)
{
    flow_stop(f, &f->intake.timer);
    for (int i = 0; i < POLLS_MAX; i++) {
        struct poll *p = &f->intake.polls[i];
        if (!p->open)
            continue;
        f->seam.queue.ops->cancel(f->seam.queue.self, &p->receive);
        p->open = false;
        f->intake.open--;
        f->intake.reserved -= p->receive.max;
    }
}

void flow_pause(struct flow *f, bool paused)
{
    if (f->intake.paused == paused)
        return;
    f->intake.paused = paused;
    log_info(!paused              ? "receiving again"
             : f->intake.open > 0 ? "paused: receiving nothing until told to go on, but what the "
                                    "open poll may still bring"
                                  : "paused: receiving nothing until told to go on");
    intake_kick(f);
}
