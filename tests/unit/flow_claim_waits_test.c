/* Claims of messages that wait: for their turn in a group, to try a target, for a store that is
 * away; and the claim that stopping leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

#include "flow_claims.h"

/* Of a FIFO queue, all in one group. */
static void begin_fifo(void)
{
    struct flow_options o = claims_options(false);
    o.fifo = true;
    begin_as(&o, 1, 10);
}

/* It has failed and waits to run again in place; meanwhile another host takes its key: it runs
 * when the key is its own again. */
static void lost_while_it_waits_for_its_turn(void **state)
{
    (void)state;
    begin_fifo();
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_pass(&w, 14000);
    world_verdict(&w, "a", OUTCOME_RETRY);
    world_pass(&w, 1000);
    answer(SHARED_CLAIM, SHARED_HELD);
    assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
    assert_int_equal(call_count, 0);
    pass_extended(5000);
    assert_int_equal(world_running_count(&w), 0);
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running(&w, "a")->attempt, 2);
    world_end(&w);
}

/* The same, and the key was lost while it ran. */
static void lost_while_it_ran_before_its_turn(void **state)
{
    (void)state;
    begin_fifo();
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_pass(&w, 15000);
    answer(SHARED_CLAIM, SHARED_HELD);
    assert_int_equal(flow_counts(w.flow)->claims_lost, 1);
    world_verdict(&w, "a", OUTCOME_RETRY);
    pass_extended(6000);
    assert_int_equal(world_running_count(&w), 0);
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running(&w, "a")->attempt, 2);
    world_end(&w);
}

/* Another host has had its key for all of the hold: it stays, as the first of its group, and asks
 * again. It does not run because it has waited. */
static void given_up_in_a_group_it_asks_again(void **state)
{
    (void)state;
    begin_fifo();
    bring();
    int64_t waited = 0;
    for (; waited < 320000; waited += 1000) {
        while (call_count > 0)
            answer(SHARED_CLAIM, SHARED_HELD);
        pass_extended(1000);
        assert_int_equal(world_running_count(&w), 0);
    }
    assert_int_equal(flow_counts(w.flow)->retried, 0);
    while (call_count == 0 && waited++ < 330000)
        world_pass(&w, 1000);
    answer(SHARED_CLAIM, SHARED_OK);
    assert_int_equal(world_running_count(&w), 1);
    world_end(&w);
}

/* It was to try the target as soon as a slot is free. The next one does. */
static void lost_by_what_was_to_try_a_target(void **state)
{
    (void)state;
    struct flow_options o = claims_options(false);
    begin_as(&o, 3, 1);
    bring_some(3);
    for (int i = 0; i < 3; i++)
        answer(SHARED_CLAIM, SHARED_OK);
    flow_set_workers(w.flow, 1); /* which has `a` */
    world_target_failure(&w, "b", "http://t");
    world_target_failure(&w, "c", "http://t");
    pass_extended(15000);
    assert_int_equal(world_running_count(&w), 1);
    answer_claim_of("1", SHARED_OK);
    answer_claim_of("2", SHARED_HELD);
    answer_claim_of("3", SHARED_OK);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_non_null(world_running(&w, "c"));
    world_end(&w);
}

static bool asks(const char *key)
{
    for (int i = 0; i < call_count; i++)
        if (strcmp(calls[i]->key, key) == 0)
            return true;
    return false;
}

/* For so long the target fails what tries it, and the claims of `a` are renewed. Returns how often
 * it tried. */
static int fails_for(int64_t ms)
{
    int probes = 0;
    for (int64_t end = w.now_ms + ms; w.now_ms < end;) {
        pass_extended(100);
        if (asks("1"))
            answer_claim_of("1", SHARED_OK);
        if (!world_running(&w, "a"))
            continue;
        world_target_failure(&w, "a", "http://t");
        probes++;
    }
    return probes;
}

/* Its claim has run out and its renewal is not answered yet. Nothing is received to try the target
 * with before it has tried it, too, however often the other one has. */
