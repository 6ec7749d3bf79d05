/* What a lost lease gives free: a place, a key, the try of a target, the end of a drain. By a
 * refused extension, and by the clock, when no answer comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow/state.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

/* The oldest call on the wire is an extension; the queue refuses that handle. */
static void refuse(const char *handle)
{
    struct queue_batch *b = world_take_batch(&w);
    for (int i = 0; i < b->count; i++)
        if (strcmp(b->entries[i].handle, handle) == 0) {
            b->entries[i].ok = false;
            b->entries[i].sender_fault = true;
        }
    b->done(b);
}

/* It was to try the target as soon as a slot is free: the next one does. */
static void of_what_was_to_try_a_target(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    world_begin(&w, &o, 3, 1);
    world_bring(&w, 1, 3);
    flow_set_workers(w.flow, 1); /* which has m1 */
    world_target_failure(&w, "m2", "http://t");
    world_target_failure(&w, "m3", "http://t");
    world_pass(&w, 15000);
    refuse("h2");
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    assert_non_null(world_running(&w, "m3"));
    world_end(&w);
}

static void bring(const char *id, const char *group)
{
    struct queue_receive *r = world_take_answer(&w);
    struct job *job = world_job_with(id, "{\"k\":1}", NULL);
    job->group = group;
    list_append(&r->jobs, &job->node);
    r->done(r);
}

/* It waited for its turn in its group, and another group's message for its key. */
static void of_the_holder_of_a_key(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        struct flow_options o = world_options();
        o.fifo = true;
        o.key = "/k";
        world_begin(&w, &o, 1, 4);
        flow_pause(w.flow, true);
        bring("a", "one");
        flow_pause(w.flow, false);
        world_pass(&w, 10000);
        bring("b", "two");
        flow_pause(w.flow, true);
        world_pass(&w, refused ? 4900 : 19900);
        world_verdict(&w, "a", OUTCOME_RETRY);
        assert_int_equal(world_running_count(&w), 0);
        world_pass(&w, 100);
        if (refused)
            refuse("h-a");
        assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        assert_non_null(world_running(&w, "b"));
        world_end(&w);
    }
}

/* It waited for the next try of its copy. */
static void of_the_last_one_of_a_drain(void **state)
{
    (void)state;
    for (int draining = 0; draining < 2; draining++) {
        world_begin_copying(&w);
        for (int64_t passed = 0; passed < 29900; passed += 100) {
            if (w.copy_count > 0)
                world_copied(&w, QUEUE_BUSY);
            if (draining && passed == 25000)
                flow_drain(w.flow);
            world_pass(&w, 100);
        }
        assert_int_equal(w.copy_count, 0);
        assert_false(w.ended);
        world_pass(&w, 100);
        assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        assert_int_equal(w.ended, draining);
        world_end(&w);
    }
}

/* It was running: with its verdict nothing is left to wait for. */
static void of_the_last_run_of_a_drain(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, 1);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    flow_drain(w.flow);
    world_pass(&w, 15100); /* and no answer to its extension */
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    assert_false(w.ended);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    assert_true(w.ended);
    world_end(&w);
}

/* Its settlement waited for an extension that was answered too late. What hides or shows it with
 * the old handle could end the lease of whoever has it by now; a delete could not do any harm. */
static void before_the_queue_was_told(void **state)
{
    (void)state;
    for (int acked = 0; acked < 2; acked++) {
        struct flow_options o = world_options();
        world_begin(&w, &o, 1, 1);
        world_bring(&w, 1, 1);
        world_pass(&w, 15000);
        world_verdict(&w, "m1", acked ? OUTCOME_ACK : OUTCOME_RETRY);
        flow_drain(w.flow);
        world_pass(&w, 15100);
        struct queue_batch *b = world_take_batch(&w);
        assert_int_equal(b->entries[0].visibility_s, 30);
        assert_int_equal(w.batch_count, 0);
        b->result.status = QUEUE_UNREACHABLE;
        b->done(b);
        assert_false(w.ended);
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, acked);
        world_answer_all(&w);
        assert_true(w.ended);
        assert_int_equal(flow_counts(w.flow)->retried, 0);
        world_end(&w);
    }
}

/* m1 is to be given back, once its extension is answered. */
static void begin_waiting_for_an_extension(const struct flow_options *o)
{
    world_begin(&w, o, 1, 1);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    world_verdict(&w, "m1", OUTCOME_RETRY);
}

static void the_extension_is_lost(struct queue_batch *b)
{
    b->result.status = QUEUE_UNREACHABLE;
    b->done(b);
}

/* Five milliseconds after the answer, which is the last that the lease has, or the one too late. */
static void in_the_last_moment(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    for (int late = 0; late < 2; late++) {
        begin_waiting_for_an_extension(&o);
        world_pass(&w, 14994 + late);
        the_extension_is_lost(world_take_batch(&w));
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, !late);
        world_end(&w);
    }
}

/* It comes again by itself. */
static void a_run_to_the_end_waits_for_it(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    begin_waiting_for_an_extension(&o);
    world_pass(&w, 15100);
    the_extension_is_lost(world_take_batch(&w));
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 0);
    world_bring(&w, 0, 0);
    assert_false(w.ended);
    world_end(&w);
}

/* A host that runs for a year looks at its leases often. */
static void calls_take_no_memory_afterwards(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, 2);
    world_bring(&w, 1, 2);
    for (int i = 0; i < 100; i++) {
        world_pass(&w, 1000);
        world_answer_all(&w);
        assert_true(list_empty(&w.flow->calls));
    }
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_RETRY);
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 2);
    world_answer_all(&w);
    assert_true(list_empty(&w.flow->calls));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_was_to_try_a_target),
        cmocka_unit_test(of_the_holder_of_a_key),
        cmocka_unit_test(of_the_last_one_of_a_drain),
        cmocka_unit_test(of_the_last_run_of_a_drain),
        cmocka_unit_test(before_the_queue_was_told),
        cmocka_unit_test(in_the_last_moment),
        cmocka_unit_test(a_run_to_the_end_waits_for_it),
        cmocka_unit_test(calls_take_no_memory_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
