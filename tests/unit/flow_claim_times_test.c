/* Claims in a shared store by the clock: when they are asked for again, what becomes of one that is
 * held elsewhere, ends or is lost before its message runs, and when the store is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

#include "flow_claims.h"

static void draw(uint64_t random)
{
    w.random_set = true;
    w.random = random;
}

/* Nothing is asked before so many milliseconds have passed, and one call is made then. */
static void asks_after(int64_t ms)
{
    assert_int_equal(call_count, 0);
    world_pass(&w, ms - 1);
    assert_int_equal(call_count, 0);
    world_pass(&w, 1);
    assert_int_equal(call_count, 1);
}

static void held_for(int64_t wait_ms)
{
    struct shared_call *c = calls[--call_count];
    c->answer = SHARED_HELD;
    c->wait_ms = wait_ms;
    c->done(c);
}

static void held_elsewhere_is_asked_for_again(void **state)
{
    static const struct {
        uint64_t random;
        int64_t wait_ms, after_ms, then_ms;
    } cases[] = {{0, -1, 100, 200},  {100, -1, 200, 300}, {101, -1, 100, 301}, {100, 300, 200, 300},
                 {100, 70, 70, 300}, {100, 50, 50, 300},  {100, 20, 50, 300},  {100, 0, 50, 300}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(false);
        draw(cases[i].random);
        bring();
        held_for(cases[i].wait_ms);
        asks_after(cases[i].after_ms);
        held_for(-1);
        asks_after(cases[i].then_ms);
        world_end(&w);
    }
}

static void a_store_that_is_away_is_tried_now_and_then(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        begin(true);
        draw(far ? 400 : 0);
        bring();
        answer(SHARED_CLAIM, SHARED_AWAY);
        asks_after(far ? 2200 : 1800);
        answer(SHARED_CLAIM, SHARED_AWAY);
        asks_after(far ? 2200 : 1800);
        world_end(&w);
    }
}

static void what_comes_while_it_is_away_does_not_ask(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_AWAY);
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with("b", "{\"k\":2}", NULL)->node);
    r->done(r);
    assert_int_equal(call_count, 0);
    assert_int_equal(world_running_count(&w), 2);
    assert_int_equal(flow_counts(w.flow)->unfenced, 2);
    world_end(&w);
}

/* Another host has it until then, by the last answer: unfenced before, it would run beside it. */
static void away_while_held_elsewhere(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        begin(false);
        draw(0);
        bring();
        held_for(20000);
        asks_after(100);
        world_pass(&w, 19900 - !over);
        world_answer_all(&w);
        answer(SHARED_CLAIM, SHARED_AWAY);
        assert_int_equal(world_running_count(&w), over);
        world_end(&w);
    }
}

static void claims_run_in_order(void **state)
{
    (void)state;
    begin_with(false, 1);
    bring_some(3);
    for (int i = 0; i < 3; i++)
        answer(SHARED_CLAIM, SHARED_OK);
    for (int i = 0; i < 3; i++) {
        const char *id = (const char *[]){"a", "b", "c"}[i];
        assert_non_null(world_running(&w, id));
        world_verdict(&w, id, OUTCOME_ACK);
    }
    world_end(&w);
}

static void an_answer_after_the_claims_end(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        begin(false);
        bring();
        pass_extended(CLAIM_MS - !late);
        answer(SHARED_CLAIM, SHARED_OK);
        assert_int_equal(world_running_count(&w), !late);
        world_pass(&w, 1); /* in time, but it is half over: renewed */
        assert_int_equal(call_count, 1);
        answer(SHARED_CLAIM, SHARED_OK);
        assert_int_equal(world_running_count(&w), 1);
        assert_int_equal(flow_counts(w.flow)->unfenced, 0);
        world_end(&w);
    }
}

/* It waits for a slot behind the first when its renewal is answered. */
static void lost_while_buffered(void **state)
{
    static const enum shared_answer answers[] = {SHARED_HELD, SHARED_ACKED};
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin_with(false, 1);
        bring_some(2);
        answer(SHARED_CLAIM, SHARED_OK);
        answer(SHARED_CLAIM, SHARED_OK);
        world_pass(&w, 15000);
        world_answer_all(&w);
        answer_claim_of("1", SHARED_OK);
        answer_claim_of("2", answers[i]);
        assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
        world_verdict(&w, "a", OUTCOME_RELEASE);
        assert_int_equal(world_running_count(&w), 0);
        if (answers[i] == SHARED_HELD) {
            world_pass(&w, 5000);
            answer_claim_of("2", SHARED_OK);
            assert_non_null(world_running(&w, "b"));
        } else {
            world_pass(&w, 5);
            assert_int_equal(flow_counts(w.flow)->acked_before, 1);
            assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
        }
        world_end(&w);
    }
}

