/* A host: the shipped flow with its seam, its crashes, drains and pauses. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the seam's small parts ---- */

/* What `impl` of a timer holds; the number tells a stopped or moved timer's old event. */
struct timer_place {
    struct host *host;
    uint64_t number;
};

static struct timer_place *timer_place(struct timer *t)
{
    return (struct timer_place *)(void *)t->impl;
}

void host_calm(struct host *h, int *count, int most)
{
    if (h->second != sim.now_ms / 1000) {
        h->second = sim.now_ms / 1000;
        h->fires = h->empties = 0;
    }
    check(INV_calm, ++*count <= most, "host %d did in a second what may happen %d times", h->index,
          most);
}

/* Settlements linger for 5 ms, small polls are 25 ms apart. */
enum { FIRES_MOST = 300 };

static void timer_happens(void *arg, uint64_t number)
{
    struct timer *t = arg;
    struct host *h = timer_place(t)->host;
    if (!t->armed || timer_place(t)->number != number)
        return;
    t->armed = false;
    host_calm(h, &h->fires, FIRES_MOST);
    enter_flow(h);
    t->fire(t);
    leave_flow(h);
}

static void timer_arm(void *self, struct timer *t, int64_t delay_ms)
{
    static uint64_t numbers;
    t->armed = true;
    *timer_place(t) = (struct timer_place){self, ++numbers};
    later(delay_ms, self, timer_happens, t, numbers);
}

static void timer_stop(void *self, struct timer *t)
{
    (void)self;
    t->armed = false;
}

static int64_t now_ms(void *self)
{
    (void)self;
    return sim.now_ms;
}

static uint64_t next_random(void *self)
{
    (void)self;
    return rng_next(&sim.host_random);
}

static enum claim ask(struct host *h, const char *key, uint64_t hash)
{
    switch (dedupe_claim(h->dedupe, key, hash, sim.now_ms)) {
    case DEDUPE_NEW:
        return CLAIM_NEW;
    case DEDUPE_DONE:
        return CLAIM_DONE;
    case DEDUPE_NO_MEMORY:
        break;
    }
    return CLAIM_NO_MEMORY;
}

static enum claim claim(void *self, const struct job *job, const char *key, uint64_t hash)
{
    enum claim answer = ask(self, key, hash);
    view_claimed(self, record_of(job->id), answer);
    return answer;
}

static void done(void *self, const struct job *job, const char *key, uint64_t hash)
{
    struct host *h = self;
    check(INV_remembered, *acked_ms(h, record_of(job->id)) == sim.now_ms,
          "host %d remembers %s, which no handler has just acked", h->index, job->id);
    dedupe_done(h->dedupe, key, hash, sim.now_ms);
}

static void forget(void *self, const struct job *job)
{
    (void)job;
    dedupe_forget(((struct host *)self)->dedupe);
}

/* ---- life ---- */

static void bury(struct host *h)
{
    view_counts(h);
    h->up = false;
    h->life++;
    queue_forget_calls(h);
    store_forget_calls(h);
    flow_free(h->flow);
    workers_forget(h);
    dedupe_free(h->dedupe);
    free(h->views);
    free(h->holds);
    h->flow = NULL;
}

void host_free(struct host *h)
{
    if (h->up)
        bury(h);
}

static void starts_again(void *arg, uint64_t number)
{
    (void)number;
    if (!sim.closing)
        host_start(arg);
}

void host_leaves(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    bury(h);
    later(between(&sim.fault, 0, RESTART_MS), NULL, starts_again, h, 0);
}

enum { LAST_SETTLEMENTS_MS = 10000 };

static void check_drained(struct host *h)
{
    int64_t took_ms = sim.now_ms - h->drain_began_ms;
    check(INV_drain, h->end == FLOW_DRAINED || h->end == FLOW_OUT_OF_TIME,
          "host %d drained and ended with %d", h->index, (int)h->end);
    check_if(!h->slept, INV_drain, took_ms <= h->drain_ms + LAST_SETTLEMENTS_MS,
             "host %d took %lld ms to drain", h->index, (long long)took_ms);
    check_if(h->end == FLOW_OUT_OF_TIME && !h->unsure, INV_drain,
             h->hurried || took_ms >= h->drain_ms || h->tally.drain_gave_up.high > 0,
             "host %d ran out of time after %lld ms of %lld", h->index, (long long)took_ms,
             (long long)h->drain_ms);
    check_if(h->end == FLOW_DRAINED && !h->unsure, INV_drain, h->tally.drain_gave_up.low == 0,
             "host %d says it has drained and %lld settlements did not get through", h->index,
             (long long)h->tally.drain_gave_up.low);
    check_if(h->end == FLOW_DRAINED, INV_drain, list_empty(&h->running),
             "host %d says it has drained and handlers still run", h->index);
}

