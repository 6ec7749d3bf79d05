/* What handlers' targets can take, and so how many messages may run at once. Each run brings its
 * calls home (job.h); each target has a limit on its requests (policy/limit.h). A message is not
 * one request: of its time only a share is spent at a target, the rest at others or computing. So
 * L requests let L / share messages run, and the smallest of these numbers counts, over the targets
 * that messages called lately. Which of them the next message will call is not known before it
 * runs. */
#include "flow/state.h"

#include <limits.h>
#include <math.h>

static const double SHARE_MIN = 0.05; /* of a message's time; less is not measured well */
static const double CALLED = 0.02;    /* messages of which fewer call it do not wait for it */
static const double FORGET_S = 10;

enum {
    TICK_MS = 1000,
    STALL_MS = 10000, /* a tick so late: the machine slept */
    COLD_RUNS = 4,    /* so many runs home: it is known whom they call */
    COLD_START = 2,
    COLD_DOUBLINGS = 10,
};

/* ---- what messages need of a target ---------------------------------------------------- */

static double share_of(const struct flow *f, const struct target *t)
{
    double share = f->limits.message_s > 0 ? t->request_s / f->limits.message_s : 1;
    return fmin(fmax(share, SHARE_MIN), 1);
}

static bool is_called(const struct flow *f, const struct target *t)
{
    return t->calls > 0 && t->calls >= CALLED * f->limits.messages;
}

static int messages_for(const struct flow *f, const struct target *t, int64_t now)
{
    return (int)(limit_permits(&t->limit, now) / share_of(f, t) + 1e-9);
}

/* Nothing is known at the start: a few run, then twice as many each second. */
static int cold_permits(const struct flow *f, int64_t now)
{
    if (f->limits.runs >= COLD_RUNS)
        return INT_MAX;
    int64_t seconds = f->limits.first_ms ? (now - f->limits.first_ms) / 1000 : 0;
    return COLD_START << (seconds < COLD_DOUBLINGS ? (seconds > 0 ? seconds : 0) : COLD_DOUBLINGS);
}

int limits_permits(const struct flow *f, const struct target **by)
{
    int64_t now = flow_now(f);
    *by = NULL;
    if (!f->options.limit.on)
        return INT_MAX;
    int permits = cold_permits(f, now);
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        int messages = is_called(f, t) ? messages_for(f, t, now) : INT_MAX;
        if (messages >= permits)
            continue;
        permits = messages;
        *by = t;
    }
    return permits;
}

int64_t limits_blocked_ms(const struct flow *f, const struct target *t)
{
    int64_t left = t->limit.blocked_until_ms - flow_now(f);
    return left > 0 ? left : 0;
}

/* ---- requests per second ----------------------------------------------------------------- */

/* What a message is going to ask of it, going by those before. */
static double calls_per_message(const struct flow *f, const struct target *t)
{
    return f->limits.messages > 0 ? t->calls / f->limits.messages : 0;
}

bool limits_rate(struct flow *f)
{
    int64_t now = flow_now(f), wait_ms = 0;
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        int64_t ms = is_called(f, t) ? rate_wait_ms(&t->rate, now) : 0;
        wait_ms = ms > wait_ms ? ms : wait_ms;
    }
    if (wait_ms > 0)
        flow_arm(f, &f->limits.again, wait_ms);
    return wait_ms == 0;
}

static void on_again(struct timer *timer)
{
    dispatch_kick(flow_of(timer, limits.again));
}

void flow_set_target_rate(struct flow *f, double per_s)
{
    f->options.limit.rate = per_s;
    list_for_each (node, &f->targets.all)
        rate_set(&list_entry(node, struct target, in_all)->rate, per_s, flow_now(f));
    dispatch_kick(f);
}

/* ---- time ------------------------------------------------------------------------------- */

static void arm(struct flow *f)
{
    f->limits.due_ms = flow_now(f) + TICK_MS;
    flow_arm(f, &f->limits.tick, TICK_MS);
}

static void decay(struct flow *f, double passed_s)
{
    double kept = exp(-passed_s / FORGET_S);
    f->limits.message_s *= kept;
    f->limits.messages *= kept;
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        t->request_s *= kept;
        t->calls *= kept;
    }
}

/* Only while something runs or a server has asked to wait: an idle host sleeps. */
static void on_tick(struct timer *timer)
{
    struct flow *f = flow_of(timer, limits.tick);
    int64_t now = flow_now(f), late_ms = now - f->limits.due_ms;
    bool blocked = false;
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        if (late_ms > STALL_MS)
            limit_disturbed(&t->limit, now);
        limit_tick(&t->limit, now);
        blocked |= limits_blocked_ms(f, t) > 0;
    }
    if (f->limits.fresh)
        decay(f, (double)(TICK_MS + late_ms) / 1000);
    f->limits.fresh = false;
    dispatch_kick(f);
    intake_kick(f);
    if ((f->dispatch.running > 0 || blocked) && !f->limits.tick.armed)
        arm(f);
}

