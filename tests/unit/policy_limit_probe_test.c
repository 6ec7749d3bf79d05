/* Where the limit was refused, and how it finds out how fast its server is unloaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "limit_feed.h"

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

static void tick_until(struct limit *l, int64_t *now_ms, int64_t until_ms)
{
    for (; *now_ms < until_ms; *now_ms += 1000)
        limit_tick(l, *now_ms);
}

/* One below where it was refused, for a minute; then one more every ten seconds; gone at twice. */
static void a_ceilings_life(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    window(&l, (struct kinds){.refused = 10}, &now);
    int64_t hit = now;
    assert_int_equal(l.ceiling, 15);
    for (int i = 0; i < 16; i++) {
        limit_tick(&l, hit + 60000 + i * 10000 - 1);
        assert_int_equal(l.ceiling, 15 + i);
        limit_tick(&l, hit + 60000 + i * 10000);
        assert_int_equal(l.ceiling, i < 15 ? 16 + i : 0);
    }
}

static void a_ceiling_at_the_maximum_is_none(void **state)
{
    (void)state;
    struct limit l = made(16, 0);
    int64_t now = 0;
    for (int i = 0; i < 5; i++)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
    window(&l, (struct kinds){.refused = 10}, &now);
    tick_until(&l, &now, now + 62000);
    assert_int_equal(l.ceiling, 16);
    tick_until(&l, &now, now + 11000);
    assert_int_equal(l.ceiling, 0);
}

/* Hit again it stays twice as long, up to ten minutes. */
static void a_ceiling_that_is_hit_again(void **state)
{
    (void)state;
    static const int64_t holds_s[] = {60, 120, 240, 480, 600, 600};
    int64_t now = 0;
    struct limit l = grown(16, &now);
    for (size_t i = 0; i < sizeof holds_s / sizeof *holds_s; i++) {
        window(&l, (struct kinds){.refused = 10}, &now);
        int ceiling = l.ceiling;
        limit_tick(&l, now + holds_s[i] * 1000 - 1);
        assert_int_equal(l.ceiling, ceiling);
        now += holds_s[i] * 1000;
        limit_tick(&l, now);
        assert_true(l.ceiling != ceiling);
    }
}

static void one_is_the_lowest_ceiling(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    for (int i = 0; i < 5; i++)
        window(&l, (struct kinds){.refused = 20}, &now);
    assert_int_equal(l.ceiling, 1);
    assert_int_equal(limit_permits(&l, now), 1);
    for (int i = 0; i < 5; i++) { /* it does not grow beneath, to come out when that is gone */
        window(&l, (struct kinds){.answered = 20, .rtt_ms = 50}, &now);
        assert_true(l.value == 1);
    }
}

static void two_were_too_many(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    l.value = 2.9; /* 2.03 when it is lowered */
    window(&l, (struct kinds){.refused = 10}, &now);
    assert_int_equal(limit_permits(&l, now), 1);
}

/* After half a minute at its limit it is lowered to a quarter for a moment; twice as long after
 * that again; not more than five minutes apart. */
static void probes_of_a_busy_limit(void **state)
{
    (void)state;
    static const int64_t apart_s[] = {30, 60, 120, 240, 300, 300};
    struct limit l = made(8, 0);
    int64_t now = 0;
    for (size_t i = 0; i < sizeof apart_s / sizeof *apart_s; i++) {
        int64_t since = now;
        while (limit_permits(&l, now) != 2 || now < since + 10000) {
            window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
            assert_true(now < since + 400000);
        }
        assert_in_range(now - since, apart_s[i] * 1000, apart_s[i] * 1100 + 1000);
        assert_non_null(strstr(limit_why(&l), "for a moment"));
        window(&l, (struct kinds){.answered = 19, .rtt_ms = 50}, &now);
        assert_int_equal(limit_permits(&l, now), 2); /* twenty say enough */
        window(&l, (struct kinds){.answered = 1, .rtt_ms = 50}, &now);
        assert_int_equal(limit_permits(&l, now), 8);
    }
}

static struct limit probing(int64_t *now_ms)
{
    struct limit l = made(8, 0);
    while (limit_permits(&l, *now_ms) != 2 || *now_ms < 10000)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, now_ms);
    return l;
}

