/* The scaler, alone and in a model: arrivals, a backlog, workers with slots, a target with a
 * capacity, and samples every five seconds. */
#include "policy/scale.h"

#include "base/rand.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SLOTS = 4, INTERVAL_S = 5 };

static const struct scale_options options = {
    .min = 1, .max = 10, .slots = SLOTS, .drain_target_s = 60};

static struct scale made(int workers)
{
    struct scale s;
    memset(&s, 0x55, sizeof s);
    scale_init(&s, &options, workers);
    return s;
}

/* ---- single decisions ---- */

static void wishes(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int workers;
        int64_t depth;
        double unloaded_s;
        int permits;
        bool full, receives_full;
        double cpu;
        int expected;
    } cases[] = {
        {"nothing to do", 1, 0, 0.1, INT_MAX, false, false, 0, 1},
        {"a backlog of 40 slots' worth: doubled", 1, 24000, 0.1, INT_MAX, true, true, 0, 2},
        {"and again", 2, 24000, 0.1, INT_MAX, true, true, 0, 4},
        {"twice as many and a half: doubled", 2, 12000, 0.1, INT_MAX, true, true, 0, 4},
        {"as many as needed", 4, 12000, 0.1, INT_MAX, true, true, 0, 5},
        {"never above the maximum", 8, 1000000, 1, INT_MAX, true, true, 0, 10},
        {"slots are free: not for depth alone", 2, 24000, 0.1, INT_MAX, false, true, 0, 2},
        {"the target's limit is the limit", 2, 24000, 0.1, 6, true, true, 0, 2},
        {"no permits at all", 2, 24000, 0.1, 0, true, true, 0, 2},
        {"CPU used up: one more", 2, 24000, 0.0001, INT_MAX, false, true, 0.9, 3},
        {"four fifths of it are used up", 2, 24000, 0.0001, INT_MAX, false, true, 0.8, 3},
        {"CPU used up, and one message waits", 2, 1, 0.0001, INT_MAX, false, false, 0.9, 3},
        {"CPU used up by as many as needed", 5, 12000, 0.1, INT_MAX, false, true, 0.9, 6},
        {"CPU used up by what ends now", 2, 0, 0.0001, INT_MAX, false, false, 0.9, 2},
        {"nothing known of durations", 2, 24000, 0, INT_MAX, true, true, 0, 2},
        {"depth unknown, and there is more", 2, -1, 0.1, INT_MAX, true, true, 0, 4},
        {"depth unknown, and there is not", 2, -1, 0.1, INT_MAX, true, false, 0, 2},
        {"an empty queue, whatever receives say", 2, 0, 0.1, INT_MAX, true, true, 0, 2},
        {"an absurd depth is unknown", 2, INT64_MAX, 0.1, INT_MAX, false, false, 0, 2},
        {"a negative one too", 2, INT64_MIN, 0.1, INT_MAX, false, false, 0, 2},
        {"within a tenth: stays", 5, 12600, 0.1, INT_MAX, true, true, 0, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scale s = made(cases[i].workers);
        s.wishes[0].workers = cases[i].workers; /* the minute before asked for as many */
        struct scale_sample x = {.now_ms = 1000,
                                 .depth = cases[i].depth,
                                 .unloaded_s = cases[i].unloaded_s,
                                 .permits = cases[i].permits,
                                 .slots_full = cases[i].full,
                                 .receives_full = cases[i].receives_full,
                                 .worker_cpu = cases[i].cpu};
        int workers = scale_next(&s, &x);
        if (workers != cases[i].expected)
            fail_msg("%s: %d workers, not %d", cases[i].what, workers, cases[i].expected);
    }
}

/* By what has ended and by how the backlog has changed, if that is known both times. Of a long
 * time, so that nothing is left of the rate before. */
