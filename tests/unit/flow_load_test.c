/* What is learnt of messages and targets as runs come home: what it lets start, and what the scaler
 * is told of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_limits.h"
#include "flow_log.h"

static struct flow_load load(void)
{
    struct flow_load l;
    flow_look_at_load(w.flow, &l);
    return l;
}

static void up_and_down(const char *target)
{
    flow_target_down(w.flow, target, "no token");
    flow_target_up(w.flow, target);
}

/* ---- messages and requests ------------------------------------------------------------------- */

/* Durations below what the clock tells: a message is one request then. */
static void runs_that_took_no_time(void **state)
{
    (void)state;
    begin_fixed(3, 10, 4);
    for (int i = 0; i < 20; i++) {
        backlog(100);
        come_home(world_running_count(&w), 0, 1);
    }
    backlog(100);
    assert_int_equal(world_running_count(&w), 3);
    world_end(&w);
}

/* It was down once, and so is known. */
static void a_target_that_nobody_called_limits_nothing(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.limit.fixed = 1;
    o.limit.rate = 1;
    begin(&o, 2, 4);
    up_and_down(KC);
    backlog(8000);
    assert_int_equal(world_running_count(&w), 8);
    world_end(&w);
}

/* One at a time, since the limit is fixed so. */
static void all_call_it(int messages)
{
    for (int i = 0; i < messages; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 1);
    }
    backlog(100);
    assert_int_equal(world_running_count(&w), 1);
}

static void come_home_without_calls(int count)
{
    while (count-- > 0)
        home(oldest(), 100);
}

/* Messages of another kind have come since: it is forgotten. */
static void a_target_that_nobody_calls_any_more(void **state)
{
    (void)state;
    begin_fixed(1, 2, 4);
    all_call_it(100);
    for (int i = 0; i < 500; i++) {
        backlog(100);
        come_home_without_calls(1);
    }
    backlog(100);
    assert_int_equal(world_running_count(&w), 8);
    world_end(&w);
}

/* Time in which nothing comes home makes nothing older. */
static void a_long_run_forgets_nothing(void **state)
{
    (void)state;
    begin_fixed(1, 2, 4);
    all_call_it(100);
    backlog(150000); /* one runs all the while */
    come_home_without_calls(1);
    backlog(1100);
    assert_int_equal(world_running_count(&w), 1);
    world_end(&w);
}

/* As many as are known to call nobody: then it is no reason to begin with a few. */
static void a_few_runs_tell_whom_they_call(void **state)
{
    static const struct {
        int home, running;
    } cases[] = {{3, 2}, {4, 8}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_options o = options();
        begin(&o, 2, 4);
        for (int n = 0; n < cases[i].home; n++) {
            backlog(100);
            come_home_without_calls(1);
        }
        backlog(200);
        assert_int_equal(world_running_count(&w), cases[i].running);
        world_end(&w);
    }
}

/* Nothing else happens: what waits runs, and more is received. */
static void a_new_limit_applies_at_once(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.fifo = true; /* without prefetch: no more is in hand than may run */
    o.limit.fixed = 1;
    begin(&o, 1, 4);
    for (int i = 0; i < 10; i++) {
        backlog(100);
        come_home(world_running_count(&w), 100, 1);
    }
    backlog(100);
    assert_int_equal(world_running_count(&w), 1);
    assert_int_equal(w.receive_count, 0);
    world_pass(&w, 100);
    flow_set_limit(w.flow, 0, 3);
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 2);
    world_end(&w);
}

static void a_new_limit_lets_run_what_waits(void **state)
{
    (void)state;
    begin_fixed(1, 1, 4);
    all_call_it(10); /* ten a second: some are received ahead */
    flow_set_limit(w.flow, 0, 2);
    assert_int_equal(world_running_count(&w), 2);
    world_end(&w);
}

/* ---- requests per second --------------------------------------------------------------------- */

/* Two requests a message, one a second: each message pays for what those before it have asked. */
static void begin_at_one_a_second(void)
{
    struct flow_options o = options();
    o.limit.rate = 1;
    o.batch = 1;
    begin(&o, 1, 1);
    up_and_down(KC);   /* known before it is called: that costs nothing */
    up_and_down(MAIL); /* known, not called: nobody waits for it */
}

