/* How the flow looks from outside: what holds it, since when, who is busy, which servers it knows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

#define KC "http://kc:80"

static struct world w;

static void begin(int workers, int slots)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, workers, slots);
}

static struct flow_view look(void)
{
    struct flow_view v;
    flow_look(w.flow, &v);
    return v;
}

/* `since_ms` of the world's clock; 0: nothing holds it. */
static void assert_hold(const char *words, int64_t since_ms, bool at_work)
{
    struct flow_view v = look();
    assert_int_equal(v.at_work, at_work);
    if (!words) {
        assert_null(v.hold);
        assert_int_equal(v.hold_ms, -1);
        return;
    }
    assert_non_null(v.hold);
    assert_string_equal(v.hold, words);
    assert_int_equal(v.hold_ms, w.now_ms - since_ms);
}

static void until_a_receive(void)
{
    while (w.receive_count == 0)
        world_pass(&w, 10);
}

/* A queue that fails holds it from the first failure on, also while a receive tries again. */
static void the_queue_fails(void **state)
{
    static const char words[] = "the queue cannot be received from";
    (void)state;
    begin(1, 4);
    world_bring(&w, 0, 0);
    assert_hold(NULL, 0, true);
    world_pass(&w, 1000);
    int64_t failing_ms = w.now_ms;
    for (int i = 0; i < 3; i++) {
        world_refuse(&w, QUEUE_UNREACHABLE);
        assert_int_equal(look().failure, QUEUE_UNREACHABLE);
        world_pass(&w, 50);
        assert_hold(words, failing_ms, false); /* it waits */
        until_a_receive();
        assert_hold(words, failing_ms, false); /* it tries again */
    }
    int64_t paused_ms = w.now_ms;
    flow_pause(w.flow, true);
    world_pass(&w, 2000);
    assert_hold("paused", paused_ms, false);
    flow_pause(w.flow, false);
    world_bring(&w, 0, 0);
    assert_hold(NULL, 0, true);
    world_end(&w);
}

/* As much work as may be is no trouble. */
static void full_is_no_trouble(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    assert_hold(NULL, 0, true); /* one more may come; small receives are spaced */
    world_pass(&w, 25);
    world_bring(&w, 2, 1);
    int64_t full_ms = w.now_ms;
    world_pass(&w, 3000);
    assert_hold("as much is in hand as may be", full_ms, true);
    flow_drain(w.flow);
    assert_string_equal(look().hold, "stopping");
    assert_false(look().at_work);
    world_end(&w);
}

/* The limit lets as many run as there are slots: it is not what holds. */
static void slots_before_limits(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.limit.on = true; /* two may run at the start */
    world_begin(&w, &o, 1, 2);
    world_bring(&w, 1, 2);
    assert_string_equal(look().hold, "as much is in hand as may be");
    world_end(&w);
    world_begin(&w, &o, 1, 3);
    world_bring(&w, 1, 2);
    assert_string_equal(look().hold, "as much is in hand as the limit of a target lets run");
    world_end(&w);
}

/* The open receive asks for all that the rate allows; after it the rate holds. */
static void the_rate(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.rate = 1;
    world_begin(&w, &o, 1, 4);
    assert_hold(NULL, 0, true);
    world_bring(&w, 1, 1);
    assert_hold("the rate", w.now_ms, true);
    world_end(&w);
}

static void signs_of_life(void **state)
{
    (void)state;
    begin(1, 4);
    assert_int_equal(look().alive_ms, w.now_ms);
    assert_int_equal(look().last_answer_wall, 0);
    world_pass(&w, 5000);
    assert_int_equal(look().alive_ms, w.now_ms - 5000);
    world_bring(&w, 0, 0);
    assert_int_equal(look().alive_ms, w.now_ms); /* one ended */
    int64_t answered_ms = w.now_ms;
    world_pass(&w, 5000);
    flow_pause(w.flow, true);
    world_refuse(&w, QUEUE_UNREACHABLE);
    assert_int_equal(look().alive_ms, w.now_ms); /* however it did */
    assert_int_equal(look().last_answer_wall, answered_ms);
    world_pass(&w, 60000);
    assert_int_equal(look().alive_ms, w.now_ms - 60000);
    flow_pause(w.flow, false);
    assert_int_equal(look().polls_open, 1);
    assert_int_equal(look().alive_ms, w.now_ms); /* one was begun, with none open */
    world_end(&w);
}

/* One more receive proves nothing: the one that was open may hang. */
static void a_second_receive_is_no_sign_of_life(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.batch = 2;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 2);
    world_pass(&w, 3000);
    assert_int_equal(w.receive_count, 1);
    int64_t began_ms = w.now_ms - 3000;
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_pass(&w, 100);
    assert_int_equal(look().polls_open, 2);
    assert_int_equal(look().alive_ms, began_ms);
    world_end(&w);
}

