#include "policy/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { START = 3600000 };

static struct breaker made(void)
{
    struct breaker b;
    struct breaker_options o = {.failures = 5, .window_ms = 10000, .probe_ms = 2000};
    breaker_init(&b, &o);
    return b;
}

/* A call of 10 ms that ends now. */
static enum breaker_step call(struct breaker *b, bool failed, int64_t now_ms)
{
    return breaker_result(b, failed, now_ms - 10, now_ms);
}

static void failures_in_a_row(void **state)
{
    (void)state;
    struct breaker b = made();
    call(&b, false, 900);
    for (int i = 0; i < 4; i++)
        assert_int_equal(call(&b, true, 1000 + i * 100), BREAKER_STAYS);
    assert_int_equal(call(&b, true, 1400), BREAKER_OPENS);
    assert_true(b.open);
    b = made(); /* rare calls: a row needs no window */
    for (int i = 0; i < 4; i++)
        assert_int_equal(call(&b, true, 1000 + i * 60000), BREAKER_STAYS);
    assert_int_equal(call(&b, true, 300000), BREAKER_OPENS);
}

static void one_burst_is_one_event(void **state)
{
    (void)state;
    struct breaker b = made();
    for (int i = 0; i < 40; i++) /* all were under way when the first failed */
        assert_int_equal(breaker_result(&b, true, 900 + i, 1000 + i / 2), BREAKER_STAYS);
    for (int i = 0; i < 40; i++)
        assert_int_equal(call(&b, false, 1100 + i), BREAKER_STAYS);
    assert_false(b.open);
}

/* Five failures, so far apart; all but the first began so many milliseconds after that one had
 * failed. */
static enum breaker_step five(bool successes_between, int64_t apart_ms, int64_t later_ms)
{
    struct breaker b = made();
    enum breaker_step step = breaker_result(&b, true, START - 10, START);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(step, BREAKER_STAYS);
        if (successes_between)
            breaker_result(&b, false, START, START + 20 + i * apart_ms);
        step = breaker_result(&b, true, START + later_ms, START + 20 + i * apart_ms);
    }
    return step;
}

static void one_that_began_later_is_enough(void **state)
{
    (void)state;
    static const struct {
        bool successes_between;
        int64_t apart_ms;
    } cases[] = {{false, 1}, {true, 1}, {false, 11000}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(five(cases[i].successes_between, cases[i].apart_ms, 0), BREAKER_STAYS);
        assert_int_equal(five(cases[i].successes_between, cases[i].apart_ms, 1), BREAKER_OPENS);
    }
}

/* A burst is not one event if something had failed within the window before it. */
static void a_burst_after_a_failure(void **state)
{
    (void)state;
    for (int before_s = 9; before_s <= 10; before_s++) {
        struct breaker b = made();
        int64_t at = START + before_s * 1000;
        call(&b, true, START);
        call(&b, false, START + 100);
        for (int i = 0; i < 3; i++)
            assert_int_equal(breaker_result(&b, true, at - 10, at + i), BREAKER_STAYS);
        breaker_result(&b, true, at - 10, at + 4);
        assert_int_equal(b.open, before_s == 9);
        breaker_result(&b, true, at - 10, at + 5);
        assert_int_equal(b.open, before_s == 9);
    }
}

/* Of every `nth` call that fails, how many until it opens; 0: it does not. */
static int opens_at(int nth, int64_t every_ms, int64_t start_ms)
{
    struct breaker b = made();
    for (int i = 1; i <= 30 * nth; i++)
        if (call(&b, i % nth == 0, start_ms + i * every_ms) == BREAKER_OPENS)
            return i / nth;
    return 0;
}

static void half_of_the_calls(void **state)
{
    (void)state;
    assert_int_equal(opens_at(2, 200, START), 5);
    assert_int_equal(opens_at(3, 200, START), 0);
    assert_int_equal(opens_at(10, 20, START), 0);
}

/* Five failures count if they came within nine seconds, and not if it took them ten: the window is
 * of ten parts, wherever they begin. */
static void the_windows_length(void **state)
{
    (void)state;
    for (int64_t start = START; start < START + 20000; start += 250) {
        assert_int_equal(opens_at(2, 9000 / 8, start), 5);
        assert_int_equal(opens_at(2, 10000 / 8, start), 0);
    }
}