/* It left by itself: the queue has just come empty, and what is left was said. */
static void check_left(struct host *h, const char *text)
{
    int later_count = 0, unknown = 0, said = 0;
    int64_t next_ms = INT64_MAX;
    for (int i = 0; i < sim.count; i++) {
        const struct view *v = &h->views[i];
        int64_t due_ms = v->own_retry_ms;
        unknown += due_ms < 0 || v->phase != PHASE_GONE; /* that one must have lapsed */
        later_count += due_ms > sim.now_ms;
        if (due_ms > sim.now_ms && due_ms < next_ms)
            next_ms = due_ms;
    }
    check(INV_empty, h->until_empty && list_empty(&h->running), "host %d left by itself: %s",
          h->index, text);
    if (h->end == FLOW_LEFT_LATER)
        sscanf(text, "%d left", &said);
    corners[h->end == FLOW_LEFT_LATER ? CORNER_left_for_later : CORNER_left_empty]++;
    check_if(!h->unsure, INV_empty, said >= later_count && said <= later_count + unknown,
             "host %d left %d retries of its own and says: %s", h->index, later_count, text);
    check_if(!sim.fifo && sim.now_ms < h->unheard_until_ms, INV_empty, h->end == FLOW_LEFT_LATER,
             "host %d left %lld ms before what a lost answer carried is there again: %s", h->index,
             (long long)(h->unheard_until_ms - sim.now_ms), text);
    check_if(!h->unsure && later_count > 0, INV_empty, next_ms - sim.now_ms > h->patience_ms,
             "host %d left %lld ms before a retry of its own", h->index,
             (long long)(next_ms - sim.now_ms));
}

static void ended(void *arg, enum flow_end end, const char *text)
{
    struct host *h = arg;
    check(INV_drain, !h->ended, "host %d ends twice", h->index);
    h->ended = true;
    h->end = end;
    view_end(h);
    check_if(end == FLOW_DRAINED || end == FLOW_LEFT_LATER, INV_forgotten,
             dedupe_claimed(h->dedupe) == 0, "host %d has nothing in hand and keeps %zu places",
             h->index, dedupe_claimed(h->dedupe));
    if (h->draining)
        check_drained(h);
    else
        check_left(h, text);
    later(0, h, host_leaves, h, 0);
}

static struct flow_options options_for(struct host *h)
{
    h->hold_ms = between(&sim.load, 5000, 60000);
    h->probe_ms = between(&sim.load, 500, 3000);
    h->drain_ms = between(&sim.load, 2000, 25000);
    h->patience_ms = between(&sim.load, 0, 10000);
    h->retry_base_s = (double)between(&sim.load, 1, 4);
    h->until_empty = chance(&sim.load, 100);
    h->dead_letters = chance(&sim.load, 700);
    h->limit = chance(&sim.load, 300) ? (int)between(&sim.load, 2, 12) : 0;
    h->rate = chance(&sim.load, 200) ? (double)between(&sim.load, 5, 100) : 0;
    h->wait_s = (int)between(&sim.load, 1, 20);
    h->batch = (int)between(&sim.load, 1, 10);
    return (struct flow_options){.queue_name = "q",
                                 .wait_s = h->wait_s,
                                 .batch = h->batch,
                                 .visibility_s = sim.visibility_s,
                                 .fifo = sim.fifo,
                                 .key = sim.key,
                                 .claim_ms = sim.visibility_s * INT64_C(1500) + 5000,
                                 .remember_ms = INT64_C(86400000),
                                 .claims_closed = sim.closed,
                                 .retry_base_s = h->retry_base_s,
                                 .retry_cap_s = sim.retry_cap_s,
                                 .dead_letters = h->dead_letters,
                                 .max_receives = sim.max_receives,
                                 .retention_ms = sim.max_receives > 0 ? 60000 : 0,
                                 .hold_ms = h->hold_ms,
                                 .probe_ms = h->probe_ms,
                                 .drain_ms = h->drain_ms,
                                 .unreachable_ms = INT64_MAX / 2,
                                 .log_settled = 0,
                                 .limit = {.on = h->limit > 0, .fixed = h->limit},
                                 .rate = h->rate,
                                 .until_empty = h->until_empty,
                                 .patience_ms = h->patience_ms};
}