static void arrivals(void **state)
{
    (void)state;
    static const struct {
        int64_t before, after, completed;
        double per_s;
    } cases[] = {{100, 200, 100, 0.2},
                 {0, 200, 100, 0.3},
                 {200, 0, 300, 0.1},
                 {500, 0, 100, 0}, /* purged */
                 {SCALE_UNKNOWN, 200, 100, 0.1},
                 {100, SCALE_UNKNOWN, 100, 0.1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scale s = made(1);
        struct scale_sample x = {.now_ms = 1000, .depth = cases[i].before, .permits = INT_MAX};
        scale_next(&s, &x);
        x.now_ms += 1000 * 1000;
        x.depth = cases[i].after;
        x.completed = cases[i].completed;
        scale_next(&s, &x);
        assert_true(fabs(s.arrivals_per_s - cases[i].per_s) < 0.0001);
    }
}

static void as_many_while_nothing_is_known(void **state)
{
    (void)state;
    struct scale s = made(5);
    for (int64_t now = 0; now < 600000; now += 5000) {
        struct scale_sample x = {.now_ms = now, .depth = 100, .permits = INT_MAX};
        assert_int_equal(scale_next(&s, &x), 5);
    }
}

static void bounds_take_effect_at_once(void **state)
{
    (void)state;
    struct scale s = made(8);
    struct scale_sample x = {.now_ms = 1000, .depth = 100, .permits = INT_MAX};
    scale_set(&s, 1, 3);
    assert_int_equal(scale_next(&s, &x), 3);
    scale_set(&s, 5, 8);
    x.now_ms += 5000;
    assert_int_equal(scale_next(&s, &x), 5);
}

static void frozen_while_intake_is_held(void **state)
{
    (void)state;
    struct scale s = made(5);
    for (int64_t now = 0; now < 600000; now += 5000) {
        struct scale_sample x = {.now_ms = now,
                                 .depth = now * 100,
                                 .unloaded_s = 0.1,
                                 .permits = INT_MAX,
                                 .frozen = true};
        assert_int_equal(scale_next(&s, &x), 5);
    }
    scale_set(&s, 7, 3); /* what a person says goes at once; more than max: that is max */
    struct scale_sample x = {.now_ms = 600000, .permits = INT_MAX, .frozen = true};
    assert_int_equal(scale_next(&s, &x), 7);
}

/* ---- the model ---- */

struct scene {
    struct rng rng;
    struct scale s;
    double now_s, backlog, busy_s; /* busy_s: slot seconds of the interval */
    double unloaded_s;
    double capacity; /* of the target, in messages at once; more of them only wait longer */
    double noise;    /* of the depth attribute, as a share */
    int64_t completed;
    int changes, highest, lowest;
};

static struct scene begin(uint64_t seed, double unloaded_s)
{
    struct scene m = {.s = made(1), .unloaded_s = unloaded_s, .capacity = INFINITY, .noise = 0.1};
    rng_seed(&m.rng, seed);
    m.lowest = INT_MAX;
    return m;
}

static void forget_range(struct scene *m)
{
    m->changes = m->highest = 0;
    m->lowest = INT_MAX;
}

static double unit(struct scene *m)
{
    return (double)(rng_next(&m->rng) >> 11) * 0x1p-53;
}

static void sample(struct scene *m, bool full)
{
    double depth = m->backlog * (1 + m->noise * (2 * unit(m) - 1));
    struct scale_sample x = {.now_ms = (int64_t)(m->now_s * 1000),
                             .depth = (int64_t)depth,
                             .completed = m->completed,
                             .unloaded_s = m->unloaded_s,
                             .permits = isinf(m->capacity) ? INT_MAX : (int)(m->capacity * 1.4),
                             .slots_full = full,
                             .receives_full = m->backlog > 10};
    int before = m->s.workers, after = scale_next(&m->s, &x);
    m->changes += before != after;
    m->highest = after > m->highest ? after : m->highest;
    m->lowest = after < m->lowest ? after : m->lowest;
    m->completed = 0;
}

/* In steps of a tenth of a second. */
static void run(struct scene *m, double seconds, double from_per_s, double to_per_s)
{
    bool full = false;
    int steps = (int)(seconds * 10);
    for (int i = 0; i < steps; i++) {
        double per_s = from_per_s + (to_per_s - from_per_s) * i / steps;
        m->backlog += per_s / 10 * (0.5 + unit(m));
        double slots = m->s.workers * SLOTS, at_once = fmin(slots, m->capacity);
        double done = floor(fmin(m->backlog, at_once / m->unloaded_s / 10));
        full |= m->backlog >= slots / m->unloaded_s / 10;
        m->backlog -= done;
        m->completed += (int64_t)done;
        m->now_s += 0.1;
        if ((i + 1) % (INTERVAL_S * 10) == 0) {
            sample(m, full);
            full = false;
        }
    }
}

static void a_burst(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct scene m = begin(seed, 0.3);
        run(&m, 60, 1, 1);
        assert_int_equal(m.s.workers, 1);
        m.backlog += 50000;
        run(&m, 3 * INTERVAL_S, 1, 1); /* three samples */
        assert_in_range(m.s.workers, 8, 10);
        run(&m, 500, 1, 1);
        assert_true(m.backlog < 50);
        run(&m, 180, 1, 1);
        assert_int_equal(m.s.workers, 1);
        assert_in_range(m.changes, 4, 4 + 9); /* up in four steps, down one by one */
    }
}

static void a_ramp(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct scene m = begin(seed, 0.3);
        run(&m, 600, 1, 100); /* 30 slots are busy at its end */
        assert_in_range(m.s.workers, 7, 10);
        assert_true(m.backlog < 100 * 60);
        forget_range(&m);
        run(&m, 600, 100, 100);
        assert_in_range(m.changes, 0, 10);
        assert_true(m.highest - m.lowest <= 2);
    }
}

static void noise_makes_no_waves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct scene m = begin(seed, 0.3);
        m.noise = 0.5;
        run(&m, 120, 40, 40);
        forget_range(&m);
        run(&m, 1800, 40, 40);
        assert_true(m.highest - m.lowest <= 2);
        assert_in_range(m.changes, 0, 30); /* at most one a minute */
    }
}

/* 125 % of what the target can do: workers beyond its limit would only wait. */
static void workers_follow_the_limit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct scene m = begin(seed, 0.1);
        m.capacity = 8;
        run(&m, 60, 100, 100);
        forget_range(&m);
        run(&m, 1800, 100, 100);
        assert_in_range(m.highest, 2, 3); /* of 10 */
        assert_in_range(m.changes, 0, 30);
    }
}

static void odd_clocks(void **state)
{
    (void)state;
    struct scale s = made(3);
    static const int64_t times[] = {1000, 1000, 500, -5, 3600000, 3600001, INT64_MAX / 2};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct scale_sample x = {.now_ms = times[i],
                                 .depth = 1000,
                                 .completed = 1000000,
                                 .unloaded_s = 0.1,
                                 .permits = INT_MAX,
                                 .slots_full = true};
        int workers = scale_next(&s, &x);
        assert_in_range(workers, 1, 10);
        assert_true(isfinite(s.arrivals_per_s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes),
        cmocka_unit_test(arrivals),
        cmocka_unit_test(as_many_while_nothing_is_known),
        cmocka_unit_test(bounds_take_effect_at_once),
        cmocka_unit_test(frozen_while_intake_is_held),
        cmocka_unit_test(a_burst),
        cmocka_unit_test(a_ramp),
        cmocka_unit_test(noise_makes_no_waves),
        cmocka_unit_test(workers_follow_the_limit),
        cmocka_unit_test(odd_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