/* What was counted before it opened does not open it again. */
static void closed_it_begins_anew(void **state)
{
    (void)state;
    struct breaker b = made();
    for (int i = 0; i < 5; i++)
        call(&b, true, START + i * 100);
    assert_true(b.open);
    assert_int_equal(call(&b, false, START + 2500), BREAKER_CLOSES);
    for (int i = 0; i < 4; i++)
        assert_int_equal(call(&b, true, START + 2600 + i * 100), BREAKER_STAYS);
    assert_int_equal(call(&b, true, START + 3000), BREAKER_OPENS);
}

static void old_failures_are_forgotten(void **state)
{
    (void)state;
    struct breaker b = made();
    for (int64_t now = 0; now < 600000; now += 3000) { /* four within any window, half of all */
        assert_int_equal(call(&b, true, now), BREAKER_STAYS);
        assert_int_equal(call(&b, false, now + 100), BREAKER_STAYS);
    }
}

static void open_it_lets_one_try_now_and_then(void **state)
{
    (void)state;
    struct breaker b = made();
    assert_false(breaker_probe(&b, 1000));
    breaker_open(&b, 1000);
    assert_false(breaker_probe(&b, 2999));
    for (int64_t due = 3000; due < 3600000; due += 2000) { /* an hour, never more than 2 s apart */
        assert_true(breaker_probe(&b, due));
        assert_false(breaker_probe(&b, due + 1));
        assert_int_equal(call(&b, true, due + 20), BREAKER_STAYS);
    }
    /* The one that tried never ended, or called nothing: the next is due all the same. */
    assert_true(breaker_probe(&b, 3700000));
    assert_true(breaker_probe(&b, 3702000));
    assert_int_equal(call(&b, false, 3702020), BREAKER_CLOSES);
    assert_false(breaker_probe(&b, 3800000));
}

static void late_results_say_nothing(void **state)
{
    (void)state;
    struct breaker b = made();
    breaker_open(&b, 1000);
    assert_int_equal(breaker_result(&b, false, 999, 1500), BREAKER_STAYS);
    assert_true(b.open);
    assert_int_equal(breaker_result(&b, false, 1000, 1500), BREAKER_CLOSES);
    for (int i = 0; i < 40; i++) /* of the time before it closed */
        assert_int_equal(breaker_result(&b, true, 1499, 1600 + i), BREAKER_STAYS);
    assert_false(b.open);
}

static void a_flapping_target(void **state)
{
    (void)state;
    struct breaker b = made();
    b.options.probe_ms = 1900; /* not in step with it */
    int opened = 0, tried = 0;
    for (int64_t now = 0; now < 60000; now += 20) {
        bool may = !b.open || breaker_probe(&b, now), down = now / 1000 % 2;
        if (!may)
            continue;
        tried += down;
        opened += call(&b, down, now) == BREAKER_OPENS;
    }
    assert_true(opened >= 5);
    assert_in_range(tried, opened, 40 * opened); /* of 1500 while it was down */
}

static void odd_options_and_times(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_options o = {.failures = 1, .window_ms = 1, .probe_ms = 0};
    breaker_init(&b, &o);
    assert_int_equal(call(&b, true, 5), BREAKER_OPENS);
    assert_true(breaker_probe(&b, 5));
    breaker_open(&b, 9);
    assert_int_equal(b.changed_ms, 5);
    breaker_close(&b, 9);
    breaker_close(&b, 10);
    assert_int_equal(b.changed_ms, 9);
    b = made();
    call(&b, true, 3600000);
    assert_int_equal(call(&b, true, 0), BREAKER_STAYS); /* a clock that went back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row),
        cmocka_unit_test(one_burst_is_one_event),
        cmocka_unit_test(one_that_began_later_is_enough),
        cmocka_unit_test(a_burst_after_a_failure),
        cmocka_unit_test(half_of_the_calls),
        cmocka_unit_test(the_windows_length),
        cmocka_unit_test(closed_it_begins_anew),
        cmocka_unit_test(old_failures_are_forgotten),
        cmocka_unit_test(open_it_lets_one_try_now_and_then),
        cmocka_unit_test(late_results_say_nothing),
        cmocka_unit_test(a_flapping_target),
        cmocka_unit_test(odd_options_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
