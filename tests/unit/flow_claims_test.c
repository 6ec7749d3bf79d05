/* Claims in a shared store, step by step: what runs when, and what is said in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

#include "flow_claims.h"

static void claimed_run_told_and_deleted(void **state)
{
    (void)state;
    begin(false);
    bring();
    assert_int_equal(world_running_count(&w), 0);
    assert_string_equal(calls[0]->key, "1");
    assert_int_equal(calls[0]->for_ms, CLAIM_MS);
    assert_int_equal(calls[0]->body_len, strlen("{\"k\":1}"));
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running_count(&w), 1);
    world_verdict(&w, "a", OUTCOME_ACK);
    world_pass(&w, 100);
    assert_int_equal(w.batch_count, 0); /* the store comes first */
    answer(SHARED_DONE, SHARED_OK);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 1);
    assert_int_equal(call_count, 0);
    world_end(&w);
}

/* Each message would cost the loop a wake-up for nothing. */
static void asking_at_once_leaves_no_timer_due(void **state)
{
    (void)state;
    begin(false);
    bring();
    assert_int_equal(call_count, 1);
    for (int i = 0; i < WORLD_TIMERS; i++)
        if (w.timers[i])
            assert_true(w.due_ms[i] > w.now_ms);
    answer(SHARED_CLAIM, SHARED_OK);
    world_end(&w);
}

static void failure_frees(void **state)
{
    (void)state;
    begin(false);
    bring();
    char token[SHARED_TOKEN_BYTES];
    memcpy(token, calls[0]->token, sizeof token);
    answer(SHARED_CLAIM, SHARED_OK);
    world_verdict(&w, "a", OUTCOME_RETRY);
    assert_string_equal(calls[0]->token, token);
    assert_null(calls[0]->body);
    assert_int_equal(calls[0]->body_len, 0);
    answer(SHARED_FREE, SHARED_OK);
    world_end(&w);
}

static void foreign_claim_is_waited_for(void **state)
{
    (void)state;
    begin(false);
    bring();
    for (int i = 0; i < 3; i++) {
        answer(SHARED_CLAIM, SHARED_HELD);
        assert_int_equal(world_running_count(&w), 0);
        world_pass(&w, 5000);
        assert_int_equal(call_count, 1);
    }
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running_count(&w), 1);
    world_end(&w);
}

static void acked_elsewhere_is_deleted_unrun(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_ACKED);
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    assert_int_equal(world_running_count(&w), 0);
    assert_int_equal(call_count, 0); /* nothing is freed that was never had */
    world_end(&w);
}

static void renewed_at_half_a_lease(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_pass(&w, 14999);
    assert_int_equal(call_count, 0);
    world_pass(&w, 1);
    answer(SHARED_CLAIM, SHARED_OK);
    world_end(&w);
}

/* What has sent nothing is taken from its handler; an ack is told to the store all the same. */
static void lost_claim_fences(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_pass(&w, 15000);
    answer(SHARED_CLAIM, SHARED_HELD);
    assert_int_equal(w.cancels, 1);
    assert_true(atomic_load(&world_running(&w, "a")->fence));
    assert_true(atomic_load(&world_running(&w, "a")->lease_lost));
    assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
    for (int i = 0; i < 2 * CLAIM_MS; i += 1000) {
        world_answer_all(&w); /* its lease goes on, and does not make up for the claim */
        world_pass(&w, 1000);
    }
    assert_true(atomic_load(&world_running(&w, "a")->lease_lost));
    assert_int_equal(call_count, 0);
    world_verdict(&w, "a", OUTCOME_ACK);
    answer(SHARED_DONE, SHARED_OK);
    world_end(&w);
}

/* Others may take the key then, whatever the store answers to the last renewal. */
static void ended_claim_fences_while_a_renewal_is_open(void **state)
{
    (void)state;
    begin(true);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    for (int i = 0; i < CLAIM_MS - 1000; i += 1000) {
        world_pass(&w, 1000);
        world_answer_all(&w); /* the lease goes on */
        if (call_count > 0 && i < CLAIM_MS - 6000)
            answer(SHARED_CLAIM, SHARED_AWAY);
    }
    assert_int_equal(call_count, 1);
    world_pass(&w, 999);
    assert_int_equal(w.cancels, 0);
    world_pass(&w, 2);
    assert_int_equal(w.cancels, 1);
    assert_true(atomic_load(&world_running(&w, "a")->lease_lost));
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
    world_verdict(&w, "a", OUTCOME_RETRY);
    answer(SHARED_FREE, SHARED_OK); /* perhaps it had it */
    world_end(&w);
}

static void away_and_open_runs_unfenced(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_AWAY);
    assert_int_equal(world_running_count(&w), 1);
    assert_int_equal(flow_counts(w.flow)->unfenced, 1);
    world_pass(&w, 3000);
    answer(SHARED_CLAIM, SHARED_AWAY); /* the same one, still: counted once */
    assert_int_equal(flow_counts(w.flow)->unfenced, 1);
    world_verdict(&w, "a", OUTCOME_ACK); /* telling it is in vain */
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    world_end(&w);
}

