/* --until-empty: what keeps a run to the end of the queue from ending, and what it says when it
 * leaves something for later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>
#include <time.h>

static struct world w;

static void begin(int slots)
{
    struct flow_options o = world_options();
    o.until_empty = true;
    o.batch = 2;
    world_begin(&w, &o, 1, slots);
}

/* A message comes, and its handler wants it again after so long; confirmed. */
static void wants_again(const char *id, int64_t after_s)
{
    world_bring_one(&w, id, "h", 1);
    world_pass(&w, 100);
    world_running(&w, id)->after_ms = after_s * 1000;
    world_verdict(&w, id, OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
}

static void a_whole_poll_is_waited_for(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    o.wait_s = 3;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 0, 0); /* it did not wait */
    assert_false(w.ended);
    assert_int_equal(w.receives[0]->wait_s, 3);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    assert_string_equal(w.end_text, "the queue is empty");
    world_end(&w);
}

static void what_is_in_hand_is_waited_for(void **state)
{
    (void)state;
    begin(4);
    world_bring(&w, 1, 1);
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    world_end(&w);
}

static void a_target_that_is_down_is_waited_for(void **state)
{
    (void)state;
    begin(4);
    world_bring(&w, 0, 0);
    flow_target_down(w.flow, "http://kc:80", "no token");
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    flow_target_up(w.flow, "http://kc:80");
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    world_end(&w);
}

/* It may bring something. */
static void the_other_poll_is_waited_for(void **state)
{
    (void)state;
    begin(8);
    world_bring(&w, 1, 2); /* a full one: two are open */
    assert_int_equal(w.receive_count, 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    world_end(&w);
}

/* Retries of this run's own, if they are due within `patience`, 60 s. */
static void patience(void **state)
{
    static const struct {
        int64_t first_s, second_s; /* 0: there is none */
        bool ends;
    } cases[] = {{1, 0, false},    {60, 0, false},   {61, 0, true},   {900, 0, true},
                 {900, 60, false}, {60, 900, false}, {900, 901, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(4);
        wants_again("m1", cases[i].first_s);
        if (cases[i].second_s)
            wants_again("m2", cases[i].second_s);
        assert_int_equal(w.receive_count, 1);
        world_bring(&w, 0, 0);
        assert_int_equal(w.ended, cases[i].ends);
        if (w.ended)
            assert_int_equal(w.end, FLOW_LEFT_LATER);
        world_end(&w);
    }
}

/* Whatever its id. */
static void each_retry_is_known(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[20];
        begin(4);
        snprintf(id, sizeof id, "message-%d", i);
        wants_again(id, 900);
        world_bring(&w, 0, 0);
        assert_int_equal(w.end, FLOW_LEFT_LATER);
        world_end(&w);
    }
}

/* Those that have come again, and those that were due before a poll that came back empty and went
 * elsewhere, are no reason to wait. */
static void retries_that_are_over(void **state)
{
    (void)state;
    begin(4);
    wants_again("m1", 10);
    wants_again("m2", 10);
    world_pass(&w, 10000);
    world_bring_one(&w, "m1", "h1b", 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 0, 0); /* SQS shows a message a moment late: begun too early to tell */
    assert_false(w.ended);
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    world_pass(&w, 3000);
    world_bring(&w, 0, 0);
    while (!w.ended && w.receive_count == 0)
        world_pass(&w, 100);
    if (!w.ended)
        world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* How many, and when the first of them comes. */
static void what_is_left_is_told(void **state)
{
    static const int64_t delays_s[][2] = {{3600, 7200}, {7200, 3600}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char when[16], text[80];
        struct tm t;
        time_t first = 0;
        begin(4);
        for (int k = 0; k < 2; k++) {
            wants_again(k ? "m2" : "m1", delays_s[i][k]);
            if (delays_s[i][k] == 3600)
                first = (time_t)(w.now_ms / 1000 + 3600);
        }
        world_bring(&w, 0, 0);
        localtime_r(&first, &t);
        strftime(when, sizeof when, "%H:%M", &t);
        snprintf(text, sizeof text, "2 left for later, next at %s", when);
        assert_string_equal(w.end_text, text);
        world_end(&w);
    }
}

static void receive_ends(struct queue_result result)
{
    struct queue_receive *r = world_take_receive(&w);
    result.retry_after_ms = -1;
    r->result = result;
    r->done(r);
    while (!w.ended && w.receive_count == 0)
        world_pass(&w, 100);
}

/* What it carried is hidden for the visibility timeout, 30 s. */
static void a_receive_whose_answer_was_lost(void **state)
{
    static const struct queue_result cases[] = {
        {.status = QUEUE_UNREACHABLE, .unheard = true}, {.status = QUEUE_UNREACHABLE},
        {.status = QUEUE_BUSY, .unheard = true},        {.status = QUEUE_BUSY},
        {.status = QUEUE_OK, .unheard = true},          {.status = QUEUE_OK}, /* libcurl's */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(4);
        world_bring(&w, 0, 0);
        receive_ends(cases[i]);
        if (!w.ended)
            world_bring(&w, 0, 0);
        assert_int_equal(w.ended, !cases[i].unheard);
        if (cases[i].unheard) { /* and once it must have come again, nothing is waited for */
            world_pass(&w, 33000);
            world_bring(&w, 0, 0); /* begun too early to tell */
            assert_false(w.ended);
            world_bring(&w, 0, 0);
            assert_true(w.ended);
        }
        assert_int_equal(w.end, FLOW_DRAINED);
        world_end(&w);
    }
}

static void a_lost_receive_is_waited_for_as_long_as_a_retry(void **state)
{
    (void)state;
    for (int visibility_s = 60; visibility_s <= 61; visibility_s++) {
        struct flow_options o = world_options();
        o.until_empty = true;
        o.visibility_s = visibility_s;
        world_begin(&w, &o, 1, 4);
        world_bring(&w, 0, 0);
        receive_ends((struct queue_result){.status = QUEUE_UNREACHABLE, .unheard = true});
        world_bring(&w, 0, 0);
        assert_int_equal(w.ended, visibility_s > 60);
        if (w.ended) {
            assert_int_equal(w.end, FLOW_LEFT_LATER);
            assert_memory_equal(w.end_text, "a receive went unanswered: ", 27);
        }
        world_end(&w);
    }
}

/* Asked for again under the same attempt id, it is heard after all. */
static void a_fifo_queue_is_asked_again(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    o.fifo = true;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 0, 0);
    receive_ends((struct queue_result){.status = QUEUE_UNREACHABLE, .unheard = true});
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

static void a_drain_ends_it_as_always(void **state)
{
    (void)state;
    begin(4);
    wants_again("m1", 900);
    flow_drain(w.flow);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_poll_is_waited_for),
        cmocka_unit_test(what_is_in_hand_is_waited_for),
        cmocka_unit_test(a_target_that_is_down_is_waited_for),
        cmocka_unit_test(the_other_poll_is_waited_for),
        cmocka_unit_test(patience),
        cmocka_unit_test(each_retry_is_known),
        cmocka_unit_test(retries_that_are_over),
        cmocka_unit_test(what_is_left_is_told),
        cmocka_unit_test(a_receive_whose_answer_was_lost),
        cmocka_unit_test(a_lost_receive_is_waited_for_as_long_as_a_retry),
        cmocka_unit_test(a_fifo_queue_is_asked_again),
        cmocka_unit_test(a_drain_ends_it_as_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
