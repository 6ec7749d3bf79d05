#include "policy/polls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct polls_ask ask(int capacity, int in_hand, int reserved, int open, int64_t now_ms)
{
    return (struct polls_ask){.capacity = capacity,
                              .in_hand = in_hand,
                              .reserved = reserved,
                              .open = open,
                              .batch = 10,
                              .wait_s = 20,
                              .now_ms = now_ms};
}

static void one_long_poll_when_idle(void **state)
{
    (void)state;
    struct polls p;
    polls_init(&p, 8);
    struct polls_ask a = ask(40, 0, 0, 0, 0);
    struct polls_grant g = polls_next(&p, &a);
    assert_int_equal(g.messages, 10);
    assert_int_equal(g.wait_s, 20);
    a = ask(40, 0, 10, 1, 0);
    assert_int_equal(polls_next(&p, &a).messages, 0);
}

static void full_answers_open_more_and_empty_ones_close(void **state)
{
    (void)state;
    struct polls p;
    polls_init(&p, 3);
    for (int i = 0; i < 5; i++)
        polls_result(&p, 10, 10);
    assert_int_equal(p.wanted, 3);
    struct polls_ask a = ask(40, 0, 10, 1, 0);
    struct polls_grant g = polls_next(&p, &a);
    assert_int_equal(g.messages, 10);
    assert_int_equal(g.wait_s, 1); /* only one poll waits long */
    polls_result(&p, 10, 4);
    assert_int_equal(p.wanted, 2);
    polls_result(&p, 10, 0);
    assert_int_equal(p.wanted, 1);
    for (int i = 0; i < 5; i++)
        polls_result(&p, 10, 10);
    polls_result(&p, 10, 1);
    assert_int_equal(p.wanted, 2);
    polls_result(&p, 10, 10);
    polls_result(&p, 10, 0); /* from three, too */
    assert_int_equal(p.wanted, 1);
}

static void never_more_than_free(void **state)
{
    (void)state;
    static const struct {
        int capacity, in_hand, reserved, expected;
    } cases[] = {
        {40, 40, 0, 0},  {40, 37, 0, 3}, {40, 39, 0, 1}, {40, 30, 10, 0},
        {40, 25, 10, 5}, {4, 0, 0, 4},   {0, 0, 0, 0},   {10, 50, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct polls p;
        polls_init(&p, 8);
        struct polls_ask a = ask(cases[i].capacity, cases[i].in_hand, cases[i].reserved, 0, 1000);
        assert_int_equal(polls_next(&p, &a).messages, cases[i].expected);
    }
}

/* A slot that is free must not wait for ten to be: but small polls are spaced. */
static void small_polls_are_spaced(void **state)
{
    (void)state;
    struct polls p;
    polls_init(&p, 8);
    struct polls_ask a = ask(40, 38, 0, 0, 1000);
    assert_int_equal(polls_next(&p, &a).messages, 2);
    a.now_ms = 1010;
    struct polls_grant g = polls_next(&p, &a);
    assert_int_equal(g.messages, 0);
    assert_int_equal(g.again_ms, 15);
    a.now_ms = 1025;
    assert_int_equal(polls_next(&p, &a).messages, 2);
    a = ask(4, 0, 0, 0, 1026); /* nothing in hand: at once, however small */
    assert_int_equal(polls_next(&p, &a).messages, 4);
    a = ask(4, 1, 0, 0, 1027);
    assert_int_equal(polls_next(&p, &a).messages, 0);
    a = ask(40, 40, 0, 0, 2000);
    assert_int_equal(polls_next(&p, &a).messages, 0);
    a = ask(40, 38, 0, 0, 2001); /* that was no poll */
    assert_int_equal(polls_next(&p, &a).messages, 2);
}

static void full_polls_are_not(void **state)
{
    (void)state;
    struct polls p;
    polls_init(&p, 8);
    polls_result(&p, 10, 10);
    struct polls_ask a = ask(40, 10, 0, 0, 1000);
    assert_int_equal(polls_next(&p, &a).messages, 10);
    a = ask(40, 10, 10, 1, 1001);
    assert_int_equal(polls_next(&p, &a).messages, 10);
}

/* queue.wait = 0, or a server that does not wait: no hot loop. */
static void empty_polls_are_spaced(void **state)
{
    (void)state;
    struct polls p;
    polls_init(&p, 8);
    int64_t now = 1000;
    int polls = 0;
    while (now < 11000) {
        struct polls_ask a = ask(40, 0, 0, 0, now);
        struct polls_grant g = polls_next(&p, &a);
        if (g.messages == 0) {
            assert_in_range(g.again_ms, 1, 1000);
            now += g.again_ms;
            continue;
        }
        polls++;
        polls_result(&p, g.messages, 0);
    }
    assert_int_equal(polls, 11); /* two at once, then one a second */
    polls_result(&p, 10, 1);     /* something came: twice at once again */
    struct polls_ask a = ask(40, 0, 0, 0, now);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(polls_next(&p, &a).messages, i < 2 ? 10 : 0);
        polls_result(&p, 10, 0);
    }
}

static void prefetch_is_a_second_of_work(void **state)
{
    (void)state;
    static const struct {
        double completed_per_s;
        int slots, batch, prefetch;
    } cases[] = {
        {0, 40, 10, 0},  {0.6, 40, 10, 0}, {12.5, 40, 10, 12}, {5000, 40, 10, 40},
        {-1, 40, 10, 0}, {5, 2, 10, 5},    {300, 2, 10, 10}, /* a receive, not two messages */
        {300, 2, 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(polls_prefetch(cases[i].completed_per_s, cases[i].slots, cases[i].batch),
                         cases[i].prefetch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_long_poll_when_idle),
        cmocka_unit_test(full_answers_open_more_and_empty_ones_close),
        cmocka_unit_test(never_more_than_free),
        cmocka_unit_test(small_polls_are_spaced),
        cmocka_unit_test(full_polls_are_not),
        cmocka_unit_test(empty_polls_are_spaced),
        cmocka_unit_test(prefetch_is_a_second_of_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