void host_start(struct host *h)
{
    static const struct store_ops store = {.claim = claim, .done = done, .free = forget};
    static const struct timer_ops timers = {.arm = timer_arm, .stop = timer_stop};
    static const struct clock_ops clock = {.boot_ms = now_ms, .wall_ms = now_ms};
    static const struct random_ops random_numbers = {.next = next_random};
    *h = (struct host){.index = h->index, .life = h->life + 1, .up = true};
    list_init(&h->running);
    list_init(&h->stuck);
    list_init(&h->calls);
    h->workers = (int)between(&sim.load, 1, WORKERS_MAX);
    h->slots = (int)between(&sim.load, 1, 6);
    h->ttl_ms = chance(&sim.load, 200) ? between(&sim.load, 5000, 60000) : INT64_C(86400000);
    h->dedupe = dedupe_new(h->ttl_ms, (size_t)sim.count + 1);
    h->views = grab((size_t)sim.count * sizeof *h->views);
    h->holds = grab((size_t)sim.count * sizeof *h->holds);
    for (int i = 0; i < sim.count; i++)
        h->holds[i].host = h;
    struct seam seam = {.queue = queue_for(h),
                        .workers = workers_for(h),
                        .store = {&store, h},
                        .shared = store_for(h),
                        .timers = {&timers, h},
                        .clock = {&clock, h},
                        .random = {&random_numbers, h}};
    struct flow_options o = options_for(h);
    struct flow_events events = {.arg = h, .ended = ended};
    h->flow = flow_new(&o, &seam, &events);
    if (!h->dedupe || !h->flow)
        abort();
    enter_flow(h);
    flow_start(h->flow);
    leave_flow(h);
}

void host_crash(struct host *h)
{
    /* Another host may see at once what only this one's requests still touch: that is what a
     * crash does; the lease model excuses a holder that is gone. */
    for (int i = 0; i < sim.count; i++)
        if (sim.records[i].holder == h) {
            sim.records[i].wire_until_ms = 0;
            sim.records[i].burnt = true;
        }
    bury(h);
    later(between(&sim.fault, 0, 60000), NULL, starts_again, h, 0);
}

static void second_signal(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (h->ended)
        return;
    if (!h->hurried && !list_empty(&h->running) && strikes(FAULT_hurry, 20)) {
        h->hurried = true;
        enter_flow(h);
        flow_drain(h->flow);
        leave_flow(h);
    }
    later(100, h, second_signal, h, 0);
}

void host_drain(struct host *h)
{
    h->drain_began_ms = sim.now_ms;
    for (int i = 0; i < sim.count; i++)
        if (sim.records[i].holder == h)
            sim.records[i].burnt = true;
    view_drains(h);
    h->draining = true;
    enter_flow(h);
    flow_drain(h->flow);
    leave_flow(h);
    if (!h->ended)
        later(100, h, second_signal, h, 0);
}

bool host_asleep(struct host *h)
{
    return h->asleep_until_ms > sim.now_ms;
}

static void fall_asleep(struct host *h)
{
    h->asleep_until_ms = sim.now_ms + between(&sim.fault, 1000, sim.visibility_s * 3000);
    h->troubled = h->slept = true;
    view_sleeps(h);
    for (int i = 0; i < sim.count; i++) {
        if (sim.records[i].holder != h)
            continue;
        sim.records[i].excused = sim.records[i].burnt = true;
        tell(&sim.records[i], "host %d sleeps until %lld", h->index, (long long)h->asleep_until_ms);
    }
}

static void token_comes(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (h->ended)
        return;
    h->token_away = h->down_known = false;
    view_target_up(h, false);
    enter_flow(h);
    flow_target_up(h->flow, target_name);
    leave_flow(h);
}

static void token_goes(struct host *h)
{
    h->trialled = h->down_known; /* it may have been allowed one to try with */
    if (!h->down_known)
        h->probe_sent = false;
    h->token_away = h->down_known = true;
    enter_flow(h);
    flow_target_down(h->flow, target_name, "no token");
    leave_flow(h);
    later(between(&sim.fault, 100, 20000), h, token_comes, h, 0);
}

static void let_go(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (h->ended)
        return;
    h->held = false;
    enter_flow(h);
    flow_pause(h->flow, false);
    leave_flow(h);
}

static void hold(struct host *h)
{
    h->held = true;
    enter_flow(h);
    flow_pause(h->flow, true);
    leave_flow(h);
    later(between(&sim.fault, 100, 20000), h, let_go, h, 0);
}

void host_trouble(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (sim.now_ms >= sim.faults_end_ms)
        return;
    if (h->up && !h->ended && !h->draining && !host_asleep(h)) {
        if (strikes(FAULT_crash, 100))
            host_crash(h);
        else if (strikes(FAULT_restart, 100))
            host_drain(h);
        else if (strikes(FAULT_pause, 50))
            fall_asleep(h);
        else if (!list_empty(&h->running) && strikes(FAULT_stuck, 100))
            worker_hangs(h);
        else if (!h->token_away && strikes(FAULT_token_away, 100))
            token_goes(h);
        else if (!h->held && strikes(FAULT_held, 100))
            hold(h);
    }
    later(between(&sim.fault, 500, 5000), NULL, host_trouble, h, 0);
}