static void goes_home_after_two_calls(void)
{
    called(oldest(), KC, CALL_ANSWERED, 1, -1);
    called(oldest(), KC, CALL_ANSWERED, 1, -1);
    home(oldest(), 2);
}

static void the_second_message_pays(void **state)
{
    (void)state;
    begin_at_one_a_second();
    for (int i = 0; i < 2; i++) {
        backlog(50);
        assert_int_equal(world_running_count(&w), 1);
        goes_home_after_two_calls();
    }
    backlog(1500);
    assert_int_equal(flow_counts(w.flow)->started, 2);
    backlog(1000);
    assert_int_equal(flow_counts(w.flow)->started, 3);
    world_end(&w);
}

/* Nothing else happens, and the wait is as short as can be. */
static void a_millisecond_for_the_rate(void **state)
{
    (void)state;
    struct flow_options o = options();
    o.limit.rate = 1000;
    begin(&o, 1, 30);
    for (int i = 0; i < 4; i++) {
        backlog(100);
        come_home(1, 100, 1);
    }
    backlog(100);
    flow_set_limit(w.flow, 0, 100);
    int64_t started = flow_counts(w.flow)->started;
    while (world_running_count(&w) > 0)
        come_home(1, 100, 1);
    world_answer_all(&w);
    world_bring(&w, 1000, 10);
    world_bring(&w, 1010, 10);
    assert_in_range(flow_counts(w.flow)->started - started, 10, 19);
    world_pass(&w, 10);
    assert_int_equal(flow_counts(w.flow)->started - started, 20);
    world_end(&w);
}

