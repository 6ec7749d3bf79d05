#include "policy/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

static void half_of_the_calls(void **state)
{
    (void)state;
    struct breaker b = made();
    int64_t now = 0;
    while (!b.open && now < 10000) {
        now += 200;
        call(&b, now / 200 % 2, now);
    }
    assert_true(b.open);
    assert_true(now <= 10000);
    b = made(); /* a tenth of them never */
    for (now = 0; now < 600000; now += 20)
        assert_int_equal(call(&b, now / 20 % 10 == 0, now), BREAKER_STAYS);
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
    assert_int_equal(breaker_result(&b, false, 1200, 1500), BREAKER_CLOSES);
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
        cmocka_unit_test(half_of_the_calls),
        cmocka_unit_test(old_failures_are_forgotten),
        cmocka_unit_test(open_it_lets_one_try_now_and_then),
        cmocka_unit_test(late_results_say_nothing),
        cmocka_unit_test(a_flapping_target),
        cmocka_unit_test(odd_options_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
