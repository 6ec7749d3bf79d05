/* Stopping: what is given back at once, what the end waits for, and what is left when time is up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

static void begin(int slots)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, slots);
}

static void close_polls(void)
{
    while (w.receive_count > 0)
        world_bring(&w, 1, 0);
}

static void what_has_not_started_goes_back_at_once(void **state)
{
    (void)state;
    begin(1);
    world_bring(&w, 1, 3);
    assert_int_equal(world_running_count(&w), 1);
    flow_drain(w.flow);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    assert_int_equal(w.batches[0]->count, 2);
    assert_int_equal(w.batches[0]->entries[0].visibility_s, 0);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.buffered, 0);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->released, 2);
    world_end(&w);
}

/* However many there are, and whatever their names. */
static void what_waits_for_servers_goes_back(void **state)
{
    enum { SERVERS = 40 };
    (void)state;
    for (int round = 0; round < 30; round++) {
        begin(SERVERS);
        for (int first = 1; first < SERVERS; first += 10)
            world_bring(&w, first, 10);
        close_polls();
        for (int i = 1; i <= SERVERS; i++) {
            char id[20], server[40];
            snprintf(id, sizeof id, "m%d", i);
            snprintf(server, sizeof server, "http://server-%d-%d:80", round, i);
            world_target_failure(&w, id, server);
        }
        flow_drain(w.flow);
        struct flow_view v;
        flow_look(w.flow, &v);
        assert_int_equal(v.parked, 0);
        world_answer_all(&w);
        assert_int_equal(flow_counts(w.flow)->released, SERVERS);
        assert_true(w.ended);
        world_end(&w);
    }
}

static void nothing_in_hand_and_no_poll_ends_at_once(void **state)
{
    (void)state;
    begin(1);
    flow_pause(w.flow, true);
    close_polls();
    flow_drain(w.flow);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    flow_drain(w.flow); /* and not again */
    world_end(&w);
}

static void a_second_call_cuts_the_poll(void **state)
{
    (void)state;
    begin(1);
    flow_drain(w.flow);
    assert_int_equal(w.cancelled, 0);
    assert_false(w.ended);
    flow_drain(w.flow);
    assert_int_equal(w.cancelled, 1);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* The poll is looked at every second while something runs, and cut when nothing does. */
static void the_poll_is_cut_after_the_last_run(void **state)
{
    (void)state;
    begin(4);
    world_bring(&w, 1, 1);
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 1);
    flow_drain(w.flow);
    world_pass(&w, 1500);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    assert_false(w.ended);
    world_pass(&w, 490);
    assert_int_equal(w.cancelled, 0);
    world_pass(&w, 5);
    assert_int_equal(w.cancelled, 1);
    assert_true(w.ended);
    world_end(&w);
}

/* What is left are calls on the wire: they need nobody who receives. */
static void the_poll_is_cut_beside_a_settlement(void **state)
{
    (void)state;
    for (int time_up = 0; time_up < 2; time_up++) {
        begin(4);
        world_bring(&w, 1, 1);
        world_pass(&w, 100);
        assert_int_equal(w.receive_count, 1);
        flow_drain(w.flow);
        if (time_up) {
            flow_drain(w.flow);
        } else {
            world_verdict(&w, "m1", OUTCOME_ACK);
            world_pass(&w, 1000);
        }
        assert_int_equal(w.batch_count, 1);
        assert_int_equal(w.cancelled, 1);
        assert_false(w.ended);
        world_answer_all(&w);
        assert_true(w.ended);
        world_end(&w);
    }
}

/* Each is fenced, wherever the table has it. */
static void time_up_fences_all_that_runs(void **state)
{
    enum { MANY = 60 };
    (void)state;
    begin(MANY);
    for (int i = 0; i < MANY; i += 10)
        world_bring(&w, i, 10);
    assert_int_equal(world_running_count(&w), MANY);
    flow_drain(w.flow);
    world_pass(&w, 1);
    flow_drain(w.flow);
    assert_int_equal(w.cancels, MANY);
    list_for_each (node, &w.running)
        assert_true(atomic_load(&list_entry(node, struct job, node)->fence));
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->released, MANY);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_OUT_OF_TIME);
    world_end(&w);
}

/* Hidden until its request has ended, and a second more. */
static void time_up_hides_what_is_on_the_wire(void **state)
{
    static const struct {
        int64_t left_ms;
        int hidden_s;
    } cases[] = {{-5000, 0}, {0, 0}, {1, 2}, {1000, 2}, {1001, 3}, {20000, 21}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(1);
        world_bring(&w, 1, 1);
        atomic_store(&world_running(&w, "m1")->wire_until_ms, w.now_ms + cases[i].left_ms);
        flow_drain(w.flow);
        flow_drain(w.flow);
        assert_int_equal(w.batch_count, 1);
        assert_int_equal(w.batches[0]->entries[0].visibility_s, cases[i].hidden_s);
        world_answer_all(&w);
        assert_true(w.ended);
        assert_int_equal(w.end, FLOW_OUT_OF_TIME);
        world_end(&w);
    }
}

/* Its lease has lapsed: nothing is said to the queue any more, and nothing waited for. */
static void time_up_drops_what_is_lost(void **state)
{
    (void)state;
    begin(1);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    struct queue_batch *b = world_take_batch(&w);
    b->entries[0].ok = false;
    b->entries[0].sender_fault = true;
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    flow_drain(w.flow);
    assert_false(w.ended);
    flow_drain(w.flow);
    assert_int_equal(w.batch_count, 0);
    assert_true(w.ended);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_started_goes_back_at_once),
        cmocka_unit_test(what_waits_for_servers_goes_back),
        cmocka_unit_test(nothing_in_hand_and_no_poll_ends_at_once),
        cmocka_unit_test(a_second_call_cuts_the_poll),
        cmocka_unit_test(the_poll_is_cut_after_the_last_run),
        cmocka_unit_test(the_poll_is_cut_beside_a_settlement),
        cmocka_unit_test(time_up_fences_all_that_runs),
        cmocka_unit_test(time_up_hides_what_is_on_the_wire),
        cmocka_unit_test(time_up_drops_what_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