/* ---- what happens ----------------------------------------------------------------------- */

void limits_started(struct flow *f)
{
    int64_t now = flow_now(f);
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        rate_take(&t->rate, calls_per_message(f, t), now);
    }
    if (!f->options.limit.on)
        return;
    if (f->limits.first_ms == 0)
        f->limits.first_ms = now;
    list_for_each (node, &f->targets.all) {
        struct target *t = list_entry(node, struct target, in_all);
        if (is_called(f, t))
            limit_in_flight(&t->limit, f->dispatch.running * share_of(f, t),
                            f->dispatch.running >= messages_for(f, t, now));
    }
    if (!f->limits.tick.armed)
        arm(f);
}

static void told_to_wait(struct flow *f, struct target *t, int64_t before_ms)
{
    int64_t held_back, left_ms = limits_blocked_ms(f, t);
    if (left_ms <= before_ms || !log_gate_open(&t->wait_gate, 10000, &held_back))
        return;
    log_with(LOG_INFO, "a target asks to wait (Retry-After): starting nothing until then",
             LF_TEXT("target", t->name), LF_SECONDS("wait_s", (double)left_ms / 1000));
}

static void call_ended(struct flow *f, struct target *t, const struct target_call *c)
{
    static const enum limit_outcome outcomes[] = {[CALL_ANSWERED] = LIMIT_ANSWERED,
                                                  [CALL_REFUSED] = LIMIT_REFUSED,
                                                  [CALL_TIMEOUT] = LIMIT_TIMEOUT,
                                                  [CALL_FAILED] = LIMIT_FAILED};
    struct limit_result r = {.class = c->name,
                             .outcome = outcomes[c->end],
                             .rtt_us = c->rtt_us,
                             .started_ms = c->started_ms,
                             .retry_after_ms = c->retry_after_ms};
    int64_t before_ms = limits_blocked_ms(f, t);
    limit_result(&t->limit, &r, flow_now(f));
    told_to_wait(f, t, before_ms);
    t->request_s += (double)c->rtt_us / 1e6;
    t->calls++;
    if (c->end != CALL_REFUSED)
        target_call_ended(t, c->end != CALL_ANSWERED, c->started_ms);
}

void limits_ran(struct flow *f, const struct job *job)
{
    if (!job->ran)
        return;
    if (f->limits.runs < COLD_RUNS)
        f->limits.runs++;
    f->limits.fresh = true;
    f->limits.messages++;
    f->limits.message_s += (double)job->duration_us / 1e6;
    for (int i = 0; i < job->call_count; i++) {
        struct target *t = target_called(f, job->calls[i].target);
        if (t)
            call_ended(f, t, &job->calls[i]);
    }
}

/* A message's duration with the queues of its targets taken out. */
static double unloaded_s(const struct flow *f)
{
    if (f->limits.messages <= 0)
        return 0;
    double left = f->limits.message_s;
    list_for_each (node, &f->targets.all) {
        const struct target *t = list_entry(node, struct target, in_all);
        if (t->limit.slowdown > 1)
            left -= t->request_s * (1 - 1 / t->limit.slowdown);
    }
    return fmax(left, 0) / f->limits.messages;
}

void flow_look_at_load(struct flow *f, struct flow_load *load)
{
    const struct target *by;
    *load = (struct flow_load){.completed = f->dispatch.all_completed,
                               .received = f->counts.received,
                               .unloaded_s = unloaded_s(f),
                               .permits = limits_permits(f, &by),
                               .in_hand = (int)f->in_hand.count,
                               .slots_full = f->dispatch.full,
                               .receives_full = f->intake.policy.wanted > 1,
                               .held = f->intake.link > LINK_RATE || f->drain.draining};
    f->dispatch.full = f->dispatch.running >= dispatch_slots(f);
}

void limits_init(struct flow *f)
{
    f->limits.tick.fire = on_tick;
    f->limits.again.fire = on_again;
}

void flow_set_limit(struct flow *f, int max, int fixed)
{
    f->options.limit.max = max;
    f->options.limit.fixed = fixed;
    list_for_each (node, &f->targets.all)
        limit_set(&list_entry(node, struct target, in_all)->limit, max, fixed);
    dispatch_kick(f);
    intake_kick(f);
}
