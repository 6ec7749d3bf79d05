#include "policy/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void backoff_bounds(void **state)
{
    (void)state;
    static const struct {
        double base, cap;
        int attempt;
        uint64_t random;
        int expected;
    } cases[] = {
        {5, 900, 1, 0, 1},
        {5, 900, 1, UINT64_MAX, 5},
        {5, 900, 2, UINT64_MAX, 10},
        {5, 900, 3, UINT64_MAX, 20},
        {5, 900, 3, UINT64_MAX / 2, 10},
        {5, 900, 9, UINT64_MAX, 900},
        {5, 900, 1000000, UINT64_MAX, 900},
        {5, 900, 0, UINT64_MAX, 5},
        {5, 900, -3, UINT64_MAX, 5},
        {0.2, 900, 1, UINT64_MAX, 1},
        {5, 1e9, 64, UINT64_MAX, VISIBILITY_MAX_S},
        {0, 0, 5, UINT64_MAX, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            retry_backoff_s(cases[i].base, cases[i].cap, cases[i].attempt, cases[i].random),
            cases[i].expected);
}

/* Full jitter spreads over the whole range, not over its upper half. */
static void backoff_spreads(void **state)
{
    (void)state;
    int seen[21] = {0};
    for (uint64_t i = 0; i < 2000; i++)
        seen[retry_backoff_s(5, 900, 3, i * (UINT64_MAX / 2000))]++;
    assert_int_equal(seen[0], 0);
    for (int s = 1; s <= 20; s++)
        assert_in_range(seen[s], 80, 120);
}

static void a_wish_is_the_least(void **state)
{
    (void)state;
    static const struct {
        int64_t least_s;
        int backoff_s;
        double cap_s;
        int64_t expected;
    } cases[] = {
        {1, 5, 900, 6},       {30, 1, 900, 31},     {0, 7, 900, 7},     {890, 100, 900, 900},
        {900, 900, 900, 900}, {2000, 5, 900, 2000}, {1, 640, 900, 641},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(retry_least_s(cases[i].least_s, cases[i].backoff_s, cases[i].cap_s),
                         cases[i].expected);
}

static void between_calls_of_our_own(void **state)
{
    (void)state;
    static const struct {
        int tries;
        int64_t wish_ms;
        uint64_t random;
        int64_t expected;
    } cases[] = {
        {0, -1, 0, 100},      {0, -1, 100, 200},      {0, -1, 101, 100},  {1, -1, 200, 400},
        {4, -1, 0, 1600},     {4, -1, 1600, 3200},    {5, -1, 0, 2500},   {5, -1, 2500, 5000},
        {10, -1, 2500, 5000}, {1000000, -1, 0, 2500}, {0, 100, 0, 100},   {0, 101, 0, 101},
        {0, 150, 100, 200},   {0, 4999, 0, 4999},     {0, 5001, 0, 5000}, {0, INT64_MAX, 0, 5000},
        {9, 3000, 0, 3000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            retry_call_ms(200, 5000, cases[i].tries, cases[i].wish_ms, cases[i].random),
            cases[i].expected);
    assert_int_equal(retry_call_ms(1, 5000, 10, -1, 512), 1024); /* doubled ten times at most */
    assert_int_equal(retry_call_ms(1, 5000, 11, -1, 512), 1024);
}

static void clamp_to_twelve_hours(void **state)
{
    (void)state;
    static const struct {
        int64_t wanted_s, held_ms;
        int expected;
    } cases[] = {
        {30, 0, 30},
        {50000, 0, 43140},
        {900, 43000 * 1000LL, 140},
        {900, 43200 * 1000LL, 0},
        {900, 99999 * 1000LL, 0},
        {-5, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(retry_clamp_s(cases[i].wanted_s, cases[i].held_ms), cases[i].expected);
}

static void the_longest_of_all_backoffs(void **state)
{
    (void)state;
    static const struct {
        double base, cap;
        int receives;
        int64_t longest_s;
    } cases[] = {
        {5, 900, 0, 0},
        {5, 900, 1, 0}, /* the first receive waits for nothing */
        {5, 900, 2, 5},
        {5, 900, 4, 5 + 10 + 20},
        {5, 900, 10, 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640 + 900},
        {5, 900, 1000, 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640 + 991 * 900},
        {5, 100000, 40, (5 << 14) - 5 + 25 * INT64_C(43200)}, /* as long as SQS may hide it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(retry_longest_s(cases[i].base, cases[i].cap, cases[i].receives),
                         cases[i].longest_s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_bounds),
        cmocka_unit_test(backoff_spreads),
        cmocka_unit_test(the_longest_of_all_backoffs),
        cmocka_unit_test(a_wish_is_the_least),
        cmocka_unit_test(between_calls_of_our_own),
        cmocka_unit_test(clamp_to_twelve_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
