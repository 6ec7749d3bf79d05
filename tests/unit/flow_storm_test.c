/* Failure storms: nearly all messages fail alike. The queue would move a message after three
 * receives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;
static int next_id;
static int receives; /* of the messages that come */

static void begin_with(bool until_empty, int max_receives)
{
    struct flow_options o = world_options();
    o.storm_window = 20;
    o.max_receives = max_receives;
    o.dead_letters = true;
    o.log_settled = 0;
    o.until_empty = until_empty;
    next_id = 1;
    receives = 1;
    world_begin(&w, &o, 2, 4);
}

static void begin(bool until_empty)
{
    begin_with(until_empty, 3);
}

static void receive_all(void)
{
    while (w.receive_count > 0) {
        struct queue_receive *r = world_take_answer(&w);
        for (int i = 0; i < r->max; i++, next_id++) {
            char id[20], handle[20];
            snprintf(id, sizeof id, "m%d", next_id);
            snprintf(handle, sizeof handle, "h%d", next_id);
            list_append(&r->jobs, &world_job(id, handle, receives)->node);
        }
        r->done(r);
    }
}

static struct job *oldest(void)
{
    return list_entry(list_first(&w.running), struct job, node);
}

static void end_oldest(enum outcome outcome, const char *kind, const char *at)
{
    struct job *job = oldest();
    char id[40];
    snprintf(id, sizeof id, "%s", job->id);
    snprintf(job->kind, sizeof job->kind, "%s", kind);
    snprintf(job->at, sizeof job->at, "%s", at);
    atomic_store(&job->wire_until_ms, WIRE_ANSWERED);
    world_verdict(&w, id, outcome);
}

/* A bad handler, for so long: whatever runs fails. Returns how many runs that were. */
static int fail_for(int64_t ms, enum outcome outcome)
{
    int runs = 0;
    for (int64_t end = w.now_ms + ms; w.now_ms < end; world_pass(&w, 50)) {
        world_answer_all(&w);
        receive_all();
        for (int n = world_running_count(&w); n > 0; n--, runs++)
            end_oldest(outcome, "lua", "register.lua:14");
        assert_int_equal(w.copy_count, 0); /* none goes to the dead-letter queue */
    }
    return runs;
}

static const char *hold(void)
{
    static struct flow_view v;
    flow_look(w.flow, &v);
    return v.hold ? v.hold : "";
}

/* The handler is mended: all that waits is acked. */
static void mended(void)
{
    for (int i = 0; i < 200; i++) {
        world_pass(&w, 50);
        world_answer_all(&w);
        for (int n = world_running_count(&w); n > 0; n--)
            end_oldest(OUTCOME_ACK, "", "");
        if (i > 100)
            receive_all();
    }
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.parked, 0);
    assert_null(strstr(hold(), "storm"));
}

static void a_bad_handler(void **state)
{
    (void)state;
    begin(false);
    int runs = fail_for(2000, OUTCOME_RETRY);
    assert_in_range(runs, 20, 40);
    assert_non_null(strstr(hold(), "failure storm"));
    int64_t received = flow_counts(w.flow)->received;
    runs = fail_for(60000, OUTCOME_RETRY);
    assert_in_range(runs, 20, 40);                                          /* one every 2 s */
    assert_in_range(flow_counts(w.flow)->received - received, 1, runs / 3); /* a fresh one a few */
    assert_int_equal(flow_counts(w.flow)->rejected, 0);
    mended();
    assert_true(flow_counts(w.flow)->received > received + 20);
    world_end(&w);
}

/* A fresh one after every fifth try: perhaps those that wait are bad by themselves. */
static void a_fresh_one_now_and_then(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    for (int fresh = 0; fresh < 2; fresh++) {
        int64_t began_ms = w.now_ms;
        int tries = 0;
        while (w.receive_count == 0) {
            world_pass(&w, 100);
            world_answer_all(&w);
            assert_in_range(w.now_ms - began_ms, 0, 20000);
            if (w.receive_count == 0 && world_running_count(&w) > 0) {
                end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
                tries++;
            }
        }
        assert_int_equal(w.receive_count, 1);
        assert_int_equal(w.receives[0]->max, 1);
        assert_int_equal(tries, 4); /* and the fifth is under way */
        receive_all();
        end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
    }
    world_end(&w);
}

/* Afterwards one that fails, in whatever way, is retried as ever, until it is a storm again. */
static void after_a_storm(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    mended();
    world_answer_all(&w);
    int64_t retried = flow_counts(w.flow)->retried;
    while (world_running_count(&w) == 0) {
        world_pass(&w, 50);
        receive_all();
    }
    end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
    world_pass(&w, 5);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->retried, retried + 1);
    fail_for(3000, OUTCOME_RETRY);
    assert_non_null(strstr(hold(), "failure storm"));
    world_end(&w);
}

