#include "policy/rate.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct rate made(double per_s)
{
    struct rate r = {0};
    rate_set(&r, per_s, 0);
    return r;
}

static void none_is_no_limit(void **state)
{
    (void)state;
    struct rate r = made(0);
    assert_int_equal(rate_grant(&r, 5), RATE_UNLIMITED);
    rate_take(&r, 1000000, 5);
    rate_refund(&r, 5);
    assert_int_equal(rate_grant(&r, 5), RATE_UNLIMITED);
    assert_int_equal(rate_wait_ms(&r, 5), 0);
}

static void bursts(void **state)
{
    (void)state;
    static const struct {
        double per_s;
        int burst;
        int64_t wait_ms; /* after it */
    } cases[] = {{0.1, 1, 10000}, {1, 1, 1000}, {4, 4, 250},  {10, 10, 100},
                 {50, 10, 20},    {3, 3, 334},  {1e6, 10, 1}, {0.001, 1, 1000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rate r = made(cases[i].per_s);
        assert_int_equal(rate_grant(&r, 1000), cases[i].burst);
        rate_take(&r, cases[i].burst - 1, 1000);
        assert_int_equal(rate_wait_ms(&r, 1000), 0);
        rate_refund(&r, cases[i].burst - 1);
        rate_take(&r, cases[i].burst, 1000);
        assert_int_equal(rate_grant(&r, 1000), 0);
        assert_int_equal(rate_wait_ms(&r, 1000), cases[i].wait_ms);
        assert_true(rate_grant(&r, 1000 + cases[i].wait_ms) >= 1);
    }
}

/* Any ten seconds, whatever is asked for and however late: at most 500 and a burst. */
static void fifty_a_second(void **state)
{
    (void)state;
    enum { SECONDS = 120, MS = SECONDS * 1000 };
    static int taken[MS];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct rate r = made(50);
        int64_t sum = 0, all = 0;
        for (int now = 0; now < MS; now++) {
            taken[now] = 0;
            if (rng_next(&rng) % (now / 1000 % 20 == 7 ? 3000 : 10) == 0) {
                int wish = 1 + (int)(rng_next(&rng) % 10), may = rate_grant(&r, now);
                taken[now] = wish < may ? wish : may;
                rate_take(&r, taken[now], now);
                int back = taken[now] > 0 ? (int)(rng_next(&rng) % (uint64_t)(taken[now] + 1)) : 0;
                rate_refund(&r, back);
                taken[now] -= back;
            }
            sum += taken[now] - (now >= 10000 ? taken[now - 10000] : 0);
            all += taken[now];
            assert_true(sum <= 500 + 10);
        }
        assert_true(all >= SECONDS * 50 * 0.85);
    }
}

static void a_refund_is_no_credit(void **state)
{
    (void)state;
    struct rate r = made(10);
    rate_take(&r, 3, 0);
    rate_refund(&r, 100);
    assert_int_equal(rate_grant(&r, 0), 10);
    r = made(1);
    rate_take(&r, 1, 0);
    rate_refund(&r, 1);
    assert_int_equal(rate_grant(&r, 0), 1);
}

/* The time before earns no more than a burst, for those who take without asking, too. */
static void taken_unasked(void **state)
{
    (void)state;
    struct rate r = made(10);
    rate_take(&r, 3, 100000);
    assert_int_equal(rate_grant(&r, 100000), 7);
}

static void changing_it(void **state)
{
    (void)state;
    struct rate r = made(10);
    rate_take(&r, 10, 0);
    rate_set(&r, 1, 0); /* ten taken ahead, in intervals of the new rate */
    assert_int_equal(rate_grant(&r, 0), 0);
    assert_int_equal(rate_wait_ms(&r, 0), 10000);
    rate_set(&r, 100, 100000); /* the time that has passed earned one, not ten thousand */
    assert_int_equal(rate_grant(&r, 100000), 10);
    rate_take(&r, 10, 100000);
    rate_set(&r, 0, 100000);
    assert_int_equal(rate_grant(&r, 100000), RATE_UNLIMITED);
    rate_set(&r, 5, 100000);
    assert_int_equal(rate_grant(&r, 100000), 5);
    r = made(0.5);
    rate_take(&r, 1, 100000);
    rate_set(&r, 1, 100000);
    assert_int_equal(rate_grant(&r, 100000), 0);
    rate_set(&r, -5, 100000);
    assert_int_equal(rate_grant(&r, 100000), RATE_UNLIMITED);
}

static void a_debt_is_paid(void **state)
{
    (void)state;
    struct rate r = made(10);
    int64_t now = 0;
    for (int i = 0; i < 100; i++) { /* three each, whenever there is one */
        now += rate_wait_ms(&r, now);
        rate_take(&r, 3, now);
    }
    assert_in_range(now, 28000, 30000);
}

static void clocks_that_jump(void **state)
{
    (void)state;
    struct rate r = made(10);
    rate_take(&r, 10, 3600000);
    assert_int_equal(rate_grant(&r, 0), 0);
    assert_int_equal(rate_grant(&r, 11000), 10); /* an hour back: not locked out for an hour */
    rate_take(&r, 10, 11000);
    assert_int_equal(rate_grant(&r, 71000), 10); /* a minute's sleep: no 600 at once */
    rate_take(&r, 10, 3600000);
    rate_set(&r, 100, 0); /* 110 ahead, at most, in intervals of the new rate */
    assert_int_equal(rate_grant(&r, 1100), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_no_limit), cmocka_unit_test(bursts),
        cmocka_unit_test(fifty_a_second),   cmocka_unit_test(a_refund_is_no_credit),
        cmocka_unit_test(taken_unasked),    cmocka_unit_test(changing_it),
        cmocka_unit_test(a_debt_is_paid),   cmocka_unit_test(clocks_that_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
