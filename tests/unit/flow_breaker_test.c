/* Targets whose errors handlers catch: when calls to them are pointless, who tries, and what stays
 * of an outage when it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "board.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

#define MAIL "http://mail:25"

static struct world w;
static struct board board;
static int next_id;

static void begin_at(int failures, const char *couple)
{
    struct flow_options o = world_options();
    memset(&board, 0, sizeof board);
    o.breaker_failures = failures;
    o.breaker_window_ms = 10000;
    o.board = &board;
    o.couple = couple;
    next_id = 1;
    world_begin(&w, &o, 4, 10);
}

static void begin(const char *couple)
{
    begin_at(3, couple);
}

/* A message comes, calls the target, which takes 100 ms, and is acked. */
static void calls(const char *target, enum call_end end)
{
    char id[20];
    snprintf(id, sizeof id, "m%d", next_id);
    world_bring(&w, next_id++, 1);
    world_pass(&w, 100);
    struct job *job = world_running(&w, id);
    struct target_call *c = job_add_call(job);
    snprintf(c->target, sizeof c->target, "%s", target);
    snprintf(c->name, sizeof c->name, "GET /");
    c->end = end;
    c->rtt_us = 100000;
    c->started_ms = w.now_ms - 100;
    c->retry_after_ms = -1;
    job->duration_us = 100000;
    world_verdict(&w, id, OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
}

static void call_times(int n, const char *target, enum call_end end)
{
    while (n-- > 0)
        calls(target, end);
}

/* Those in the list hold intake; a name that is like one of them is another server. */
static void coupled_targets(void **state)
{
    static const struct {
        const char *couple, *target;
        bool held;
    } cases[] = {
        {"http://a:1,http://b:2", "http://a:1", true},
        {"http://a:1,http://b:2", "http://b:2", true},
        {"http://a:1,http://b:2", "http://c:3", false},
        {"http://a:1,http://b:2", "http://a:11", false},
        {"http://a:11", "http://a:1", false},
        {"http://a:1", "http://a:1", true},
        {NULL, "http://a:1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_view v;
        begin(cases[i].couple);
        call_times(3, cases[i].target, CALL_FAILED);
        assert_false(board_may_call(&board, cases[i].target));
        flow_look(w.flow, &v);
        assert_int_equal(v.hold_target != NULL, cases[i].held);
        world_end(&w);
    }
}

/* breaker.failures: 0 is never. */
static void as_many_failures_as_are_set(void **state)
{
    static const int settings[] = {0, 1, 2, 5};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        begin_at(settings[i], NULL);
        for (int failed = 1; failed <= 6; failed++) {
            calls(MAIL, CALL_FAILED);
            bool open = settings[i] > 0 && failed >= settings[i];
            assert_int_equal(board_may_call(&board, MAIL), !open);
        }
        world_end(&w);
    }
}

/* One call after another, until one is answered. */
static void one_tries_now_and_then(void **state)
{
    (void)state;
    begin(NULL);
    calls(MAIL, CALL_ANSWERED);
    world_pass(&w, 1000);
    int quiet = world_timers(&w);
    call_times(3, MAIL, CALL_FAILED);
    for (int i = 0; i < 3; i++) {
        assert_false(board_may_call(&board, MAIL));
        world_pass(&w, 2200); /* probe_ms and its jitter */
        assert_true(board_may_call(&board, MAIL));
    }
    log_catch();
    calls(MAIL, CALL_ANSWERED);
    assert_int_equal(log_count(log_caught(), "answers again"), 1);
    for (int i = 0; i < 3; i++)
        assert_true(board_may_call(&board, MAIL));
    world_pass(&w, 1000);
    assert_int_equal(world_timers(&w), quiet); /* nothing wakes the host for it */
    world_end(&w);
}

static void opening_is_told(void **state)
{
    (void)state;
    begin(NULL);
    call_times(2, MAIL, CALL_FAILED);
    log_catch();
    calls(MAIL, CALL_FAILED);
    const char *text = log_caught();
    assert_int_equal(log_count(text, "calls to it fail at once"), 1);
    assert_non_null(strstr(text, "\"target\":\"" MAIL "\""));
    world_end(&w);
}

/* What failed before an outage is not counted after it. */
static void an_outage_ends_the_count(void **state)
{
    (void)state;
    begin(NULL);
    call_times(2, MAIL, CALL_FAILED);
    flow_target_down(w.flow, MAIL, "no token");
    world_pass(&w, 1000);
    flow_target_up(w.flow, MAIL);
    call_times(2, MAIL, CALL_FAILED);
    assert_true(board_may_call(&board, MAIL));
    calls(MAIL, CALL_FAILED);
    assert_false(board_may_call(&board, MAIL));
    world_end(&w);
}

static void count(void *arg, const struct target_view *view)
{
    (void)view;
    ++*(int *)arg;
}

/* Handlers may take addresses from events: the host watches the first of them. */
static void only_so_many_are_watched(void **state)
{
    (void)state;
    begin(NULL);
    for (int i = 1; i <= 80; i++) {
        char target[40];
        int watched = 0;
        snprintf(target, sizeof target, "http://from-an-event-%d:80", i);
        calls(target, CALL_ANSWERED);
        flow_each_target(w.flow, count, &watched);
        assert_int_equal(watched, i < 64 ? i : 64);
    }
    world_end(&w);
}

/* Somebody else tries it, a token's fetch, say: no message does, and calls are none of its
 * concern. */
static void down_by_itself_and_then_from_outside(void **state)
{
    (void)state;
    begin(NULL);
    world_bring(&w, 1, 1);
    world_target_failure(&w, "m1", MAIL);
    assert_false(board_may_call(&board, MAIL));
    flow_target_down(w.flow, MAIL, "no token");
    assert_true(board_may_call(&board, MAIL));
    world_pass(&w, 10000);
    assert_int_equal(world_running_count(&w), 0);
    flow_target_up(w.flow, MAIL);
    assert_non_null(world_running(&w, "m1"));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coupled_targets),
        cmocka_unit_test(as_many_failures_as_are_set),
        cmocka_unit_test(one_tries_now_and_then),
        cmocka_unit_test(opening_is_told),
        cmocka_unit_test(an_outage_ends_the_count),
        cmocka_unit_test(only_so_many_are_watched),
        cmocka_unit_test(down_by_itself_and_then_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