/* One that went well ended it: those that failed before it count no more. */
static void the_first_failure_after_a_storm(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    for (int i = 0; i < 100 && world_running_count(&w) == 0; i++)
        world_pass(&w, 50);
    end_oldest(OUTCOME_ACK, "", "");
    assert_null(strstr(hold(), "storm"));
    world_pass(&w, 50);
    assert_true(world_running_count(&w) > 0);
    end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
    assert_null(strstr(hold(), "storm"));
    world_end(&w);
}

/* Also by a refusal that its author wanted. A retry that he asks for says nothing. */
static void what_ends_a_storm(void **state)
{
    static const struct {
        enum outcome outcome;
        bool ends;
    } cases[] = {{OUTCOME_ACK, true}, {OUTCOME_REJECT, true}, {OUTCOME_RETRY, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(false);
        fail_for(2000, OUTCOME_RETRY);
        for (int k = 0; k < 100 && world_running_count(&w) == 0; k++)
            world_pass(&w, 50);
        end_oldest(cases[i].outcome, "", "");
        assert_int_equal(strstr(hold(), "storm") == NULL, cases[i].ends);
        world_end(&w);
    }
}

static int64_t held_since(void)
{
    struct flow_view v;
    flow_look(w.flow, &v);
    return w.now_ms - v.hold_ms;
}

/* However often one of them tried: people read for how long. */
static void a_storm_has_held_since_it_began(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    int64_t began_ms = held_since();
    assert_in_range(fail_for(6000, OUTCOME_RETRY), 2, 4);
    assert_int_equal(held_since(), began_ms);
    world_end(&w);
}

static void a_storm_is_told(void **state)
{
    (void)state;
    begin(false);
    log_setup(LOG_JSON, LOG_INFO);
    log_catch();
    fail_for(2000, OUTCOME_RETRY);
    const char *text = log_caught();
    assert_int_equal(log_count(text, "failure storm: nearly all messages fail alike"), 1);
    assert_non_null(strstr(text, "\"reason\":\"lua at register.lua:14\""));
    log_catch();
    mended();
    text = log_caught();
    assert_int_equal(log_count(text, "the failure storm is over"), 1);
    assert_null(strstr(text, "target is back"));
    log_setup(LOG_TEXT, LOG_ERROR + 1);
    world_end(&w);
}

/* A storm of messages none of which may fail again; the first two are lost, since nobody can tell
 * yet. */
static void begin_at_the_last_receive(void)
{
    begin(false);
    receives = 3;
    receive_all();
    for (int i = 0; i < 2; i++)
        end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
    assert_int_equal(w.copy_count, 2);
    while (w.copy_count > 0)
        world_copied(&w, QUEUE_OK);
}

/* All at their last receive: not even the first few are lost. */
static void at_the_last_receive(void **state)
{
    (void)state;
    begin_at_the_last_receive();
    fail_for(30000, OUTCOME_RETRY);
    assert_non_null(strstr(hold(), "failure storm"));
    mended();
    world_end(&w);
}

/* The third that would be a dead letter is kept from it; a queue that moves none has no such. */
static void by_how_often_a_message_may_come(void **state)
{
    static const struct {
        int max_receives; /* 0: the queue moves none */
        bool storm;
    } cases[] = {{0, false}, {1, true}, {2, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_with(false, cases[i].max_receives);
        receive_all();
        for (int n = 0; n < 3; n++)
            end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
        assert_int_equal(strstr(hold(), "storm") != NULL, cases[i].storm);
        world_end(&w);
    }
}

/* Not all fail: those that do at their last receive are dead letters, however alike. */
static void one_that_went_well_before(void **state)
{
    (void)state;
    begin(false);
    receives = 3;
    receive_all();
    end_oldest(OUTCOME_ACK, "", "");
    for (int i = 0; i < 4; i++)
        end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
    assert_int_equal(w.copy_count, 4);
    assert_null(strstr(hold(), "storm"));
    world_end(&w);
}

static void errors_that_reject(void **state)
{
    (void)state;
    begin(false);
    receive_all();
    for (int i = 0; i < 2; i++)
        end_oldest(OUTCOME_REJECT, "invalid", "register.lua:14");
    while (w.copy_count > 0)
        world_copied(&w, QUEUE_OK);
    end_oldest(OUTCOME_REJECT, "invalid", "register.lua:14");
    assert_int_equal(w.copy_count, 0);
    assert_non_null(strstr(hold(), "failure storm"));
    world_end(&w);
}

/* What the author asks for, and a server's failure, are no storm. */
static void what_is_none(void **state)
{
    (void)state;
    begin(false);
    for (int i = 0; i < 60; i++) {
        world_pass(&w, 50);
        world_answer_all(&w);
        receive_all();
        end_oldest(i % 2 ? OUTCOME_REJECT : OUTCOME_RETRY, "", "");
        while (w.copy_count > 0)
            world_copied(&w, QUEUE_OK);
        assert_null(strstr(hold(), "storm"));
    }
    for (int i = 0; i < 60; i++) { /* every fifth goes well */
        world_pass(&w, 50);
        world_answer_all(&w);
        receive_all();
        if (i % 5)
            end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
        else
            end_oldest(OUTCOME_ACK, "", "");
        assert_null(strstr(hold(), "storm"));
    }
    world_end(&w);
}

/* Some of them are bad by themselves; a fresh one brings everything back. */
static void a_clump_of_bad_ones(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    int bad = next_id;
    for (int i = 0; i < 600 && strstr(hold(), "storm"); i++) {
        world_pass(&w, 50);
        world_answer_all(&w);
        receive_all();
        for (int n = world_running_count(&w); n > 0; n--) {
            if (atoi(oldest()->id + 1) < bad)
                end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
            else
                end_oldest(OUTCOME_ACK, "", "");
        }
    }
    assert_null(strstr(hold(), "storm"));
    world_end(&w);
}

/* They fill every slot and are at their last receive, so that none of them ever leaves. */
static void a_full_house_of_bad_ones(void **state)
{
    (void)state;
    begin_at_the_last_receive();
    fail_for(300000, OUTCOME_RETRY);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_in_range(v.in_hand, 8 + 1, 100);
    int bad = next_id;
    receives = 1;
    int64_t began_ms = w.now_ms;
    while (strstr(hold(), "storm")) {
        world_pass(&w, 50);
        world_answer_all(&w);
        receive_all();
        for (int n = world_running_count(&w); n > 0; n--) {
            if (atoi(oldest()->id + 1) < bad)
                end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
            else
                end_oldest(OUTCOME_ACK, "", "");
        }
        assert_in_range(w.now_ms - began_ms, 0, 30000);
    }
    world_end(&w);
}

/* With a bad handler that is left to itself for hours. */
static void a_storm_gathers_only_so_many(void **state)
{
    (void)state;
    begin_at_the_last_receive();
    fail_for(INT64_C(3600000), OUTCOME_RETRY);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.in_hand, 8 + 100);
    int64_t full_ms = held_since();
    assert_in_range(fail_for(30000, OUTCOME_RETRY), 10, 20);
    assert_int_equal(held_since(), full_ms);
    world_end(&w);
}

static void a_run_to_the_end_ends(void **state)
{
    (void)state;
    begin(true);
    for (int i = 0; i < 200 && !w.ended; i++) {
        world_answer_all(&w);
        receive_all();
        for (int n = world_running_count(&w); n > 0; n--)
            end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
        world_pass(&w, 50);
    }
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_LEFT_LATER);
    assert_non_null(strstr(w.end_text, "fail alike"));
    assert_int_equal(w.copy_count, 0);
    world_end(&w);
}