static void what_waits_for_its_claim_has_not_tried(void **state)
{
    (void)state;
    begin(false);
    bring_some(2);
    answer(SHARED_CLAIM, SHARED_OK);
    answer(SHARED_CLAIM, SHARED_OK);
    for (int64_t waited = 0; waited < CLAIM_MS - 1000; waited += 1000) {
        pass_extended(1000);
        if (asks("1"))
            answer_claim_of("1", SHARED_OK);
    }
    assert_true(asks("2"));
    world_target_failure(&w, "a", "http://t");
    world_target_failure(&w, "b", "http://t");
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
    assert_in_range(fails_for(60000), 20, 40);
    assert_null(world_running(&w, "b"));
    assert_int_equal(w.receive_count, 0);
    answer_claim_of("2", SHARED_OK); /* counted from when it asked: over already */
    fails_for(1000);
    answer_claim_of("2", SHARED_OK);
    fails_for(5000);
    assert_non_null(world_running(&w, "b"));
    world_end(&w);
}

/* It may wait for its key as long as any other, however long it had it before. */
static void the_hold_begins_with_the_loss(void **state)
{
    (void)state;
    begin_with(false, 1);
    bring_some(2);
    answer(SHARED_CLAIM, SHARED_OK);
    answer(SHARED_CLAIM, SHARED_OK);
    for (int64_t waited = 0; waited < 301000; waited += 1000) {
        pass_extended(1000);
        while (call_count > 0)
            answer(SHARED_CLAIM, SHARED_OK);
    }
    while (call_count == 0)
        pass_extended(1000);
    answer_claim_of("2", SHARED_HELD);
    pass_extended(6000);
    assert_int_equal(flow_counts(w.flow)->retried, 0);
    answer_claim_of("2", SHARED_OK);
    world_end(&w);
}

static void counted_unfenced_once(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_AWAY);
    world_pass(&w, 3000);
    answer(SHARED_CLAIM, SHARED_OK);
    world_verdict(&w, "a", OUTCOME_ACK);
    flow_drain(w.flow);
    flow_drain(w.flow); /* the store has not said that it knows of the ack */
    assert_int_equal(flow_counts(w.flow)->unfenced, 1);
    answer(SHARED_DONE, SHARED_OK);
    world_answer_all(&w);
    world_end(&w);
}

/* What its request does may still come: no other host has the key before the claim has expired,
 * and nobody renews it. */
static void what_is_abandoned_is_not_renewed(void **state)
{
    (void)state;
    begin(false);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_pass(&w, 10000);
    atomic_store(&world_running(&w, "a")->wire_until_ms, w.now_ms + 20000);
    flow_drain(w.flow);
    flow_drain(w.flow);
    world_pass(&w, 9000);
    assert_false(w.ended);
    assert_int_equal(call_count, 0);
    world_answer_all(&w);
    assert_true(w.ended);
    world_end(&w);
}

/* A store that does not answer keeps nobody from leaving when time is up. */
static void what_cannot_be_freed_expires(void **state)
{
    (void)state;
    begin(true);
    bring();
    answer(SHARED_CLAIM, SHARED_OK);
    world_verdict(&w, "a", OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
    assert_int_equal(call_count, 1); /* the claim is to be freed */
    flow_drain(w.flow);
    world_pass(&w, 65000 + 9999);
    assert_false(w.ended);
    world_pass(&w, 1);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* The store is away, another key's call tries it, and the hold of the other host is over: it runs
 * there and then, whatever becomes of that call. */
static void unfenced_when_the_others_hold_is_over(void **state)
{
    (void)state;
    begin(false);
    w.random_set = true;
    bring_some(2);
    answer_claim_of("1", SHARED_HELD);
    answer_claim_of("2", SHARED_AWAY);
    assert_non_null(world_running(&w, "b"));
    while (call_count == 0 && !world_running(&w, "a"))
        world_pass(&w, 10);
    assert_int_equal(call_count, 1);
    assert_null(world_running(&w, "a"));
    for (int64_t waited = 0; waited < 20000; waited += 1000) {
        world_answer_all(&w);
        world_pass(&w, 1000);
    }
    assert_int_equal(call_count, 1);
    assert_non_null(world_running(&w, "a"));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_while_it_waits_for_its_turn),
        cmocka_unit_test(lost_while_it_ran_before_its_turn),
        cmocka_unit_test(given_up_in_a_group_it_asks_again),
        cmocka_unit_test(lost_by_what_was_to_try_a_target),
        cmocka_unit_test(what_waits_for_its_claim_has_not_tried),
        cmocka_unit_test(the_hold_begins_with_the_loss),
        cmocka_unit_test(counted_unfenced_once),
        cmocka_unit_test(what_is_abandoned_is_not_renewed),
        cmocka_unit_test(what_cannot_be_freed_expires),
        cmocka_unit_test(unfenced_when_the_others_hold_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
