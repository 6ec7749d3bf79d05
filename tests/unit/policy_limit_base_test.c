/* The base, how long a call takes unloaded: what moves it, and what is compared with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "limit_feed.h"

/* Results of a class, spread over a second, with so many in flight; more are not wanted. */
static void calls(struct limit *l, const char *class, int count, int64_t rtt_ms, int in_flight,
                  int64_t *now_ms)
{
    int64_t start_ms = *now_ms;
    limit_in_flight(l, in_flight, false);
    for (int i = 1; i <= count; i++) {
        *now_ms = start_ms + 1000 * i / count;
        struct limit_result r = answer(class, rtt_ms, *now_ms);
        limit_result(l, &r, *now_ms);
    }
}

/* The same, of a second class in the same window before them. */
static void calls_after(struct limit *l, const char *first, int64_t first_rtt_ms, const char *class,
                        int count, int64_t rtt_ms, int64_t *now_ms)
{
    struct limit_result r = answer(first, first_rtt_ms, *now_ms);
    limit_result(l, &r, *now_ms);
    calls(l, class, count, rtt_ms, 1, now_ms);
}

static double base_ms(const struct limit *l, const char *class)
{
    for (int i = 0; i < LIMIT_CLASSES; i++)
        if (strcmp(l->classes[i].name, class) == 0)
            return l->classes[i].base_us / 1000;
    return 0;
}

#define assert_about(value, wanted)                                                                \
    do {                                                                                           \
        double v_ = (value), w_ = (wanted);                                                        \
        if (!(v_ >= w_ * 0.99 && v_ <= w_ * 1.01))                                                 \
            fail_msg("%s is %.3f, not about %g", #value, v_, w_);                                  \
    } while (0)

static void nothing_known_is_no_slowdown(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    calls(&l, "a", 20, 50, 1, &now);
    assert_about(l.slowdown, 1);
    assert_about(base_ms(&l, "a"), 50);
}

/* The first twenty are averaged; then three tenths of the way at a time. */
static void the_first_results_are_averaged(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    calls(&l, "a", 10, 100, 1, &now);
    calls(&l, "a", 10, 200, 1, &now);
    assert_about(base_ms(&l, "a"), 150);
    calls(&l, "a", 10, 50, 1, &now);
    assert_about(base_ms(&l, "a"), 120);
}

/* With half of the limit in flight, or one alone, it is as good as unloaded: then the base rises.
 */
static void what_counts_as_unloaded(void **state)
{
    (void)state;
    static const struct {
        int limit, in_flight;
        double base_ms;
    } cases[] = {{16, 9, 50}, {16, 8, 53}, {16, 1, 53}, {1, 1, 53}, {1, 2, 50}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t now = 0;
        struct limit l = made(cases[i].limit, 0);
        for (int n = 0; n < 5; n++)
            window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, &now);
        assert_int_equal(limit_permits(&l, now), cases[i].limit);
        calls(&l, "a", 50, 60, cases[i].in_flight, &now);
        assert_about(base_ms(&l, "a"), cases[i].base_ms);
    }
}

/* One call of a class in a window is a measurement, and none is none. */
static void a_class_that_is_called_once(void **state)
{
    (void)state;
    struct limit l = made(0, 0);
    int64_t now = 0;
    calls_after(&l, "b", 500, "a", 40, 50, &now);
    assert_about(base_ms(&l, "b"), 500);
    calls(&l, "a", 40, 50, 1, &now);
    assert_about(base_ms(&l, "b"), 500);
    calls_after(&l, "b", 5000, "a", 40, 50, &now);
    assert_about(l.slowdown, (5000.0 + 2000) / (500 + 2000));
}

/* The slowness of those that were called is accepted, the others' bases stay. */
static void what_is_accepted_as_slow(void **state)
{
    (void)state;
    struct limit l = made(1, 0);
    int64_t now = 0;
    calls(&l, "other", 40, 70, 1, &now);
    calls_after(&l, "b", 500, "a", 40, 50, &now);
    for (int i = 0; i < 2; i++)
        calls_after(&l, "b", 4000, "a", 40, 400, &now);
    assert_about(base_ms(&l, "a"), 400);
    assert_about(base_ms(&l, "b"), 4000);
    assert_about(base_ms(&l, "other"), 70);
}

/* The last slowdown stands until there is an answer, be it a single one. */
static void timeouts_are_no_slowdown(void **state)
{
    (void)state;
    int64_t now = 0;
    struct limit l = grown(16, &now);
    window(&l, (struct kinds){.answered = 40, .rtt_ms = 80}, &now);
    assert_about(l.slowdown, 1.6);
    window(&l, (struct kinds){.timeouts = 40}, &now);
    assert_about(l.slowdown, 1.6);
    window(&l, (struct kinds){.timeouts = 39, .answered = 1, .rtt_ms = 200}, &now);
    assert_about(l.slowdown, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known_is_no_slowdown),
        cmocka_unit_test(the_first_results_are_averaged),
        cmocka_unit_test(what_counts_as_unloaded),
        cmocka_unit_test(a_class_that_is_called_once),
        cmocka_unit_test(what_is_accepted_as_slow),
        cmocka_unit_test(timeouts_are_no_slowdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
