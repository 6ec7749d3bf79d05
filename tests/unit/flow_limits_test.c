/* The permit chain: what limits, rates and breakers let run, and what is told about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_limits.h"

static void begins_with_a_few(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 10, 4);
    backlog(500);
    assert_int_equal(world_running_count(&w), 2);
    backlog(1000); /* slow ones, perhaps: nothing has come home */
    assert_int_equal(world_running_count(&w), 4);
    backlog(6000);
    assert_int_equal(world_running_count(&w), 40);
    world_end(&w);
}

/* A target that answers in 100 ms, whatever is asked of it. */
static void grows_while_it_answers(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 10, 4);
    int most = 0;
    for (int i = 0; i < 100; i++) {
        backlog(100);
        int running = world_running_count(&w);
        most = running > most ? running : most;
        assert_true(i > 8 || running <= 4);
        come_home(running, 100, 1);
    }
    assert_int_equal(most, 40);
    world_end(&w);
}

/* It may be weak yet: from the bottom up, as at the start. */
static void an_outage_ends_the_limit(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 10, 4);
    for (int i = 0; i < 40; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 1);
    }
    assert_true(limit_now() >= 10);
    flow_target_down(w.flow, KC, "no token");
    flow_target_up(w.flow, KC);
    assert_int_equal(limit_now(), 2);
    world_end(&w);
}

static void a_fixed_limit_is_kept(void **state)
{
    (void)state;
    begin_fixed(3, 10, 4);
    for (int i = 0; i < 50; i++) {
        backlog(100);
        int running = world_running_count(&w);
        if (i > 3)
            assert_int_equal(running, 3);
        come_home(running, 100, 1);
    }
    backlog(100);
    assert_string_equal(look().hold, "as much is in hand as the limit of a target lets run");
    assert_string_equal(look().hold_target, KC);
    flow_set_limit(w.flow, 0, 5);
    backlog(100);
    assert_int_equal(world_running_count(&w), 5);
    world_end(&w);
}

/* A message that spends half of its time elsewhere is half a request. */
static void messages_are_not_requests(void **state)
{
    (void)state;
    begin_fixed(4, 10, 4);
    for (int i = 0; i < 50; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 0.5);
    }
    backlog(100);
    assert_int_equal(world_running_count(&w), 8);
    world_end(&w);
}

static void a_target_that_hardly_anybody_calls(void **state)
{
    (void)state;
    begin_fixed(2, 2, 4);
    backlog(100);
    called(oldest(), MAIL, CALL_REFUSED, 10, 300000); /* blocked for five minutes */
    home(oldest(), 100);
    for (int i = 0; i < 200; i++) { /* nobody calls it any more */
        backlog(5000);
        while (world_running_count(&w) > 0)
            home(oldest(), 100);
    }
    backlog(1000);
    assert_int_equal(world_running_count(&w), 8);
    world_end(&w);
}

static void retry_after_stops_everything(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 10, 4);
    for (int i = 0; i < 20; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 1);
    }
    backlog(100);
    while (world_running_count(&w) > 1)
        come_home(1, 100, 1);
    world_answer_all(&w);
    int64_t asked = w.now_ms;
    called(oldest(), KC, CALL_REFUSED, 10, 5000);
    int started = (int)flow_counts(w.flow)->started;
    home(oldest(), 100);
    while (world_running_count(&w) > 0) /* it made room for others before that */
        come_home(1, 100, 1);
    started = (int)flow_counts(w.flow)->started;
    backlog(4900 - (w.now_ms - asked));
    assert_int_equal(flow_counts(w.flow)->started, started);
    assert_string_equal(look().hold, "a target has asked to wait (Retry-After)");
    assert_string_equal(look().hold_target, KC);
    assert_true(look().hold_ms >= 3000 && look().hold_ms <= 5000);
    backlog(1500);
    assert_true(flow_counts(w.flow)->started > started);
    world_end(&w);
}

static void messages_per_second(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.rate = 5;
    begin(&o, 10, 4);
    for (int i = 0; i < 200; i++) {
        backlog(100);
        while (world_running_count(&w) > 0)
            home(oldest(), 10);
    }
    assert_in_range(flow_counts(w.flow)->received, 90, 106);
    while (w.receive_count > 0)
        world_bring(&w, next_id++, 1);
    assert_non_null(look().hold);
    assert_string_equal(look().hold, "the rate");
    int before = (int)flow_counts(w.flow)->received;
    flow_set_rate(w.flow, 50);
    for (int i = 0; i < 100; i++) {
        backlog(100);
        while (world_running_count(&w) > 0)
            home(oldest(), 10);
    }
    assert_in_range(flow_counts(w.flow)->received - before, 450, 511);
    flow_set_rate(w.flow, 0);
    backlog(100);
    assert_true(world_running_count(&w) > 20);
    world_end(&w);
}

