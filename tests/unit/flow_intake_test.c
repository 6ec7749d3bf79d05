/* Receiving: when the next receive begins, what it asks for, and what failures do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

static void begin(int workers, int slots)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, workers, slots);
}

static void one_receive_until_the_queue_has_answered(void **state)
{
    (void)state;
    begin(2, 10);
    world_pass(&w, 10000);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

/* One long poll while the queue is quiet, another for each that came back full. */
static void full_receives_open_more(void **state)
{
    (void)state;
    begin(4, 10);
    world_bring(&w, 1, 10);
    assert_int_equal(w.receive_count, 2);
    world_bring(&w, 11, 10);
    assert_int_equal(w.receive_count, 2); /* all that is free is asked for */
    world_bring(&w, 0, 0);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

/* A receive for few messages costs as much as a full one: they are 25 ms apart. */
static void small_receives_are_spaced(void **state)
{
    static const int64_t answered_after[] = {0, 10, 24};
    (void)state;
    for (size_t i = 0; i < sizeof answered_after / sizeof *answered_after; i++) {
        begin(1, 4);
        world_pass(&w, answered_after[i]);
        world_bring(&w, 1, 1);
        world_pass(&w, 24 - answered_after[i]);
        assert_int_equal(w.receive_count, 0);
        world_pass(&w, 1);
        assert_int_equal(w.receive_count, 1);
        world_end(&w);
    }
}

/* ---- the rate ------------------------------------------------------------------------------ */

static void begin_at_a_rate(double per_s)
{
    struct flow_options o = world_options();
    o.rate = per_s;
    world_begin(&w, &o, 1, 4);
}

static void goes_on_when_the_rate_allows(void **state)
{
    (void)state;
    begin_at_a_rate(1);
    world_bring(&w, 1, 1);
    world_pass(&w, 999);
    assert_int_equal(w.receive_count, 0);
    world_pass(&w, 1); /* nothing else happens */
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 1);
    world_end(&w);
}

static void a_new_rate_applies_at_once(void **state)
{
    (void)state;
    begin_at_a_rate(0.01);
    world_bring(&w, 1, 1);
    world_pass(&w, 5000);
    assert_int_equal(w.receive_count, 0);
    flow_set_rate(w.flow, 0);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

static void what_did_not_come_may_be_asked_for_again(void **state)
{
    (void)state;
    begin_at_a_rate(3);
    assert_int_equal(w.receives[0]->max, 3);
    world_bring(&w, 1, 1);
    world_pass(&w, 25);
    assert_int_equal(w.receives[0]->max, 2);
    world_end(&w);
}

/* ---- failures ------------------------------------------------------------------------------ */

/* Also before the first answer: a queue that is away is not asked a thousand times a second. */
static void failures_at_the_start_back_off(void **state)
{
    (void)state;
    begin(1, 4);
    for (int i = 0; i < 5; i++) {
        world_refuse(&w, QUEUE_UNREACHABLE);
        world_pass(&w, 99);
        assert_int_equal(w.receive_count, 0);
        while (w.receive_count == 0 && !w.ended)
            world_pass(&w, 100);
    }
    assert_false(w.ended);
    world_end(&w);
}

static void a_receive_that_cannot_begin_backs_off(void **state)
{
    (void)state;
    begin(1, 4);
    w.no_receives = true;
    world_bring(&w, 0, 0);
    assert_int_equal(w.refused, 1);
    world_pass(&w, 99);
    assert_int_equal(w.refused, 1);
    world_pass(&w, 5000);
    assert_in_range(w.refused, 3, 20);
    w.no_receives = false;
    world_pass(&w, 20000);
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 4); /* none of those is still counted */
    world_end(&w);
}

/* Said at once when it begins and when something else is wrong, then every ten seconds. */
/* Ten settlements make a call, and when that cannot begin the intake is looked at while the
 * messages of an answer are still being taken in: all of them are. */
static void a_call_that_cannot_begin_amid_an_answer(void **state)
{
    (void)state;
    begin(4, 10);
    world_bring(&w, 1, 10);
    for (int i = 1; i <= 10; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        world_verdict(&w, id, OUTCOME_ACK);
    }
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 11, 3);
    for (int i = 11; i <= 13; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        world_verdict(&w, id, OUTCOME_ACK);
    }
    int64_t received = flow_counts(w.flow)->received;
    w.no_batches = true;
    world_bring(&w, 1, 10); /* acked before: deleted at once */
    assert_int_equal(flow_counts(w.flow)->received, received + 10);
    w.no_batches = false;
    world_pass(&w, 10000);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 13 + 10);
    world_end(&w);
}

