#include "limit_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define assert_between(value, low, high)                                                           \
    do {                                                                                           \
        double v_ = (value);                                                                       \
        if (!(v_ >= (low) && v_ <= (high)))                                                        \
            fail_msg("seed %d: %s is %.3f, not in %g…%g", (int)seed, #value, v_, (double)(low),    \
                     (double)(high));                                                              \
    } while (0)

#define for_each_seed() for (uint64_t seed = 1; seed <= SEEDS; seed++)

enum { SEEDS = 3 };

/* ---- servers of known capacity ---- */

static void steady(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        model_run(&m, 20);
        model_mark(&m);
        model_run(&m, 580);
        double first = model_mean_limit(&m);
        model_run(&m, 2400);
        assert_between(model_utilisation(&m), 0.93, 1.01);
        assert_between(model_slowdown(&m), 1, 1.8);
        model_mark(&m);
        model_run(&m, 600);
        assert_between(model_mean_limit(&m) / first, 0.8, 1.2);
    }
}

static void capacity_falls_and_rises(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        model_run(&m, 120);
        m.servers = 2;
        model_run(&m, 20);
        model_mark(&m);
        model_run(&m, 100);
        assert_between(model_slowdown(&m), 1, 2.2);
        m.servers = 16;
        model_mark(&m);
        model_run(&m, 30);
        assert_between(model_utilisation(&m), 0.65, 1.01);
        model_mark(&m);
        model_run(&m, 100);
        assert_between(model_utilisation(&m), 0.95, 1.02);
    }
}

static void collapse_is_not_entered(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        m.collapse_at = 16;
        model_run(&m, 20);
        model_mark(&m);
        model_run(&m, 1800);
        assert_between(model_utilisation(&m), 0.9, 1.01);
        assert_between(m.seen.highest, 4, 24);
    }
}

static void refusals_are_remembered(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        m.refuse_above = m.servers = 5;
        model_run(&m, 20);
        model_mark(&m);
        model_run(&m, 600);
        assert_between(model_utilisation(&m), 0.9, 1.01);
        double early = (double)m.seen.refused / 600;
        assert_between(early, 0, 3);
        model_mark(&m);
        model_run(&m, 1800);
        assert_between((double)m.seen.refused / 1800, 0, early < 1 ? 1 : early);
    }
}

/* The slowdown of each phase, and of the first 20 s after heavy calls have become few again. */
static double mixed(uint64_t seed, bool one_name, double slowdowns[3])
{
    static const double shares[] = {0.1, 0.8, 0.1};
    struct model m;
    double after = 0;
    model_init(&m, seed, 1, 0);
    m.servers = 2;
    m.service_s[0] = 0.004;
    m.service_s[1] = 0.067;
    m.one_name = one_name;
    for (int i = 0; i < 3; i++) {
        m.second_class = shares[i];
        model_mark(&m);
        model_run(&m, 20);
        after = model_slowdown(&m);
        if (i == 0) /* it has to find its feet */
            model_mark(&m);
        model_run(&m, 280);
        slowdowns[i] = model_slowdown(&m);
        assert_between(model_utilisation(&m), 0.9, 1.01);
    }
    return after;
}

static void a_change_of_the_mix_is_no_slowdown(void **state)
{
    (void)state;
    double blind = 0, s[3];
    for_each_seed()
    {
        double after = mixed(seed, false, s);
        for (int i = 0; i < 3; i++)
            assert_between(s[i], 1, 2.1);
        assert_between(after, 1, 2.1);
        blind += mixed(seed, true, s) / SEEDS;
    }
    int seed = 0;
    assert_between(blind, 2.5, 40); /* without the classes it would not work */
}

static void a_cold_server_is_measured_again(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        for (int i = 0; i < 60; i++) {
            m.speed = 0.3 + 0.7 * i / 60;
            model_run(&m, 1);
        }
        m.speed = 1;
        model_run(&m, 60);
        model_mark(&m);
        model_run(&m, 300);
        assert_between(model_slowdown(&m), 1, 2.2);
        assert_between(model_utilisation(&m), 0.9, 1.01);
    }
}

static void slower_service(void **state)
{
    (void)state;
    for (int factor = 2; factor <= 4; factor *= 2) {
        for_each_seed()
        {
            struct model m;
            model_init(&m, seed, 1, 0);
            model_run(&m, 120);
            m.service_s[0] = m.service_s[1] = 0.1 * factor;
            model_mark(&m);
            model_run(&m, 30);
            assert_between(model_utilisation(&m), 0.4, 1.01);
            model_run(&m, 60);
            model_mark(&m);
            model_run(&m, 300);
            assert_between(model_utilisation(&m), factor == 2 ? 0.9 : 0.8, 1.01);
        }
    }
}

