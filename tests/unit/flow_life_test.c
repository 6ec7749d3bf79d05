/* A message's life through the shipped flow/, step by step under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

static void begin(int workers, int slots)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, workers, slots);
}

static void acked_message_is_deleted_once(void **state)
{
    (void)state;
    begin(1, 4);
    assert_int_equal(w.receives[0]->wait_s, 0); /* the first poll tells at once */
    assert_int_equal(w.receives[0]->max, 4);
    world_bring(&w, 1, 2);
    assert_true(w.ready);
    assert_int_equal(world_running_count(&w), 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    assert_int_equal(w.batch_count, 0); /* lingers */
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    assert_int_equal(w.batches[0]->count, 2);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1");
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    world_pass(&w, 60000);
    assert_int_equal(w.batch_count, 0);
    world_end(&w);
}

static void receives_only_for_free_slots(void **state)
{
    (void)state;
    begin(2, 3);
    world_bring(&w, 1, 6);
    world_pass(&w, 1000);
    assert_int_equal(world_running_count(&w), 6);
    assert_int_equal(w.receive_count, 0);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(w.receives[0]->max, 2); /* the free slot, and a second's work ahead */
    world_end(&w);
}

static void failed_message_runs_again_and_its_key_is_free(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    assert_in_range(w.batches[0]->entries[0].visibility_s, 1, 5);
    world_answer_all(&w);
    assert_int_equal(dedupe_count(w.dedupe), 0);
    world_bring_one(&w, "m1", "h1b", 2);
    assert_non_null(world_running(&w, "m1"));
    assert_int_equal(world_running(&w, "m1")->attempt, 2);
    world_end(&w);
}

static void handlers_wish_is_clamped(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 2);
    world_running(&w, "m1")->after_ms = 99999999;
    world_running(&w, "m2")->after_ms = 0;
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_verdict(&w, "m2", OUTCOME_RETRY);
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->entries[0].visibility_s, 43140);
    assert_int_equal(w.batches[0]->entries[1].visibility_s, 0);
    world_end(&w);
}

static void retries_go_ten_a_call(void **state)
{
    (void)state;
    begin(1, 20);
    world_bring(&w, 1, 10);
    for (int i = 1; i <= 10; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        assert_int_equal(w.batch_count, 0);
        world_verdict(&w, id, OUTCOME_RETRY);
    }
    assert_int_equal(w.batch_count, 1); /* a full batch does not linger */
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    assert_int_equal(w.batches[0]->count, 10);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->retried, 10);
    world_end(&w);
}

/* A server that is overloaded for a minute and says "in a second" each time: the backoff grows all
 * the same, or the message would be out of receives before the minute is over. */
static void a_failures_wish_comes_on_top_of_the_backoff(void **state)
{
    (void)state;
    for (int receives = 1; receives <= 6; receives += 5) {
        begin(1, 4);
        world_bring_one(&w, "m1", "h1", receives);
        world_running(&w, "m1")->after_ms = 1000;
        world_running(&w, "m1")->after_least = true;
        world_verdict(&w, "m1", OUTCOME_RETRY);
        world_pass(&w, 5);
        int half_s = receives == 1 ? 2 : 80;
        assert_in_range(w.batches[0]->entries[0].visibility_s, 1 + half_s, 2 + half_s);
        world_end(&w);
    }
}

static void acked_key_is_deleted_unrun(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring_one(&w, "m1", "h1b", 2); /* the delete did not take */
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1b");
    assert_int_equal(flow_counts(w.flow)->deleted_unrun, 0);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    assert_int_equal(flow_counts(w.flow)->deleted_unrun, 1);
    world_end(&w);
}

static void redelivery_in_hand_renews_the_handle(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_bring_one(&w, "m1", "newer", 2);
    assert_int_equal(world_running_count(&w), 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    assert_string_equal(w.batches[0]->entries[0].handle, "newer");
    /* and again while the delete is on the wire: that one may not have deleted */
    world_bring_one(&w, "m1", "newest", 3);
    struct queue_batch *b = world_take_batch(&w);
    b->done(b);
    world_pass(&w, 5);
    assert_int_equal(flow_counts(w.flow)->acked, 0);
    assert_string_equal(w.batches[0]->entries[0].handle, "newest");
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 1);
    world_end(&w);
}