static void a_drain_gives_back(void **state)
{
    (void)state;
    begin(false);
    fail_for(2000, OUTCOME_RETRY);
    flow_drain(w.flow);
    for (int i = 0; i < 100 && !w.ended; i++) {
        world_answer_all(&w);
        for (int n = world_running_count(&w); n > 0; n--)
            end_oldest(OUTCOME_RETRY, "lua", "register.lua:14");
        world_pass(&w, 50);
    }
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_handler),
        cmocka_unit_test(a_fresh_one_now_and_then),
        cmocka_unit_test(after_a_storm),
        cmocka_unit_test(the_first_failure_after_a_storm),
        cmocka_unit_test(what_ends_a_storm),
        cmocka_unit_test(a_storm_has_held_since_it_began),
        cmocka_unit_test(a_storm_is_told),
        cmocka_unit_test(at_the_last_receive),
        cmocka_unit_test(by_how_often_a_message_may_come),
        cmocka_unit_test(one_that_went_well_before),
        cmocka_unit_test(errors_that_reject),
        cmocka_unit_test(what_is_none),
        cmocka_unit_test(a_clump_of_bad_ones),
        cmocka_unit_test(a_drain_gives_back),
        cmocka_unit_test(a_run_to_the_end_ends),
        cmocka_unit_test(a_full_house_of_bad_ones),
        cmocka_unit_test(a_storm_gathers_only_so_many),
    };
    log_setup(LOG_TEXT, LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