static void idle_then_a_backlog(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        model_arrivals(&m, 1);
        model_run(&m, 600);
        assert_between(m.seen.highest, 1, 4);
        model_backlog(&m);
        model_mark(&m);
        model_run(&m, 10);
        assert_between(model_utilisation(&m), 0.7, 1.01);
    }
}

static void black_hole(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        model_run(&m, 120);
        m.black_hole = true;
        model_run(&m, 30);
        m.black_hole = false;
        model_run(&m, 10);
        model_mark(&m);
        model_run(&m, 10);
        assert_between(model_utilisation(&m), 0.6, 1.01);
        model_run(&m, 10);
        model_mark(&m);
        model_run(&m, 60);
        assert_between(model_utilisation(&m), 0.93, 1.01);
    }
}

static void one_slow_server(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 1, 0);
        m.servers = 1;
        m.service_s[0] = m.service_s[1] = 1;
        model_run(&m, 20);
        model_mark(&m);
        model_run(&m, 1800);
        assert_between(model_utilisation(&m), 0.95, 1.05);
        assert_between(model_mean_limit(&m), 1, 4);
    }
}

static void three_hosts(void **state)
{
    (void)state;
    for_each_seed()
    {
        struct model m;
        model_init(&m, seed, 3, 0);
        model_run(&m, 60);
        model_mark(&m);
        model_run(&m, 600);
        assert_between(model_utilisation(&m), 0.95, 1.01);
        for (int h = 0; h < 3; h++)
            assert_between((double)m.seen.by_host[h] / (double)m.seen.answered, 0.1, 0.8);
        model_init(&m, seed, 3, 4);
        model_run(&m, 60);
        model_mark(&m);
        model_run(&m, 600);
        assert_between(model_utilisation(&m), 0.93, 1.01);
        assert_between(model_slowdown(&m), 1, 2);
    }
}

/* ---- single rules ---- */

static struct limit made(int max, int fixed)
{
    struct limit l;
    struct limit_options o = {.max = max, .fixed = fixed, .seed = 1};
    limit_init(&l, &o, 0);
    return l;
}

static struct limit_result answer(const char *class, int64_t rtt_ms, int64_t now_ms)
{
    return (struct limit_result){.class = class,
                                 .outcome = LIMIT_ANSWERED,
                                 .rtt_us = rtt_ms * 1000,
                                 .started_ms = now_ms - rtt_ms,
                                 .retry_after_ms = -1};
}

/* So many windows of a second, all full. */
static void feed(struct limit *l, const char *class, int64_t rtt_ms, int windows, int64_t *now_ms)
{
    for (int i = 0; i < windows * 100; i++) {
        *now_ms += 10;
        limit_in_flight(l, limit_permits(l, *now_ms), true);
        struct limit_result r = answer(class, rtt_ms, *now_ms);
        limit_result(l, &r, *now_ms);
    }
}

static void starts_low_and_doubles(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    assert_int_equal(limit_permits(&l, 0), 2);
    feed(&l, "a", 50, 4, &now);
    assert_true(limit_permits(&l, now) >= 16);
    limit_restart(&l, now);
    assert_int_equal(limit_permits(&l, now), 2);
}

static void never_more_than_max(void **state)
{
    (void)state;
    struct limit l = made(5, 0);
    int64_t now = 0;
    feed(&l, "a", 50, 20, &now);
    assert_int_equal(limit_permits(&l, now), 5);
    limit_set(&l, 3, 0);
    assert_int_equal(limit_permits(&l, now), 3);
    limit_set(&l, 0, 0);
    feed(&l, "a", 50, 40, &now);
    assert_true(limit_permits(&l, now) > 5);
    assert_true(limit_permits(&l, now) <= LIMIT_MOST);
}

static void fixed_stays(void **state)
{
    (void)state;
    struct limit l = made(0, 7);
    int64_t now = 0;
    feed(&l, "a", 5000, 20, &now);
    assert_int_equal(limit_permits(&l, now), 7);
    assert_string_equal(limit_why(&l), "fixed by the configuration");
}

static void refuse(struct limit *l, int64_t now_ms, int64_t retry_after_ms)
{
    struct limit_result r = answer("a", 1, now_ms);
    r.outcome = LIMIT_REFUSED;
    r.retry_after_ms = retry_after_ms;
    limit_result(l, &r, now_ms);
}

static void retry_after_is_waited_for(void **state)
{
    (void)state;
    for (int fixed = 0; fixed <= 4; fixed += 4) {
        struct limit l = made(0, fixed);
        refuse(&l, 1000, 3000);
        assert_int_equal(limit_permits(&l, 1001), 0);
        assert_int_equal(limit_permits(&l, 3999), 0);
        refuse(&l, 1500, 1000); /* a later and shorter wish takes nothing back */
        assert_int_equal(limit_permits(&l, 3999), 0);
        assert_true(limit_permits(&l, 4000) > 0);
    }
}