/* It waits for a slot, and the store is back before it has one. */
static void back_before_it_runs_is_asked(void **state)
{
    (void)state;
    begin_with(false, 1);
    bring_some(2);
    answer(SHARED_CLAIM, SHARED_AWAY);
    answer(SHARED_CLAIM, SHARED_AWAY);
    assert_int_equal(flow_counts(w.flow)->unfenced, 2);
    assert_int_equal(world_running_count(&w), 1);
    world_pass(&w, 2500);
    assert_int_equal(call_count, 1); /* one of the two tries it */
    answer_claim_of("1", SHARED_OK);
    world_verdict(&w, "a", OUTCOME_RELEASE);
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 1);
    answer_claim_of("2", SHARED_HELD);
    assert_int_equal(world_running_count(&w), 0);
    world_end(&w);
}

static void away_and_closed_waits_and_receives_nothing(void **state)
{
    (void)state;
    begin(true);
    bring();
    answer(SHARED_CLAIM, SHARED_FAULT);
    while (w.receive_count > 0) /* what was open already */
        world_bring(&w, 100, 0);
    world_pass(&w, 1000);
    assert_int_equal(w.receive_count, 0);
    assert_int_equal(world_running_count(&w), 0);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_non_null(v.hold);
    assert_non_null(strstr(v.hold, "store"));
    world_pass(&w, 2000);
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running_count(&w), 1);
    world_pass(&w, 100);
    assert_true(w.receive_count > 0);
    world_end(&w);
}

/* The delete waits for the store as long as the claim lasts, and no longer. */
static void a_store_that_is_away_at_the_ack(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_verdict(&w, "a", OUTCOME_ACK);
    int tries = 0;
    bool deleted = false;
    for (int64_t waited = 0; waited < 2 * CLAIM_MS && !deleted; waited += 1000) {
        if (call_count > 0) {
            answer(SHARED_DONE, SHARED_AWAY);
            tries++;
        }
        world_pass(&w, 1000);
        struct queue_batch *b;
        while ((b = world_take_batch(&w))) {
            deleted |= b->op == QUEUE_DELETE;
            b->done(b);
        }
        assert_true(deleted || waited <= CLAIM_MS + 1000);
        assert_true(!deleted || waited >= CLAIM_MS - 7000);
    }
    assert_true(deleted);
    assert_true(tries > 5);
    assert_int_equal(flow_counts(w.flow)->unfenced, 1);
    world_end(&w);
}

static void drain_frees_what_it_gives_back(void **state)
{
    (void)state;
    begin(false);
    bring();
    flow_drain(w.flow);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.parked, 0);
    answer(SHARED_CLAIM, SHARED_OK); /* it was on the wire */
    world_pass(&w, 5);
    world_answer_all(&w);
    world_pass(&w, 1100);
    assert_false(w.ended);
    answer(SHARED_FREE, SHARED_OK);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* Its request is on the wire: no other host may run its key before the claim expires by itself. */
static void time_up_leaves_the_claim_of_what_is_on_the_wire(void **state)
{
    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        begin(false);
        bring();
        answer(SHARED_CLAIM, SHARED_OK);
        if (sent)
            atomic_store(&world_running(&w, "a")->wire_until_ms, w.now_ms + 20000);
        flow_drain(w.flow);
        flow_drain(w.flow);
        assert_int_equal(call_count, !sent);
        if (!sent)
            answer(SHARED_FREE, SHARED_OK);
        world_answer_all(&w);
        world_end(&w);
    }
}

/* A run to the end of the queue: the store is told before the host leaves. */
static void the_end_waits_for_the_store(void **state)
{
    (void)state;
    struct flow_options o = claims_options(false);
    o.until_empty = true;
    begin_as(&o, 1, 10);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_running(&w, "a")->after_ms = 900000;
    world_verdict(&w, "a", OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->retried, 1);
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    answer(SHARED_FREE, SHARED_OK);
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_LEFT_LATER);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claimed_run_told_and_deleted),
        cmocka_unit_test(asking_at_once_leaves_no_timer_due),
        cmocka_unit_test(failure_frees),
        cmocka_unit_test(foreign_claim_is_waited_for),
        cmocka_unit_test(acked_elsewhere_is_deleted_unrun),
        cmocka_unit_test(renewed_at_half_a_lease),
        cmocka_unit_test(lost_claim_fences),
        cmocka_unit_test(ended_claim_fences_while_a_renewal_is_open),
        cmocka_unit_test(away_and_open_runs_unfenced),
        cmocka_unit_test(back_before_it_runs_is_asked),
        cmocka_unit_test(away_and_closed_waits_and_receives_nothing),
        cmocka_unit_test(a_store_that_is_away_at_the_ack),
        cmocka_unit_test(drain_frees_what_it_gives_back),
        cmocka_unit_test(time_up_leaves_the_claim_of_what_is_on_the_wire),
        cmocka_unit_test(the_end_waits_for_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
