#include "ops/platform.h"

#include "base/clock.h"

#include <assert.h>
#include <ev.h>

/* ---- timers ---- */

static_assert(sizeof(ev_timer) <= sizeof(((struct timer *)0)->impl), "an ev_timer fits");

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct timer *t = w->data;
    t->armed = false;
    t->fire(t);
}

static void timer_stop(void *self, struct timer *t)
{
    if (t->armed)
        ev_timer_stop(self, (ev_timer *)(void *)t->impl);
    t->armed = false;
}

static void timer_arm(void *self, struct timer *t, int64_t delay_ms)
{
    struct ev_loop *loop = self;
    ev_timer *w = (ev_timer *)(void *)t->impl;
    timer_stop(self, t);
    ev_now_update(loop); /* timers count from the loop's cached time, which may be old */
    ev_timer_init(w, on_timer, (double)delay_ms / 1000.0, 0.);
    w->data = t;
    ev_timer_start(loop, w);
    t->armed = true;
}

struct timers timers_on(struct ev_loop *loop)
{
    static const struct timer_ops ops = {.arm = timer_arm, .stop = timer_stop};
    return (struct timers){.ops = &ops, .self = loop};
}

/* ---- clock, randomness ---- */

static int64_t boot_ms(void *self)
{
    (void)self;
    return clock_boot_ms();
}

static int64_t wall_ms(void *self)
{
    (void)self;
    return clock_wall_ms();
}

struct clock clock_real(void)
{
    static const struct clock_ops ops = {.boot_ms = boot_ms, .wall_ms = wall_ms};
    return (struct clock){.ops = &ops};
}

static uint64_t random_next(void *self)
{
    return rng_next(self);
}

struct random random_from(struct rng *rng)
{
    static const struct random_ops ops = {.next = random_next};
    return (struct random){.ops = &ops, .self = rng};
}

/* ---- store ---- */

static enum claim store_claim(void *self, const struct job *job, const char *key,
                              uint64_t body_hash)
{
    (void)job;
    switch (dedupe_claim(self, key, body_hash, clock_boot_ms())) {
    case DEDUPE_NEW:
        return CLAIM_NEW;
    case DEDUPE_DONE:
        return CLAIM_DONE;
    case DEDUPE_NO_MEMORY:
        break;
    }
    return CLAIM_NO_MEMORY;
}

static void store_done(void *self, const struct job *job, const char *key, uint64_t body_hash)
{
    (void)job;
    dedupe_done(self, key, body_hash, clock_boot_ms());
}

static void store_free(void *self, const struct job *job)
{
    (void)job;
    dedupe_forget(self);
}

struct store store_in_memory(struct dedupe *dedupe)
{
    static const struct store_ops ops = {
        .claim = store_claim, .done = store_done, .free = store_free};
    return (struct store){.ops = &ops, .self = dedupe};
}