static void what_began_before_a_probe_is_not_its_result(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = probing(&now);
    for (int i = 0; i < 50; i++) {
        struct limit_result r = answer("a", 50, now + 50 * i);
        r.started_ms = now;
        limit_result(&l, &r, now + 50 * i);
    }
    assert_int_equal(l.window.results, 0);
    struct limit_result r = answer("a", 49, now + 50);
    limit_result(&l, &r, now + 50);
    assert_int_equal(l.window.results, 1);
}

static void a_probe_without_answers_ends(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = probing(&now);
    for (int i = 1; i <= 3; i++) {
        struct limit_result r = answer("a", 50, now + 100 * i);
        limit_result(&l, &r, now + 100 * i);
    }
    limit_tick(&l, now + 59999);
    assert_int_equal(limit_permits(&l, now), 2);
    limit_tick(&l, now + 60000);
    assert_int_equal(limit_permits(&l, now), 8);
    assert_int_equal(l.window.results, 0); /* the few of the probe are of no other window */
}

/* Of two one can be tried, of one nothing less. */
static void what_can_be_probed(void **state)
{
    (void)state;
    for (int max = 1; max <= 2; max++) {
        struct limit l = made(max, 0);
        bool probed = false;
        for (int64_t now = 0; now < 100000;) {
            window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
            probed |= l.probing;
        }
        assert_int_equal(probed, max == 2);
    }
}

static void a_disturbance_or_a_return_ends_a_probe(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = probing(&now);
    limit_disturbed(&l, now);
    assert_int_equal(limit_permits(&l, now), 4);
    now = 0;
    l = probing(&now);
    limit_restart(&l, now);
    assert_null(strstr(limit_why(&l), "for a moment"));
    window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
    assert_int_equal(limit_permits(&l, now), 4);
}

/* Too slow, and lowering does not help: a quarter of the load tells whether it is the load. */
static void slow_whatever_the_load(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 150}, &now);
    assert_int_equal(limit_permits(&l, now), 11);
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 150}, &now);
    assert_int_equal(limit_permits(&l, now), 2); /* of 7.84 */
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 150}, &now);
    assert_int_equal(limit_permits(&l, now), 16); /* it was not: that is how fast it is now */
    struct limit again = l;
    int64_t then = now;
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 150}, &now);
    assert_true(limit_permits(&l, now) >= 16);
    window(&again, (struct kinds){.answered = 40, .rtt_ms = 500}, &then);
    assert_int_equal(limit_permits(&again, then), 11); /* slow again is slow for the first time */
}

/* Alone with it, and slow for a second window: that is how fast it is now. From there it doubles,
 * as at the start. */
static void slow_with_one_at_once(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = made(1, 0);
    for (int i = 0; i < 4; i++)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
    for (int i = 0; i < 2; i++) {
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 200}, &now);
        assert_non_null(strstr(limit_why(&l), "slowly"));
        assert_true(l.value < 2);
    }
    struct limit again = l;
    int64_t then = now;
    for (int i = 0; i < 2; i++) { /* once more needs two windows, too */
        window(&again, (struct kinds){.answered = 50, .rtt_ms = 500}, &then);
        assert_true(again.slowdown > 1.5);
    }
    limit_set(&l, 16, 0);
    static const int permits[] = {2, 4, 8, 16};
    for (int i = 0; i < 4; i++) {
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 200}, &now);
        assert_int_equal(limit_permits(&l, now), permits[i]);
    }
}

/* Its probes have become rare, and it takes half as long as it does unloaded: it is measured anew
 * within the half minute. */
static void a_server_that_has_become_faster(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = made(8, 0);
    while (l.probe_every_ms < 240000)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
    while (l.probing)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
    int64_t since = now;
    while (!l.probing && now < since + 100000)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 20}, &now);
    assert_in_range(now - since, 30000, 35000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ceiling_rises_slowly),
        cmocka_unit_test(a_ceilings_life),
        cmocka_unit_test(a_ceiling_at_the_maximum_is_none),
        cmocka_unit_test(a_ceiling_that_is_hit_again),
        cmocka_unit_test(one_is_the_lowest_ceiling),
        cmocka_unit_test(two_were_too_many),
        cmocka_unit_test(probes_of_a_busy_limit),
        cmocka_unit_test(what_began_before_a_probe_is_not_its_result),
        cmocka_unit_test(a_probe_without_answers_ends),
        cmocka_unit_test(what_can_be_probed),
        cmocka_unit_test(a_disturbance_or_a_return_ends_a_probe),
        cmocka_unit_test(slow_whatever_the_load),
        cmocka_unit_test(slow_with_one_at_once),
        cmocka_unit_test(a_server_that_has_become_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
