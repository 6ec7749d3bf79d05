/* Failures in the log: for people in full once, and then as counts; for machines every message has
 * its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

enum { KINDS_TOLD_APART = 32 };

static struct world w;
static int next_id;

static void begin(enum log_format format)
{
    struct flow_options o = world_options();
    log_setup(format, LOG_INFO);
    next_id = 1;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 0, 0);
}

/* The next message comes and fails; what the log says of it, until the queue has confirmed it. */
static const char *fails(const char *kind, const char *at)
{
    char id[20], handle[20];
    snprintf(id, sizeof id, "m%d", next_id);
    snprintf(handle, sizeof handle, "h%d", next_id++);
    log_catch();
    world_bring_one(&w, id, handle, 1);
    struct job *job = world_running(&w, id);
    snprintf(job->kind, sizeof job->kind, "%s", kind);
    snprintf(job->at, sizeof job->at, "%s", at);
    job->reason = strdup("no such group");
    job->detail = strdup("stack traceback");
    world_verdict(&w, id, OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
    return log_caught();
}

static const char *passes(int64_t ms)
{
    log_catch();
    world_pass(&w, ms);
    return log_caught();
}

static void told_once_then_counted(void **state)
{
    (void)state;
    begin(LOG_TEXT);
    int quiet = world_timers(&w);
    const char *text = fails("lua", "a.lua:1");
    int64_t told_ms = w.now_ms;
    assert_int_equal(log_count(text, "settled"), 1);
    assert_int_equal(log_count(text, "stack traceback"), 1);
    for (int i = 0; i < 3; i++)
        assert_string_equal(fails("lua", "a.lua:1"), "");
    assert_string_equal(passes(told_ms + 9999 - w.now_ms), "");
    text = passes(1);
    assert_int_equal(log_count(text, "same error 3 times in 10 s"), 1);
    assert_non_null(strstr(text, "reason=\"no such group\""));
    assert_non_null(strstr(text, "kind=lua"));
    assert_non_null(strstr(text, "at=a.lua:1"));
    assert_non_null(strstr(text, "last_id=m4"));
    assert_string_equal(fails("lua", "a.lua:1"), ""); /* still the same one */
    assert_int_equal(log_count(passes(10000), "same error 1 times in 10 s"), 1);
    assert_string_equal(fails("lua", "a.lua:1"), "");
    assert_int_equal(log_count(passes(10000), "same error 1 times in 10 s"), 1);
    assert_string_equal(passes(10000), "");    /* it has stopped */
    assert_int_equal(world_timers(&w), quiet); /* and nothing wakes the host for it */
    assert_int_equal(log_count(fails("lua", "a.lua:1"), "stack traceback"), 1);
    world_end(&w);
}

static void each_kind_has_its_own_time(void **state)
{
    (void)state;
    begin(LOG_TEXT);
    fails("lua", "a.lua:1");
    int64_t first_ms = w.now_ms;
    passes(3000);
    fails("lua", "b.lua:2");
    int64_t second_ms = w.now_ms;
    fails("lua", "a.lua:1");
    fails("lua", "b.lua:2");
    assert_string_equal(passes(first_ms + 9999 - w.now_ms), "");
    assert_non_null(strstr(passes(1), "at=a.lua:1"));
    assert_string_equal(passes(second_ms + 9999 - w.now_ms), "");
    assert_non_null(strstr(passes(1), "at=b.lua:2"));
    world_end(&w);
}

/* As many kinds as it can count; the next one takes the place of the oldest, whose count is told.
 */
static void too_many_kinds(void **state)
{
    char at[20];
    (void)state;
    begin(LOG_TEXT);
    for (int again = 0; again < 2; again++)
        for (int i = 0; i < KINDS_TOLD_APART; i++) {
            snprintf(at, sizeof at, "x.lua:%d", i + 1);
            assert_int_equal(log_count(fails("lua", at), "settled"), !again);
        }
    const char *text = fails("lua", "y.lua:1");
    assert_int_equal(log_count(text, "settled"), 1);
    assert_int_equal(log_count(text, "same error 1 times"), 1);
    assert_non_null(strstr(text, "at=x.lua:1 "));
    text = fails("lua", "x.lua:1"); /* it has lost its place */
    assert_int_equal(log_count(text, "settled"), 1);
    assert_non_null(strstr(text, "at=x.lua:2 "));
    world_end(&w);
}

/* What the handler asks for is no failure: each is told. */
static void a_wish_is_no_failure(void **state)
{
    (void)state;
    begin(LOG_TEXT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(log_count(fails("", ""), "settled"), 1);
    world_end(&w);
}

static void what_is_left_is_told_at_the_end(void **state)
{
    (void)state;
    begin(LOG_TEXT);
    for (int i = 0; i < 3; i++)
        fails("lua", "a.lua:1");
    log_catch();
    flow_drain(w.flow);
    flow_drain(w.flow);
    const char *text = log_caught();
    assert_true(w.ended);
    assert_int_equal(log_count(text, "same error 2 times"), 1);
    for (int i = 0; i < WORLD_TIMERS; i++) /* until the flow is freed they may fire */
        assert_true(!w.timers[i] || w.timers[i]->fire);
    world_end(&w);
}

static void for_machines_each_has_its_line(void **state)
{
    (void)state;
    begin(LOG_JSON);
    for (int i = 0; i < 4; i++) {
        const char *text = fails("lua", "a.lua:1");
        assert_int_equal(log_count(text, "\"settled\""), 1);
        assert_int_equal(log_count(text, "stack traceback"), i == 0);
    }
    assert_string_equal(passes(10000), "");
    for (int i = 0; i < 2; i++) /* one in ten seconds has the rest */
        assert_int_equal(log_count(fails("lua", "a.lua:1"), "stack traceback"), i == 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_once_then_counted),
        cmocka_unit_test(each_kind_has_its_own_time),
        cmocka_unit_test(too_many_kinds),
        cmocka_unit_test(a_wish_is_no_failure),
        cmocka_unit_test(what_is_left_is_told_at_the_end),
        cmocka_unit_test(for_machines_each_has_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