static void failed_entry_is_tried_again(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 3);
    for (int i = 1; i <= 3; i++)
        world_verdict(&w, (const char *[]){"m1", "m2", "m3"}[i - 1], OUTCOME_ACK);
    world_pass(&w, 5);
    struct queue_batch *b = world_take_batch(&w);
    b->entries[1].ok = false; /* not our fault */
    b->entries[2].ok = false;
    b->entries[2].sender_fault = true;
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->acked, 1);
    world_pass(&w, 200);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->count, 1);
    assert_string_equal(w.batches[0]->entries[0].handle, "h2");
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    assert_int_equal(flow_counts(w.flow)->entries_failed, 2);
    world_end(&w);
}

static void leases_are_extended_at_half_life(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    world_pass(&w, 14999);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    assert_int_equal(w.batches[0]->count, 2);
    assert_int_equal(w.batches[0]->entries[0].visibility_s, 30);
    world_pass(&w, 1000);
    world_answer_all(&w);
    /* counted from when it was sent, not from its answer */
    world_pass(&w, 13999);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    world_end(&w);
}

static void settle_waits_for_the_extension_on_the_wire(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    assert_int_equal(w.batch_count, 1);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_pass(&w, 1000);
    assert_int_equal(w.batch_count, 1); /* still only the extension */
    world_answer_all(&w);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1);
    assert_in_range(w.batches[0]->entries[0].visibility_s, 1, 5);
    world_end(&w);
}

static void lapsed_lease_is_lost_and_never_done(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    atomic_store(&world_running(&w, "m2")->wire_until_ms, WIRE_ANSWERED);
    world_pass(&w, 15000);
    struct queue_batch *b = world_take_batch(&w);
    b->result.status = QUEUE_UNREACHABLE;
    b->done(b);
    for (int i = 0; i < 20; i++) {
        world_pass(&w, 1000);
        while ((b = world_take_batch(&w))) {
            b->result.status = QUEUE_UNREACHABLE;
            b->done(b);
        }
    }
    assert_int_equal(flow_counts(w.flow)->lease_lost, 2);
    assert_true(atomic_load(&world_running(&w, "m1")->fence));  /* had sent nothing */
    assert_false(atomic_load(&world_running(&w, "m2")->fence)); /* finishes */
    world_verdict(&w, "m1", OUTCOME_RELEASE);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1); /* one delete, and nothing for m1 */
    assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 0);
    world_bring_one(&w, "m2", "h2b", 2); /* remembered: deleted unrun */
    assert_null(world_running(&w, "m2"));
    world_end(&w);
}

static void start_up_failures(void **state)
{
    (void)state;
    begin(1, 2);
    world_refuse(&w, QUEUE_MISSING);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_REFUSED);
    world_end(&w);

    begin(1, 2);
    while (!w.ended && w.now_ms < 1000000 + 100000) {
        if (w.receive_count)
            world_refuse(&w, QUEUE_UNREACHABLE);
        world_pass(&w, 500);
    }
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_UNREACHABLE);
    assert_in_range(w.now_ms, 1000000 + 60000, 1000000 + 85000);
    world_end(&w);

    begin(1, 2); /* later on the same is no reason to leave */
    world_bring(&w, 1, 0);
    world_refuse(&w, QUEUE_MISSING);
    world_pass(&w, 29000);
    assert_int_equal(w.receive_count, 0);
    world_pass(&w, 2000);
    assert_int_equal(w.receive_count, 1);
    assert_false(w.ended);
    world_end(&w);
}

static void drain_gives_back_finishes_and_leaves(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    flow_drain(w.flow);
    world_pass(&w, 2000);
    assert_false(w.ended);
    assert_int_equal(w.receive_count, 0);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_RETRY);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 2);
    world_answer_all(&w);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

static void open_poll_is_left_a_second(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_pass(&w, 30);
    assert_int_equal(w.receive_count, 1);
    flow_drain(w.flow);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 500);
    world_answer_all(&w);
    assert_false(w.ended);
    world_bring(&w, 5, 1); /* what it still brings is given back unrun */
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 5);
    assert_int_equal(w.batches[0]->entries[0].visibility_s, 0);
    world_answer_all(&w);
    assert_true(w.ended);
    world_end(&w);
}

