/* Which worker runs a message, and how many of them may. */
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

static int worker_of(const char *id)
{
    struct job *job = world_running(&w, id);
    assert_non_null(job);
    return job->worker;
}

static struct flow_load load(void)
{
    struct flow_load l;
    flow_look_at_load(w.flow, &l);
    return l;
}

/* A worker that is awake costs less than waking another (architecture, Speed). */
static void an_awake_worker_is_filled_first(void **state)
{
    (void)state;
    begin(3, 2);
    world_bring(&w, 1, 5);
    assert_int_equal(worker_of("m1"), 0); /* the lowest: the scaler takes away from the top */
    assert_int_equal(worker_of("m2"), 0);
    assert_int_equal(worker_of("m3"), 1);
    assert_int_equal(worker_of("m4"), 1);
    assert_int_equal(worker_of("m5"), 2);
    assert_int_equal(flow_worker_running(w.flow, 0), 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_bring(&w, 6, 1);
    assert_int_equal(worker_of("m6"), 2); /* though 0 is idle */
    assert_int_equal(flow_worker_running(w.flow, 0), 0);
    assert_int_equal(flow_worker_running(w.flow, 1), 2);
    assert_int_equal(flow_worker_running(w.flow, 2), 2);
    assert_int_equal(flow_worker_running(w.flow, 3), 0); /* there is none */
    assert_int_equal(flow_worker_running(w.flow, -1), 0);
    world_end(&w);
}

static void at_least_one_worker_and_no_more_than_there_are(void **state)
{
    static const struct {
        int told, slots;
    } cases[] = {{-1, 2}, {0, 2}, {1, 2}, {2, 4}, {3, 6}, {4, 6}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_view v;
        begin(3, 2);
        flow_set_workers(w.flow, cases[i].told);
        flow_look(w.flow, &v);
        assert_int_equal(v.slots, cases[i].slots);
        world_end(&w);
    }
}

/* Nothing else happens: the worker that is back runs what waits, and more is received for it. */
static void more_workers_begin_at_once(void **state)
{
    (void)state;
    begin(2, 2);
    flow_set_workers(w.flow, 1);
    world_bring(&w, 1, 3); /* asked for while there were two */
    assert_int_equal(world_running_count(&w), 2);
    assert_int_equal(w.receive_count, 0);
    world_pass(&w, 1000);
    flow_set_workers(w.flow, 2);
    assert_int_equal(worker_of("m3"), 1);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

/* By it the scaler knows that more workers would have had work. */
static void slots_that_were_full_are_remembered_until_looked_at(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    assert_false(load().slots_full);
    world_bring(&w, 2, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    assert_true(load().slots_full); /* they were */
    assert_false(load().slots_full);
    world_end(&w);
}

static void slots_that_are_full_stay_so(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    assert_true(load().slots_full);
    assert_true(load().slots_full);
    world_verdict(&w, "m1", OUTCOME_ACK);
    assert_true(load().slots_full);
    assert_false(load().slots_full);
    world_end(&w);
}

/* A worker is stuck: the other's slots are all there are, and a message waits for one. */
static void no_slot_is_free_while_a_worker_is_stuck(void **state)
{
    (void)state;
    begin(2, 1);
    world_bring(&w, 1, 1);
    assert_int_equal(worker_of("m1"), 0);
    flow_worker_stuck(w.flow, 1);
    load();
    assert_false(load().slots_full);
    world_bring(&w, 2, 1);
    assert_null(world_running(&w, "m2"));
    assert_true(load().slots_full);
    flow_worker_back(w.flow, 1);
    assert_int_equal(worker_of("m2"), 1);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_awake_worker_is_filled_first),
        cmocka_unit_test(at_least_one_worker_and_no_more_than_there_are),
        cmocka_unit_test(more_workers_begin_at_once),
        cmocka_unit_test(slots_that_were_full_are_remembered_until_looked_at),
        cmocka_unit_test(slots_that_are_full_stay_so),
        cmocka_unit_test(no_slot_is_free_while_a_worker_is_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
