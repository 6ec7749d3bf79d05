/* The limit's single rules: what a window says, how long it is, and how the limit grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "limit_feed.h"

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
    for (int i = 0; i < LIMIT_CLASSES; i++)
        assert_true(memchr(l.classes[i].name, 0, LIMIT_CLASS_BYTES));
}

/* By its first 47 characters; one without a name is one, too. */
static void a_name_is_one_class(void **state)
{
    static const char *const names[] = {"", "a name that is longer than what is kept of it: a",
                                        "a name that is longer than what is kept of it: b"};
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    for (int i = 0; i < 3; i++)
        feed(&l, names[i], 50, 2, &now);
    assert_string_equal(l.classes[0].name, "other");
    assert_string_equal(l.classes[1].name, "a name that is longer than what is kept of it: ");
    assert_string_equal(l.classes[2].name, "");
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

static void what_a_window_says(void **state)
{
    (void)state;
    static const struct {
        struct kinds kinds;
        int permits; /* of 16 before */
        const char *why;
    } cases[] = {
        {{.answered = 40, .rtt_ms = 50}, 32, "growing"},
        {{.answered = 40, .rtt_ms = 64}, 32, "growing"}, /* 1.28 times as long */
        {{.answered = 40, .rtt_ms = 66}, 16, "holding"}, /* 1.32 */
        {{.answered = 40, .rtt_ms = 99}, 16, "holding"},
        {{.answered = 40, .rtt_ms = 102}, 12, "slowly"}, /* 2.04: 1.6 / 2.04 of it */
        {{.answered = 40, .rtt_ms = 200}, 11, "slowly"}, /* 0.7 of it at least */
        {{.answered = 40, .rtt_ms = 50, .slack = true}, 16, "holding"},
        {{.answered = 38, .timeouts = 2, .rtt_ms = 50}, 32, "growing"}, /* a twentieth */
        {{.answered = 37, .timeouts = 3, .rtt_ms = 50}, 8, "in time"},
        {{.answered = 38, .refused = 2, .rtt_ms = 50}, 32, "growing"},
        {{.answered = 37, .refused = 3, .rtt_ms = 50}, 11, "429"},
        {{.refused = 3, .timeouts = 37}, 11, "429"}, /* what the server says goes first */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t now = 0;
        struct limit l = grown(16, &now);
        window(&l, cases[i].kinds, &now);
        if (limit_permits(&l, now) != cases[i].permits || !strstr(limit_why(&l), cases[i].why))
            fail_msg("%d: %d permits, %s", (int)i, limit_permits(&l, now), limit_why(&l));
    }
}

/* By one, and then by twice as much each time, up to a quarter. */
static void after_a_fall_it_grows_by_steps(void **state)
{
    (void)state;
    static const struct kinds well = {.answered = 40, .rtt_ms = 50};
    static const int permits[] = {9, 11, 13, 17, 21, 26};
    int64_t now = 0;
    struct limit l = grown(16, &now);
    window(&l, (struct kinds){.answered = 20, .timeouts = 20, .rtt_ms = 50}, &now);
    for (size_t i = 0; i < sizeof permits / sizeof *permits; i++) {
        window(&l, well, &now);
        assert_int_equal(limit_permits(&l, now), permits[i]);
    }
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 50, .slack = true}, &now);
    window(&l, well, &now); /* held once: by one again */
    assert_int_equal(limit_permits(&l, now), 27);
}

static void never_below_one(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    for (int i = 0; i < 10; i++)
        window(&l, (struct kinds){.timeouts = 20}, &now);
    assert_int_equal(limit_permits(&l, now), 1);
    limit_disturbed(&l, now);
    assert_int_equal(limit_permits(&l, now), 1);
    window(&l, (struct kinds){.answered = 4, .rtt_ms = 50}, &now); /* four are enough then */
    assert_int_equal(limit_permits(&l, now), 2);
    window(&l, (struct kinds){.answered = 20, .rtt_ms = 50}, &now); /* by one at least */
    assert_int_equal(limit_permits(&l, now), 3);
}

/* Results of 50 ms, one every `every_ms`; → when the limit of 2 has moved. */
static int64_t moves_after(int most, int64_t every_ms)
{
    struct limit l = made(0, 0);
    for (int i = 1; i <= most; i++) {
        int64_t now = i * every_ms;
        limit_in_flight(&l, 2, true);
        struct limit_result r = answer("a", 50, now);
        limit_result(&l, &r, now);
        if (limit_permits(&l, now) != 2)
            return now;
    }
    return 0;
}

static void a_windows_length(void **state)
{
    (void)state;
    assert_int_equal(moves_after(100, 20), 1000);
    assert_int_equal(moves_after(10, 125), 1000);
    assert_int_equal(moves_after(10, 200), 1600);   /* eight results: four for each in flight */
    assert_int_equal(moves_after(1000, 3), 300);    /* with a hundred it need not be a second */
    assert_int_equal(moves_after(1000, 1), 200);    /* nor less than a fifth of one */
    assert_int_equal(moves_after(10, 2000), 10000); /* no longer than ten, with four at least */
    assert_int_equal(moves_after(10, 2500), 10000);
    assert_int_equal(moves_after(100, 5000), 0); /* two or three say nothing */
    assert_int_equal(moves_after(100, 3400), 0);
}

static void long_calls_make_long_windows(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    for (int64_t now = 100; now <= 1600; now += 100) {
        assert_int_equal(limit_permits(&l, now), 2);
        limit_in_flight(&l, 2, true);
        struct limit_result r = answer("a", 800, now);
        limit_result(&l, &r, now);
    }
    assert_int_equal(limit_permits(&l, 1600), 4); /* twice as long as they take */
}