static void failures_are_told(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 0, 0);
    static const struct {
        enum queue_status status;
        int lines;
        const char *next;
    } cases[] = {
        {QUEUE_UNREACHABLE, 1, "\"trying again\""},    {QUEUE_UNREACHABLE, 0, ""},
        {QUEUE_BUSY, 1, "\"trying again\""},           {QUEUE_DENIED, 1, "trying again every 30 s"},
        {QUEUE_MISSING, 1, "trying again every 30 s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        while (w.receive_count == 0)
            world_pass(&w, 100);
        log_catch();
        world_refuse(&w, cases[i].status);
        const char *text = log_caught();
        assert_int_equal(log_count(text, "receive failed"), cases[i].lines);
        assert_non_null(strstr(text, cases[i].next));
    }
    while (w.receive_count == 0)
        world_pass(&w, 100);
    log_catch();
    world_bring(&w, 0, 0);
    assert_int_equal(log_count(log_caught(), "receiving works again after 5 failures"), 1);
    log_catch();
    world_bring(&w, 0, 0);
    assert_string_equal(log_caught(), "");
    world_refuse(&w, QUEUE_BUSY);
    world_pass(&w, 1000);
    log_catch();
    world_bring(&w, 0, 0);
    assert_int_equal(log_count(log_caught(), "receiving works again after 1 failure"), 1);
    world_end(&w);
}

/* It says why it leaves, and promises nothing. */
static void the_end_at_the_start_is_no_retry(void **state)
{
    static const enum queue_status ends[] = {QUEUE_MISSING, QUEUE_DENIED, QUEUE_UNREACHABLE};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        begin(1, 4);
        w.now_ms += 60000;
        log_catch();
        world_refuse(&w, ends[i]);
        assert_null(strstr(log_caught(), "again"));
        assert_true(w.ended);
        assert_string_equal(w.end_text, "words");
        world_end(&w);
    }
}

/* ---- FIFO: attempts whose answer was lost ---------------------------------------------------- */

static void begin_fifo(void)
{
    struct flow_options o = world_options();
    o.fifo = true;
    world_begin(&w, &o, 4, 10);
    w.varied = true;
}

/* Each of them is asked for again, the oldest first. */
static void lost_answers_are_asked_for_in_their_order(void **state)
{
    char lost[2][QUEUE_ATTEMPT_BYTES];
    (void)state;
    begin_fifo();
    world_bring(&w, 1, 10);
    assert_int_equal(w.receive_count, 2);
    struct queue_receive *both[2] = {world_take_receive(&w), world_take_receive(&w)};
    for (int i = 0; i < 2; i++) {
        memcpy(lost[i], both[i]->attempt, sizeof lost[i]);
        both[i]->result = (struct queue_result){.status = QUEUE_UNREACHABLE, .retry_after_ms = -1};
        both[i]->done(both[i]);
    }
    world_pass(&w, 1000);
    assert_int_equal(w.receive_count, 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(world_take_receive(&w)->attempt, lost[i]);
    world_end(&w);
}

/* "Not valid any more" is said of the repetition, and is no fault of the configuration: the next
 * receive begins at once. Any other fault waits its half minute. */
static void a_repetition_that_is_refused(void **state)
{
    static const struct {
        bool fifo, repeats, at_once;
    } cases[] = {{true, true, true}, {true, false, false}, {false, true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_options o = world_options();
        o.fifo = cases[i].fifo;
        world_begin(&w, &o, 1, 4);
        world_bring(&w, 0, 0);
        if (cases[i].repeats)
            world_refuse(&w, QUEUE_UNREACHABLE);
        world_pass(&w, 1000);
        world_refuse(&w, QUEUE_FAULT);
        assert_int_equal(w.receive_count, cases[i].at_once);
        world_pass(&w, 29999);
        assert_int_equal(w.receive_count, cases[i].at_once);
        world_pass(&w, 1);
        assert_int_equal(w.receive_count, 1);
        world_end(&w);
    }
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void the_last_poll_ends_a_drain(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 0, 0);
    flow_drain(w.flow);
    assert_false(w.ended);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_receive_until_the_queue_has_answered),
        cmocka_unit_test(full_receives_open_more),
        cmocka_unit_test(small_receives_are_spaced),
        cmocka_unit_test(goes_on_when_the_rate_allows),
        cmocka_unit_test(a_new_rate_applies_at_once),
        cmocka_unit_test(what_did_not_come_may_be_asked_for_again),
        cmocka_unit_test(failures_at_the_start_back_off),
        cmocka_unit_test(a_receive_that_cannot_begin_backs_off),
        cmocka_unit_test(a_call_that_cannot_begin_amid_an_answer),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(the_end_at_the_start_is_no_retry),
        cmocka_unit_test(lost_answers_are_asked_for_in_their_order),
        cmocka_unit_test(a_repetition_that_is_refused),
        cmocka_unit_test(the_last_poll_ends_a_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