/* What long polls do not bring is given back: the next one may ask for it. */
static void empty_polls_cost_no_rate(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.rate = 1;
    begin(&o, 1, 4);
    for (int i = 0; i < 5; i++) {
        world_bring(&w, 0, 0);
        world_pass(&w, 1000);
        assert_int_equal(w.receive_count, 1);
        assert_int_equal(w.receives[0]->max, 1);
    }
    world_end(&w);
}

static void requests_per_second(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.limit.rate = 20;
    begin(&o, 10, 4);
    int64_t requests = 0;
    for (int i = 0; i < 400; i++) { /* two each: ten messages a second */
        backlog(100);
        while (world_running_count(&w) > 0) {
            requests += i >= 200 ? 2 : 0;
            called(oldest(), KC, CALL_ANSWERED, 20, -1);
            called(oldest(), KC, CALL_ANSWERED, 20, -1);
            home(oldest(), 50);
        }
    }
    assert_in_range(requests, 360, 440); /* of 400 in 20 s */
    flow_set_target_rate(w.flow, 0);
    backlog(100);
    assert_true(world_running_count(&w) >= 4);
    world_end(&w);
}

static void fail_calls(int count)
{
    while (count-- > 0) {
        backlog(200);
        called(oldest(), MAIL, CALL_FAILED, 10, -1);
        home(oldest(), 100);
    }
}

static void caught_failures_open_a_target(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    fail_calls(4);
    assert_true(board_may_call(&board, MAIL));
    fail_calls(1);
    assert_false(board_may_call(&board, MAIL));
    assert_true(board_may_call(&board, KC));
    int before = (int)flow_counts(w.flow)->received;
    backlog(1000);
    home(oldest(), 100);
    backlog(100);
    assert_true(flow_counts(w.flow)->received > before); /* receiving goes on */
    backlog(2000);
    assert_true(board_may_call(&board, MAIL)); /* one tries */
    assert_false(board_may_call(&board, MAIL));
    backlog(100);
    called(oldest(), MAIL, CALL_ANSWERED, 10, -1);
    home(oldest(), 100);
    assert_true(board_may_call(&board, MAIL));
    assert_true(board_may_call(&board, MAIL));
    world_end(&w);
}

static void a_coupled_target_holds_intake(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.couple = "http://other:1," MAIL;
    begin(&o, 1, 4);
    fail_calls(5);
    assert_false(board_may_call(&board, MAIL));
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    while (world_running_count(&w) > 0)
        home(oldest(), 10);
    world_pass(&w, 1000);
    assert_int_equal(w.receive_count, 0);
    assert_string_equal(look().hold, "a target is down");
    assert_string_equal(look().hold_target, MAIL);
    for (int i = 0; i < 6 && world_running_count(&w) == 0; i++)
        backlog(1000); /* one is taken to try it with */
    assert_int_equal(world_running_count(&w), 1);
    assert_string_equal(oldest()->probes, MAIL);
    oldest()->probe_answered = true;
    called(oldest(), MAIL, CALL_ANSWERED, 10, -1);
    home(oldest(), 100);
    assert_true(board_may_call(&board, MAIL));
    backlog(100);
    assert_null(look().hold_target);
    world_end(&w);
}

/* With nothing in hand one message is received to try it with, and that is no hold. */
static void one_is_received_to_try_it_with(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.couple = MAIL;
    begin(&o, 1, 1);
    for (int i = 0; i < 5; i++) {
        world_bring(&w, next_id++, 1);
        called(oldest(), MAIL, CALL_FAILED, 10, -1);
        home(oldest(), 100);
        world_pass(&w, 5);
        world_answer_all(&w);
    }
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    assert_string_equal(look().hold, "a target is down");
    for (int i = 0; i < 60 && w.receive_count == 0; i++)
        world_pass(&w, 100);
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 1);
    assert_null(look().hold);
    world_end(&w);
}