static void full_of_refusals_it_does_not_wait(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    now += 10;
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(limit_permits(&l, now), 16);
        refuse(&l, now + i, -1);
    }
    assert_int_equal(limit_permits(&l, now), 11);
    for (int i = 0; i < 10; i++) /* begun when it was lowered: of those that were too many */
        refuse(&l, now + 11, -1);
    assert_int_equal(limit_permits(&l, now), 11);
}

/* It ends when the server slows down, not for want of messages. */
static void the_end_of_doubling(void **state)
{
    (void)state;
    static const struct {
        struct kinds kinds;
        int next; /* after 16 */
    } cases[] = {{{.answered = 40, .rtt_ms = 50, .slack = true}, 32},
                 {{.answered = 40, .rtt_ms = 80}, 17}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t now = 0;
        struct limit l = grown(16, &now);
        window(&l, cases[i].kinds, &now);
        assert_int_equal(limit_permits(&l, now), 16);
        window(&l, (struct kinds){.answered = 40, .rtt_ms = 50}, &now);
        assert_int_equal(limit_permits(&l, now), cases[i].next);
    }
}

static void classes_have_bases_of_their_own(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    for (int i = 0; i < LIMIT_CLASSES - 1; i++) {
        char name[20];
        snprintf(name, sizeof name, "class %d", i);
        feed(&l, name, 10 + 10 * i, 1, &now);
        assert_true(l.slowdown <= 1.01);
    }
    feed(&l, "class 3", 100, 1, &now); /* 40 before */
    assert_true(l.slowdown > 2.4 && l.slowdown < 2.6);
    feed(&l, "new", 10, 1, &now); /* those that there is no room for share one */
    feed(&l, "newer", 30, 1, &now);
    assert_true(l.slowdown > 2.9 && l.slowdown < 3.1);
}

/* What was seen before it stood still, or before its target was away, is not half a window. */
static void a_window_begun_before_is_forgotten(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        int64_t now = 0;
        struct limit l = made(0, 0);
        for (int i = 0; i < 7; i++) {
            struct limit_result r = answer("a", 50, now += 100);
            limit_result(&l, &r, now);
        }
        assert_int_equal(l.window.results, 7);
        if (restart)
            limit_restart(&l, now);
        else
            limit_disturbed(&l, now);
        assert_int_equal(l.window.results, 0);
    }
}

/* The first window after the return of its target says nothing of those before. */
static void slow_after_a_return(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    limit_restart(&l, now);
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 200}, &now);
    assert_int_equal(limit_permits(&l, now), 1);
    assert_non_null(strstr(limit_why(&l), "slowly"));
}

static void one_at_once(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = made(1, 0);
    assert_true(l.slowdown == 1);
    feed(&l, "a", 50, 4, &now);
    assert_int_equal(limit_permits(&l, now), 1);
    l = made(0, 1);
    feed(&l, "a", 50, 4, &now);
    assert_int_equal(limit_permits(&l, now), 1);
    assert_string_equal(limit_why(&l), "fixed by the configuration");
    limit_restart(&l, now);
    assert_string_equal(limit_why(&l), "fixed by the configuration");
    limit_set(&l, 0, 0); /* and nothing was measured */
    assert_int_equal(limit_permits(&l, now), 2);
    assert_int_equal(l.window.results, 0);
    limit_set(&l, 0, 1);
    assert_string_equal(limit_why(&l), "fixed by the configuration");
}

static void given_and_found_again(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    limit_set(&l, 0, 7);
    assert_int_equal(limit_permits(&l, now), 7);
    limit_restart(&l, now);
    assert_string_equal(limit_why(&l), "fixed by the configuration");
    limit_set(&l, 0, 0);
    assert_string_equal(limit_why(&l), "holding");
    assert_int_equal(limit_permits(&l, now), 2);
    limit_restart(&l, now);
    assert_string_equal(limit_why(&l), "starting low");
    limit_set(&l, LIMIT_MOST + 1, 0);
    assert_int_equal(l.options.max, LIMIT_MOST);
}

static void in_flight_is_the_most(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    limit_in_flight(&l, 2.2, false);
    limit_in_flight(&l, 1, true);
    limit_in_flight(&l, 1, false);
    assert_int_equal(l.window.most, 3);
    assert_true(l.window.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_low_and_doubles),
        cmocka_unit_test(never_more_than_max),
        cmocka_unit_test(fixed_stays),
        cmocka_unit_test(retry_after_is_waited_for),
        cmocka_unit_test(a_week_is_not),
        cmocka_unit_test(a_burst_of_refusals_counts_once),
        cmocka_unit_test(many_classes_share_the_last),
        cmocka_unit_test(a_name_is_one_class),
        cmocka_unit_test(a_gap_is_no_measurement),
        cmocka_unit_test(failures_and_odd_durations_say_nothing),
        cmocka_unit_test(what_a_window_says),
        cmocka_unit_test(after_a_fall_it_grows_by_steps),
        cmocka_unit_test(never_below_one),
        cmocka_unit_test(a_windows_length),
        cmocka_unit_test(long_calls_make_long_windows),
        cmocka_unit_test(full_of_refusals_it_does_not_wait),
        cmocka_unit_test(the_end_of_doubling),
        cmocka_unit_test(classes_have_bases_of_their_own),
        cmocka_unit_test(a_window_begun_before_is_forgotten),
        cmocka_unit_test(slow_after_a_return),
        cmocka_unit_test(one_at_once),
        cmocka_unit_test(given_and_found_again),
        cmocka_unit_test(in_flight_is_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