static void a_week_is_not(void **state)
{
    (void)state;
    static const int64_t wishes[] = {7 * 86400 * 1000LL, INT64_MAX, LIMIT_RETRY_AFTER_MAX_MS + 1};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        struct limit l = made(0, 0);
        refuse(&l, 1000, wishes[i]);
        assert_int_equal(limit_permits(&l, 1000 + LIMIT_RETRY_AFTER_MAX_MS - 1), 0);
        assert_true(limit_permits(&l, 1000 + LIMIT_RETRY_AFTER_MAX_MS) > 0);
    }
    struct limit l = made(0, 0);
    refuse(&l, 1000, -1);
    refuse(&l, 1000, 0);
    refuse(&l, 1000, INT64_MIN);
    assert_int_equal(limit_permits(&l, 1001), 2);
}

/* 40 requests that were on their way are one event, not forty. */
static void a_burst_of_refusals_counts_once(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    feed(&l, "a", 50, 4, &now);
    int before = limit_permits(&l, now);
    for (int i = 0; i < 40; i++)
        refuse(&l, now + 1, -1); /* started at `now` */
    int after = limit_permits(&l, now + 2);
    assert_true(after >= before * 7 / 10 - 1 && after <= before * 7 / 10 + 1);
}

static void a_ceiling_rises_slowly(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    feed(&l, "a", 50, 4, &now);
    int before = limit_permits(&l, now);
    now += 100;
    for (int i = 0; i < 10; i++)
        refuse(&l, now + 10 + i, -1);
    for (int i = 0; i < 50; i++) {
        feed(&l, "a", 50, 1, &now);
        limit_tick(&l, now);
        assert_true(limit_permits(&l, now) < before);
    }
    for (int i = 0; i < 40; i++) {
        feed(&l, "a", 50, 1, &now);
        limit_tick(&l, now);
    }
    assert_true(limit_permits(&l, now) >= before);
}

static void many_classes_share_the_last(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    for (int i = 0; i < 100; i++) {
        char name[128];
        snprintf(name, sizeof name, "GET /a-rather-long-path-that-is-cut-somewhere/%d", i);
        feed(&l, name + (i % 2) * 3, 50, 1, &now);
    }
    feed(&l, "", 50, 1, &now);
    assert_string_equal(l.classes[LIMIT_CLASSES - 1].name, "other");
    for (int i = 0; i < LIMIT_CLASSES; i++)
        assert_true(memchr(l.classes[i].name, 0, LIMIT_CLASS_BYTES));
}

static void a_gap_is_no_measurement(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    feed(&l, "a", 50, 4, &now);
    int before = limit_permits(&l, now);
    struct limit_result r = answer("a", 60000, now += 60000);
    limit_result(&l, &r, now);
    limit_disturbed(&l, now);
    assert_int_equal(limit_permits(&l, now), before / 2);
    assert_int_equal(l.window.results, 0);
}

static void failures_and_odd_durations_say_nothing(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    for (int i = 0; i < 1000; i++) {
        now += 10;
        struct limit_result r = answer("a", i % 2 ? -5 : 0, now);
        r.outcome = LIMIT_FAILED;
        limit_in_flight(&l, 1, false);
        limit_result(&l, &r, now);
    }
    assert_int_equal(limit_permits(&l, now), 2);
    feed(&l, "a", -1, 3, &now);
    assert_true(limit_permits(&l, now) >= 2);
    limit_tick(&l, 0); /* a clock that went back */
    assert_true(limit_permits(&l, now) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady),
        cmocka_unit_test(capacity_falls_and_rises),
        cmocka_unit_test(collapse_is_not_entered),
        cmocka_unit_test(refusals_are_remembered),
        cmocka_unit_test(a_change_of_the_mix_is_no_slowdown),
        cmocka_unit_test(a_cold_server_is_measured_again),
        cmocka_unit_test(slower_service),
        cmocka_unit_test(idle_then_a_backlog),
        cmocka_unit_test(black_hole),
        cmocka_unit_test(one_slow_server),
        cmocka_unit_test(three_hosts),
        cmocka_unit_test(starts_low_and_doubles),
        cmocka_unit_test(never_more_than_max),
        cmocka_unit_test(fixed_stays),
        cmocka_unit_test(retry_after_is_waited_for),
        cmocka_unit_test(a_week_is_not),
        cmocka_unit_test(a_burst_of_refusals_counts_once),
        cmocka_unit_test(a_ceiling_rises_slowly),
        cmocka_unit_test(many_classes_share_the_last),
        cmocka_unit_test(a_gap_is_no_measurement),
        cmocka_unit_test(failures_and_odd_durations_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