static void alive_before_the_first_receive(void **state)
{
    (void)state;
    static const struct flow_events nobody;
    struct flow_options o = world_options();
    struct flow_view v;
    begin(1, 4);
    struct flow *held = flow_new(&o, &w.seam, &nobody);
    flow_target_down(held, KC, "no token");
    flow_start(held);
    flow_look(held, &v);
    assert_int_equal(v.polls_open, 0);
    assert_int_equal(v.alive_ms, w.now_ms);
    flow_free(held);
    world_end(&w);
}

static void workers_that_have_something(void **state)
{
    static const int busy[] = {0, 1, 1, 2, 2, 3, 3};
    (void)state;
    begin(3, 2);
    for (int i = 0; i <= 6; i++) {
        assert_int_equal(look().workers_busy, busy[i]);
        assert_int_equal(look().running, i);
        if (i < 6) {
            world_pass(&w, 25);
            world_bring(&w, i + 1, 1);
        }
    }
    assert_int_equal(look().workers, 3);
    assert_int_equal(look().slots, 6);
    world_end(&w);
}

/* ---- servers --------------------------------------------------------------------------------- */

struct seen {
    int count;
    struct target_view last;
};

static void see(void *arg, const struct target_view *t)
{
    struct seen *s = arg;
    s->count++;
    s->last = *t;
}

static struct target_view only_target(void)
{
    struct seen s = {0};
    flow_each_target(w.flow, see, &s);
    assert_int_equal(s.count, 1);
    return s.last;
}

static void a_server_that_is_down(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 2);
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    world_pass(&w, 1500);
    struct target_view t = only_target();
    assert_string_equal(t.name, KC);
    assert_int_equal(t.breaker, BREAKER_OPEN);
    assert_int_equal(t.parked, 2);
    assert_int_equal(t.down_ms, 1500);
    world_pass(&w, 1000);
    t = only_target();
    assert_int_equal(t.breaker, BREAKER_TRYING);
    assert_int_equal(t.parked, 1);
    assert_int_equal(t.down_ms, 2500);
    flow_target_up(w.flow, KC);
    t = only_target();
    assert_int_equal(t.breaker, BREAKER_CLOSED);
    assert_int_equal(t.parked, 0);
    assert_int_equal(t.down_ms, 0);
    world_end(&w);
}

/* Wherever its name lies in the table. */
static void each_server_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char name[40];
        begin(1, 1);
        snprintf(name, sizeof name, "http://s%d:80", i);
        flow_target_down(w.flow, name, "no token");
        world_bring(&w, 0, 0);
        assert_string_equal(only_target().name, name);
        assert_string_equal(look().hold_target, name);
        assert_int_equal(w.receive_count, 0);
        world_end(&w);
    }
}

/* Of several that are down, the one that has been for longest is named. */
static void the_longest_down_is_named(void **state)
{
    (void)state;
    begin(1, 1);
    for (int i = 1; i <= 5; i++) {
        char name[20];
        snprintf(name, sizeof name, "http://s%d:80", 6 - i);
        flow_target_down(w.flow, name, "no token");
        assert_string_equal(look().hold_target, "http://s5:80");
        world_pass(&w, 1);
    }
    flow_target_up(w.flow, "http://s5:80");
    assert_string_equal(look().hold_target, "http://s4:80");
    world_end(&w);
}

static void a_report(void **state)
{
    static const char *const parts[] = {
        "\"in_hand\":3",         "\"running\":2",        "\"parked\":1",
        "\"targets_down\":1",    "\"receiving\":\"no\"", "\"hold\":\"a target is down\"",
        "\"target\":\"" KC "\"", "\"hold_s\":1.5",       "\"received\":3",
    };
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 3);
    world_target_failure(&w, "m1", KC);
    world_pass(&w, 1500);
    log_catch();
    flow_report(w.flow);
    const char *text = log_caught();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i]))
            fail_msg("no %s in %s", parts[i], text);
    world_end(&w);
}

static void a_report_of_nothing(void **state)
{
    (void)state;
    begin(1, 4);
    log_catch();
    flow_report(w.flow);
    const char *text = log_caught();
    assert_non_null(strstr(text, "\"receiving\":\"yes\""));
    assert_null(strstr(text, "hold"));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_fails),
        cmocka_unit_test(full_is_no_trouble),
        cmocka_unit_test(slots_before_limits),
        cmocka_unit_test(the_rate),
        cmocka_unit_test(signs_of_life),
        cmocka_unit_test(a_second_receive_is_no_sign_of_life),
        cmocka_unit_test(alive_before_the_first_receive),
        cmocka_unit_test(workers_that_have_something),
        cmocka_unit_test(a_server_that_is_down),
        cmocka_unit_test(each_server_is_told),
        cmocka_unit_test(the_longest_down_is_named),
        cmocka_unit_test(a_report),
        cmocka_unit_test(a_report_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