static void open_poll_is_not_cut_while_work_is_in_hand(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_pass(&w, 30);
    flow_drain(w.flow);
    world_pass(&w, 5000);
    assert_int_equal(w.cancelled, 0);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_pass(&w, 1000);
    assert_int_equal(w.cancelled, 1);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* Time is up with nothing running: the acks on the wire are waited for, once. */
static void time_up_still_flushes(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.drain_ms = 2000;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 1);
    flow_drain(w.flow);
    world_pass(&w, 1990);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 1000);
    assert_false(w.ended);
    for (int i = 0; i < 3; i++) /* more signals change nothing */
        flow_drain(w.flow);
    world_answer_all(&w);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    assert_int_equal(flow_counts(w.flow)->acked, 1);
    world_end(&w);

    world_begin(&w, &o, 1, 4); /* and not for ever */
    world_bring(&w, 1, 1);
    flow_drain(w.flow);
    world_pass(&w, 1990);
    world_verdict(&w, "m1", OUTCOME_ACK);
    for (int i = 0; i < 4; i++) {
        world_pass(&w, 3000);
        flow_drain(w.flow);
    }
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_OUT_OF_TIME);
    world_end(&w);
}

static void long_visibility_is_extended_too(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.visibility_s = 30000;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000 * 1000);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->entries[0].visibility_s, 43140 - 15000);
    world_answer_all(&w);
    world_pass(&w, 28000 * 1000);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 0);
    world_pass(&w, 1000 * 1000); /* twelve hours are twelve hours */
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_end(&w);
}

static void time_up_respects_the_wire(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 3);
    flow_drain(w.flow);
    atomic_store(&world_running(&w, "m1")->wire_until_ms, w.now_ms + 7500);
    atomic_store(&world_running(&w, "m2")->wire_until_ms, WIRE_ANSWERED);
    flow_drain(w.flow); /* second signal */
    struct queue_batch *b = NULL;
    int seen = 0;
    while ((b = world_take_batch(&w))) {
        for (int i = 0; i < b->count; i++) {
            int expected = strcmp(b->entries[i].handle, "h1") == 0 ? 9 : 0;
            assert_int_equal(b->entries[i].visibility_s, expected);
            seen++;
        }
        b->done(b);
    }
    assert_int_equal(seen, 3);
    assert_int_equal(w.cancels, 3);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_OUT_OF_TIME);
    world_end(&w);
}

static void until_empty_ends_after_a_whole_empty_poll(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 0); /* the first one does not wait, so it proves nothing */
    assert_false(w.ended);
    assert_int_equal(w.receives[0]->wait_s, 5);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 1, 0); /* a retry of ours is due within `patience` */
    assert_false(w.ended);
    world_pass(&w, 5000);
    world_bring_one(&w, "m1", "h1b", 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 1, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

static void until_empty_leaves_what_is_far_off(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT); /* retried at the cap: 900 s */
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring(&w, 1, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_LEFT_LATER);
    assert_non_null(strstr(w.end_text, "1 left for later"));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acked_message_is_deleted_once),
        cmocka_unit_test(receives_only_for_free_slots),
        cmocka_unit_test(failed_message_runs_again_and_its_key_is_free),
        cmocka_unit_test(handlers_wish_is_clamped),
        cmocka_unit_test(retries_go_ten_a_call),
        cmocka_unit_test(a_failures_wish_comes_on_top_of_the_backoff),
        cmocka_unit_test(acked_key_is_deleted_unrun),
        cmocka_unit_test(redelivery_in_hand_renews_the_handle),
        cmocka_unit_test(failed_entry_is_tried_again),
        cmocka_unit_test(leases_are_extended_at_half_life),
        cmocka_unit_test(settle_waits_for_the_extension_on_the_wire),
        cmocka_unit_test(lapsed_lease_is_lost_and_never_done),
        cmocka_unit_test(open_poll_is_not_cut_while_work_is_in_hand),
        cmocka_unit_test(time_up_still_flushes),
        cmocka_unit_test(long_visibility_is_extended_too),
        cmocka_unit_test(start_up_failures),
        cmocka_unit_test(drain_gives_back_finishes_and_leaves),
        cmocka_unit_test(open_poll_is_left_a_second),
        cmocka_unit_test(time_up_respects_the_wire),
        cmocka_unit_test(until_empty_ends_after_a_whole_empty_poll),
        cmocka_unit_test(until_empty_leaves_what_is_far_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
