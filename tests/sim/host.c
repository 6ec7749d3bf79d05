/* A host: the shipped flow with its seam, its crashes, drains and pauses. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the seam's small parts ---- */

/* What `impl` of a timer holds: a number that tells a stopped or moved timer's old event. */
static uint64_t *timer_number(struct timer *t)
{
    return (uint64_t *)(void *)t->impl;
}

static void timer_happens(void *arg, uint64_t number)
{
    struct timer *t = arg;
    if (!t->armed || *timer_number(t) != number)
        return;
    t->armed = false;
    t->fire(t);
}

static void timer_arm(void *self, struct timer *t, int64_t delay_ms)
{
    static uint64_t numbers;
    t->armed = true;
    *timer_number(t) = ++numbers;
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

static enum claim claim(void *self, const char *key, uint64_t hash)
{
    struct host *h = self;
    switch (dedupe_claim(h->dedupe, key, hash, sim.now_ms)) {
    case DEDUPE_NEW:
        return CLAIM_NEW;
    case DEDUPE_DONE:
        return CLAIM_DONE;
    case DEDUPE_HELD:
        return CLAIM_HELD;
    case DEDUPE_NO_MEMORY:
        break;
    }
    return CLAIM_NO_MEMORY;
}

static void done(void *self, const char *key, uint64_t hash)
{
    (void)hash;
    dedupe_done(((struct host *)self)->dedupe, key, sim.now_ms);
}

static void forget(void *self, const char *key)
{
    dedupe_forget(((struct host *)self)->dedupe, key);
}

/* ---- life ---- */

static void ended(void *arg, enum flow_end end, const char *text)
{
    struct host *h = arg;
    (void)text;
    h->ended = true;
    h->end = end;
}

void host_start(struct host *h)
{
    static const struct store_ops store = {.claim = claim, .done = done, .free = forget};
    static const struct timer_ops timers = {.arm = timer_arm, .stop = timer_stop};
    static const struct clock_ops clock = {.boot_ms = now_ms, .wall_ms = now_ms};
    static const struct random_ops random_numbers = {.next = next_random};
    h->life++;
    h->up = true;
    h->draining = h->ended = h->down_known = false;
    h->probes = 0;
    list_init(&h->running);
    list_init(&h->calls);
    h->workers = (int)between(&sim.load, 1, WORKERS_MAX);
    h->slots = (int)between(&sim.load, 1, 6);
    h->dedupe = dedupe_new(INT64_C(24) * 3600 * 1000, (size_t)sim.count + 1);
    h->acked = calloc((size_t)sim.count, 1);
    struct seam seam = {.queue = queue_for(h),
                        .workers = workers_for(h),
                        .store = {&store, h},
                        .timers = {&timers, h},
                        .clock = {&clock, h},
                        .random = {&random_numbers, h}};
    struct flow_options o = {.queue_name = "q",
                             .wait_s = 20,
                             .batch = 10,
                             .visibility_s = sim.visibility_s,
                             .retry_base_s = 1,
                             .retry_cap_s = sim.retry_cap_s,
                             .hold_ms = 60000,
                             .probe_ms = 2000,
                             .drain_ms = 20000,
                             .unreachable_ms = INT64_MAX / 2,
                             .log_settled = 0};
    struct flow_events events = {.arg = h, .ended = ended};
    h->flow = flow_new(&o, &seam, &events);
    if (!h->dedupe || !h->acked || !h->flow)
        abort();
    flow_start(h->flow);
}

static void bury(struct host *h)
{
    h->up = false;
    h->life++;
    queue_forget_calls(h);
    flow_free(h->flow);
    workers_forget(h);
    dedupe_free(h->dedupe);
    free(h->acked);
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
    host_start(arg);
}

void host_crash(struct host *h)
{
    /* Another host may see at once what only this one's requests still touch: that is what a
     * crash does; the lease model excuses a holder that is gone. */
    for (int i = 0; i < sim.count; i++)
        if (sim.records[i].holder == h)
            sim.records[i].wire_until_ms = 0;
    bury(h);
    later(between(&sim.fault, 0, 60000), NULL, starts_again, h, 0);
}

static void look_at_drain(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (!h->ended) {
        if (!list_empty(&h->running) && strikes(FAULT_hurry, 20))
            flow_drain(h->flow);
        later(100, h, look_at_drain, h, 0);
        return;
    }
    check(INV_drain, h->end != FLOW_DRAINED || list_empty(&h->running),
          "host %d says it has drained and handlers still run", h->index);
    bury(h);
    later(between(&sim.fault, 0, 10000), NULL, starts_again, h, 0);
}

static void restart(struct host *h)
{
    flow_drain(h->flow);
    h->draining = true;
    later(100, h, look_at_drain, h, 0);
}

bool host_asleep(struct host *h)
{
    return h->asleep_until_ms > sim.now_ms;
}

static void fall_asleep(struct host *h)
{
    h->asleep_until_ms = sim.now_ms + between(&sim.fault, 1000, sim.visibility_s * 3000);
    for (int i = 0; i < sim.count; i++) {
        if (sim.records[i].holder != h)
            continue;
        sim.records[i].excused = true;
        tell(&sim.records[i], "host %d sleeps until %lld", h->index, (long long)h->asleep_until_ms);
    }
}

void host_trouble(void *arg, uint64_t number)
{
    struct host *h = arg;
    (void)number;
    if (sim.now_ms >= sim.faults_end_ms)
        return;
    if (h->up && !h->draining && !host_asleep(h)) {
        if (strikes(FAULT_crash, 100))
            host_crash(h);
        else if (strikes(FAULT_restart, 100))
            restart(h);
        else if (strikes(FAULT_pause, 50))
            fall_asleep(h);
    }
    later(between(&sim.fault, 500, 5000), NULL, host_trouble, h, 0);
}