/* One that is parked for its target: it asks again, and runs when it has both. */
static void lost_while_parked(void **state)
{
    (void)state;
    begin(false);
    bring_some(2);
    answer(SHARED_CLAIM, SHARED_OK);
    answer(SHARED_CLAIM, SHARED_OK);
    world_target_failure(&w, "a", "t");
    world_target_failure(&w, "b", "t");
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.parked, 2);
    pass_extended(15000);
    answer_claim_of("2", SHARED_HELD);
    assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
    flow_look(w.flow, &v);
    assert_int_equal(v.parked + v.running, 2);
    pass_extended(5000);
    answer_claim_of("2", SHARED_OK);
    world_verdict(&w, "a", OUTCOME_ACK); /* it was tried with that one */
    pass_extended(1000);
    assert_non_null(world_running(&w, "b"));
    assert_int_equal(world_running(&w, "b")->attempt, 2);
    world_end(&w);
}

/* Closed: what waits for a slot does not start on a claim that has ended, but asks again. */
static void ended_while_buffered(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) { /* with the renewal on the wire */
        begin_with(true, 1);
        bring_some(2);
        answer(SHARED_CLAIM, SHARED_OK);
        answer(SHARED_CLAIM, SHARED_OK);
        int64_t passed = 0;
        for (; passed < CLAIM_MS; passed += 1000) {
            world_answer_all(&w);
            world_pass(&w, 1000);
            while (call_count > 0 && !open)
                answer(SHARED_CLAIM, SHARED_AWAY);
        }
        world_answer_all(&w);
        world_verdict(&w, "a", OUTCOME_RELEASE);
        assert_int_equal(world_running_count(&w), 0);
        assert_true(!open || call_count == 2);
        while (call_count > 0)
            answer_at(0, calls[0]->op, SHARED_AWAY);
        assert_int_equal(flow_counts(w.flow)->claims_lost, 2);
        for (int i = 0; i < 10 && !world_running(&w, "b"); i++) {
            while (call_count > 0)
                answer_at(0, calls[0]->op, SHARED_OK);
            pass_extended(1000);
        }
        assert_non_null(world_running(&w, "b"));
        world_end(&w);
    }
}

static void frees_are_tried_three_times(void **state)
{
    (void)state;
    for (int draining = 0; draining < 2; draining++) {
        begin(false);
        bring();
        answer(SHARED_CLAIM, SHARED_OK);
        world_verdict(&w, "a", OUTCOME_RETRY);
        if (draining)
            flow_drain(w.flow);
        int tries = 0;
        for (int i = 0; i < 10; i++) {
            if (call_count > 0) {
                answer(SHARED_FREE, SHARED_AWAY);
                tries++;
            }
            world_answer_all(&w);
            world_pass(&w, 1000);
        }
        assert_int_equal(tries, draining ? 1 : 3);
        world_end(&w);
    }
}

static void the_drains_end_does_not_wait_for_the_store(void **state)
{
    (void)state;
    for (int extending = 0; extending < 2; extending++) {
        begin(false);
        bring();
        answer(SHARED_CLAIM, SHARED_OK);
        world_verdict(&w, "a", OUTCOME_ACK);
        flow_drain(w.flow);
        world_pass(&w, extending ? 15000 : 1000);
        assert_int_equal(w.batch_count, extending);
        flow_drain(w.flow); /* time is up */
        world_answer_all(&w);
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, 1);
        assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
        assert_int_equal(flow_counts(w.flow)->unfenced, 1);
        world_answer_all(&w);
        world_end(&w);
    }
}

/* The delete waits for the store no longer than for the lease. */
static void lease_lost_while_the_store_is_told(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_verdict(&w, "a", OUTCOME_ACK);
    world_pass(&w, 15000);
    struct queue_batch *extension = world_take_batch(&w);
    extension->entries[0].ok = false;
    extension->entries[0].sender_fault = true;
    extension->done(extension);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    assert_int_equal(flow_counts(w.flow)->unfenced, 1);
    world_answer_all(&w);
    world_end(&w);
}

/* Held for too long: back to the queue, unless that was its last receive. */
static void given_back_after_the_hold(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        begin_at(false, 10, last);
        bring();
        int64_t waited = 0;
        while (waited < 310000 && flow_counts(w.flow)->retried == 0) {
            while (call_count > 0)
                answer(SHARED_CLAIM, SHARED_HELD);
            world_pass(&w, 1000);
            waited += 1000;
            world_answer_all(&w);
        }
        assert_int_equal(flow_counts(w.flow)->retried, !last);
        assert_in_range(waited, 300000, last ? 310000 : 306000);
        if (!last) { /* its key is nobody's */
            call_count = 0;
            bring();
            assert_int_equal(call_count, 1);
        }
        world_end(&w);
    }
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_elsewhere_is_asked_for_again),
        cmocka_unit_test(a_store_that_is_away_is_tried_now_and_then),
        cmocka_unit_test(what_comes_while_it_is_away_does_not_ask),
        cmocka_unit_test(away_while_held_elsewhere),
        cmocka_unit_test(claims_run_in_order),
        cmocka_unit_test(an_answer_after_the_claims_end),
        cmocka_unit_test(lost_while_buffered),
        cmocka_unit_test(lost_while_parked),
        cmocka_unit_test(ended_while_buffered),
        cmocka_unit_test(frees_are_tried_three_times),
        cmocka_unit_test(the_drains_end_does_not_wait_for_the_store),
        cmocka_unit_test(lease_lost_while_the_store_is_told),
        cmocka_unit_test(given_back_after_the_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