/* Down by an uncaught failure: calls of what still runs fail at once, and back when it is. */
static void what_is_down_is_published(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    backlog(3000);
    char id[40];
    snprintf(id, sizeof id, "%s", oldest()->id);
    world_target_failure(&w, id, KC);
    assert_false(board_may_call(&board, KC));
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    world_pass(&w, 2500);
    struct job *probe = world_running(&w, id);
    assert_non_null(probe);
    probe->probe_answered = true;
    home(probe, 100);
    assert_true(board_may_call(&board, KC));
    flow_target_down(w.flow, KC, "no token"); /* those that have one may still use it */
    assert_true(board_may_call(&board, KC));
    world_end(&w);
}

/* For so long, or until a receive begins, the target fails what tries it. Returns how often. */
static int fails_for(int64_t ms)
{
    int probes = 0;
    for (int64_t end = w.now_ms + ms; w.now_ms < end && w.receive_count == 0;) {
        world_pass(&w, 100);
        world_answer_all(&w);
        if (w.receive_count > 0 || world_running_count(&w) == 0)
            continue;
        world_target_failure(&w, oldest()->id, KC);
        probes++;
    }
    return probes;
}

/* Where the limit lets only one run, it is still to be found out whether it is the message that its
 * server cannot bear. */
static void one_more_than_the_limit_tries_it(void **state)
{
    (void)state;
    begin_fixed(1, 1, 4);
    for (int i = 0; i < 5; i++) {
        world_bring(&w, next_id++, 1);
        come_home(1, 100, 1);
        world_pass(&w, 5);
        world_answer_all(&w);
    }
    world_bring_one(&w, "bad", "h", 1);
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    world_target_failure(&w, "bad", KC);
    assert_int_equal(fails_for(60000), 5);
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 1);
    world_end(&w);
}

/* But not while another server has asked to wait: nothing is received then. */
static void nothing_tries_it_while_another_asks_to_wait(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    world_bring_one(&w, "bad", "h", 1);
    world_bring(&w, next_id++, 1);
    called(world_running(&w, "m1"), MAIL, CALL_REFUSED, 10, 30000);
    home(world_running(&w, "m1"), 100);
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    world_target_failure(&w, "bad", KC);
    assert_in_range(fails_for(29000), 10, 20);
    assert_int_equal(w.receive_count, 0);
    fails_for(10000);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

static void links_in_words(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 2);
    assert_null(look().hold);
    backlog(3000);
    assert_string_equal(look().hold, "as much is in hand as may be");
    flow_pause(w.flow, true);
    assert_string_equal(look().hold, "paused");
    world_pass(&w, 4000);
    assert_int_equal(look().hold_ms, 4000);
    flow_pause(w.flow, false);
    assert_string_equal(look().hold, "as much is in hand as may be");
    flow_target_down(w.flow, KC, "away");
    assert_string_equal(look().hold, "a target is down");
    flow_target_up(w.flow, KC);
    flow_drain(w.flow);
    assert_string_equal(look().hold, "stopping");
    world_end(&w);
}

/* The clock jumps by a minute while messages run: nothing is learnt from it. */
static void a_sleep(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 10, 4);
    for (int i = 0; i < 80; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 1);
    }
    backlog(100);
    int before = world_running_count(&w);
    assert_true(before >= 16);
    int limit = limit_now();
    w.now_ms += 60000;
    world_pass(&w, 10);
    assert_int_equal(limit_now(), limit / 2);
    come_home(before, 60100, 1);
    backlog(100);
    assert_in_range(world_running_count(&w), before / 2, before);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_with_a_few),
        cmocka_unit_test(grows_while_it_answers),
        cmocka_unit_test(an_outage_ends_the_limit),
        cmocka_unit_test(a_fixed_limit_is_kept),
        cmocka_unit_test(messages_are_not_requests),
        cmocka_unit_test(a_target_that_hardly_anybody_calls),
        cmocka_unit_test(retry_after_stops_everything),
        cmocka_unit_test(messages_per_second),
        cmocka_unit_test(empty_polls_cost_no_rate),
        cmocka_unit_test(requests_per_second),
        cmocka_unit_test(caught_failures_open_a_target),
        cmocka_unit_test(a_coupled_target_holds_intake),
        cmocka_unit_test(one_is_received_to_try_it_with),
        cmocka_unit_test(what_is_down_is_published),
        cmocka_unit_test(one_more_than_the_limit_tries_it),
        cmocka_unit_test(nothing_tries_it_while_another_asks_to_wait),
        cmocka_unit_test(links_in_words),
        cmocka_unit_test(a_sleep),
    };
    log_setup(LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