static void a_new_target_rate_applies_at_once(void **state)
{
    static const double rates[] = {0, 1000};
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin_at_one_a_second();
        for (int n = 0; n < 2; n++) {
            backlog(50);
            goes_home_after_two_calls();
        }
        backlog(500);
        assert_int_equal(world_running_count(&w), 0);
        flow_set_target_rate(w.flow, rates[i]);
        if (rates[i] > 0) /* what was taken ahead of time is owed at the new rate */
            world_pass(&w, 5);
        assert_int_equal(world_running_count(&w), 1);
        world_end(&w);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static int timers(void)
{
    int n = 0;
    for (int i = 0; i < WORLD_TIMERS; i++)
        n += w.timers[i] != NULL;
    return n;
}

static void an_idle_host_sleeps(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    world_bring(&w, 0, 0);
    int quiet = timers();
    world_bring(&w, 1, 1);
    world_pass(&w, 2500);
    assert_true(timers() > quiet);
    come_home(1, 2500, 1);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_pass(&w, 30000); /* the lease's fires once more */
    assert_int_equal(timers(), quiet);
    world_end(&w);
}

/* One message that runs is work: its windows close in time. */
static void ticks_while_one_runs(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    world_bring(&w, 0, 0);
    int quiet = timers();
    world_bring(&w, 1, 1);
    for (int i = 0; i < 10; i++) {
        world_pass(&w, 1000);
        assert_int_equal(timers(), quiet + 2); /* the lease's, too */
    }
    world_end(&w);
}

/* Eight results in less than a second are a window once the second is over, though none follows. */
static void a_window_closes_without_results(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    for (int i = 0; i < 9; i++) {
        backlog(50);
        come_home(1, 50, 1);
    }
    backlog(50);
    assert_int_equal(limit_now(), 2);
    world_pass(&w, 2000);
    assert_int_equal(limit_now(), 4);
    world_end(&w);
}

static void asking_to_wait_is_told_once(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    world_bring(&w, 1, 3);
    log_catch();
    come_home(1, 100, 1); /* does not ask */
    for (int i = 0; i < 2; i++) {
        called(oldest(), KC, CALL_REFUSED, 10, 5000);
        home(oldest(), 100);
    }
    const char *text = log_caught();
    assert_int_equal(log_count(text, "a target asks to wait"), 1);
    assert_non_null(strstr(text, "\"target\":\"" KC "\""));
    assert_non_null(strstr(text, "\"wait_s\":5"));
    world_end(&w);
}

/* ---- what the scaler is told ----------------------------------------------------------------- */

static double ms_unloaded(void)
{
    return load().unloaded_s * 1000;
}

static void durations(void **state)
{
    (void)state;
    struct flow_options o = options();
    begin(&o, 1, 4);
    assert_true(ms_unloaded() == 0); /* not known */
    world_bring(&w, 1, 2);
    come_home(1, 100, 0.5);
    assert_true(ms_unloaded() > 99.9 && ms_unloaded() < 100.1);
    come_home(1, 300, 0.5);
    assert_true(ms_unloaded() > 199.9 && ms_unloaded() < 200.1);
    struct flow_load l = load();
    assert_int_equal(l.completed, 2);
    assert_int_equal(l.received, 2);
    assert_int_equal(l.in_hand, 2); /* their deletes linger */
    world_end(&w);
}

static void see_slowdown(void *arg, const struct target_view *t)
{
    *(double *)arg = t->slowdown;
}

/* Its target takes longer the more is asked of it: that part is not the message's own. */
static void queues_of_targets_are_taken_out(void **state)
{
    (void)state;
    struct flow_options o = options();
    double slowdown = 0, loaded_ms = 100;
    begin(&o, 10, 4);
    for (int i = 0; i < 200 && slowdown < 1.5; i++) {
        backlog(100);
        int running = world_running_count(&w);
        loaded_ms = running > 8 ? 100.0 * running / 8 : 100;
        come_home(running, (int64_t)loaded_ms, 1);
        flow_each_target(w.flow, see_slowdown, &slowdown);
    }
    assert_true(slowdown >= 1.5);
    assert_true(loaded_ms > 150);
    assert_true(ms_unloaded() > 50 && ms_unloaded() < 110);
    world_end(&w);
}

/* Faster than it was: a message takes as long as it takes. */
static void a_fast_target_adds_nothing(void **state)
{
    (void)state;
    struct flow_options o = options();
    double slowdown = 1;
    o.limit.max = 2;
    begin(&o, 10, 4);
    for (int i = 0; i < 200 && slowdown > 0.7; i++) {
        backlog(100);
        come_home(world_running_count(&w), i < 30 ? 100 : 40, 1);
        flow_each_target(w.flow, see_slowdown, &slowdown);
    }
    assert_true(slowdown <= 0.7);
    assert_true(ms_unloaded() > 39 && ms_unloaded() < 101);
    world_end(&w);
}

static void receives_that_are_full(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    begin(&o, 4, 10);
    assert_false(load().receives_full);
    world_bring(&w, 1, 10);
    assert_true(load().receives_full);
    world_bring(&w, 0, 0);
    assert_false(load().receives_full);
    world_end(&w);
}

/* What keeps it from more work than it has: then nothing is to be learnt for the scaler. The rate
 * does not. */
static void held_or_not(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.rate = 1;
    begin(&o, 1, 4);
    world_bring(&w, 1, 1);
    assert_string_equal(look().hold, "the rate");
    assert_false(load().held);
    flow_target_down(w.flow, KC, "no token");
    assert_true(load().held);
    flow_target_up(w.flow, KC);
    assert_false(load().held);
    flow_drain(w.flow);
    assert_true(load().held);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_took_no_time),
        cmocka_unit_test(a_target_that_nobody_called_limits_nothing),
        cmocka_unit_test(a_target_that_nobody_calls_any_more),
        cmocka_unit_test(a_long_run_forgets_nothing),
        cmocka_unit_test(a_few_runs_tell_whom_they_call),
        cmocka_unit_test(a_new_limit_applies_at_once),
        cmocka_unit_test(a_new_limit_lets_run_what_waits),
        cmocka_unit_test(the_second_message_pays),
        cmocka_unit_test(a_millisecond_for_the_rate),
        cmocka_unit_test(a_new_target_rate_applies_at_once),
        cmocka_unit_test(an_idle_host_sleeps),
        cmocka_unit_test(ticks_while_one_runs),
        cmocka_unit_test(a_window_closes_without_results),
        cmocka_unit_test(asking_to_wait_is_told_once),
        cmocka_unit_test(durations),
        cmocka_unit_test(queues_of_targets_are_taken_out),
        cmocka_unit_test(a_fast_target_adds_nothing),
        cmocka_unit_test(receives_that_are_full),
        cmocka_unit_test(held_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
