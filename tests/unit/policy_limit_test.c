/* The limit against servers of known capacity (limit_model.h). Its single rules:
 * policy_limit_rules_test.c, policy_limit_probe_test.c. */
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
