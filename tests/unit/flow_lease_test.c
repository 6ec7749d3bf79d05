/* Leases: what an extension's answer changes, and what a lapse leaves behind. */
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

static void refused(void)
{
    struct queue_batch *b = world_take_batch(&w);
    b->entries[0].ok = false;
    b->entries[0].sender_fault = true;
    b->done(b);
}

/* The handle is not good any more: the lease is lost there and then, and once. */
static void a_refused_extension_is_the_end(void **state)
{
    (void)state;
    begin(1);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    refused();
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    assert_int_equal(flow_counts(w.flow)->extensions_refused, 1);
    assert_int_equal(flow_counts(w.flow)->extensions_failed, 0);
    assert_true(atomic_load(&world_running(&w, "m1")->lease_lost));
    world_pass(&w, 120000);
    assert_int_equal(w.batch_count, 0);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_end(&w);
}

/* Tried again every second, and once more when the lease ends: no answer came, so nothing is lost
 * before. */
static void a_failed_extension_is_tried_again(void **state)
{
    (void)state;
    begin(1);
    world_bring(&w, 1, 1);
    world_pass(&w, 15000);
    for (int i = 1; i <= 15; i++) {
        struct queue_batch *b = world_take_batch(&w);
        assert_non_null(b);
        b->result.status = i % 2 ? QUEUE_UNREACHABLE : QUEUE_OK;
        b->entries[0].ok = false; /* not our fault */
        b->done(b);
        assert_int_equal(flow_counts(w.flow)->extensions_failed, i);
        world_pass(&w, 999);
        assert_int_equal(w.batch_count, 0);
        assert_int_equal(flow_counts(w.flow)->lease_lost, 0);
        world_pass(&w, 1);
    }
    assert_int_equal(w.batch_count, 0);
    assert_int_equal(flow_counts(w.flow)->extensions_refused, 0);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_end(&w);
}

/* It was delivered again while an extension of its older handle was on the wire: the answer gives
 * nothing to the new lease, which is extended as soon as the wire is free. */
static void the_answer_to_an_older_handle(void **state)
{
    (void)state;
    for (int lapsed = 0; lapsed < 2; lapsed++) {
        begin(2);
        world_bring(&w, 1, 1);
        world_pass(&w, 15000);
        struct queue_batch *older = world_take_batch(&w);
        world_bring_one(&w, "m1", "h1b", 2);
        world_pass(&w, lapsed ? 31000 : 17000);
        assert_int_equal(w.batch_count, 0);
        older->sent_ms = w.now_ms;
        older->done(older);
        assert_int_equal(flow_counts(w.flow)->lease_lost, lapsed);
        world_pass(&w, 1);
        assert_int_equal(w.batch_count, !lapsed);
        if (!lapsed) {
            assert_string_equal(w.batches[0]->entries[0].handle, "h1b");
            world_pass(&w, 12990);
            assert_int_equal(flow_counts(w.flow)->lease_lost, 0);
            world_pass(&w, 60);
            assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        }
        world_end(&w);
    }
}

/* What is due within a tenth of a lease goes along. */
static void extensions_go_together(void **state)
{
    (void)state;
    for (int later = 0; later < 2; later++) {
        begin(4);
        world_bring(&w, 1, 1);
        int64_t first_ms = w.now_ms;
        struct queue_receive *r = world_take_receive(&w);
        world_pass(&w, first_ms + 3000 + later - w.now_ms);
        r->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
        r->first_byte_ms = w.now_ms;
        list_append(&r->jobs, &world_job("m2", "h2", 1)->node);
        r->done(r);
        world_pass(&w, first_ms + 15000 - w.now_ms);
        assert_int_equal(w.batch_count, 1);
        assert_int_equal(w.batches[0]->count, 2 - later);
        world_end(&w);
    }
}

/* --until-empty: what lapses before it ran will be shown again. */
static void a_lapse_is_waited_for(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    o.patience_ms = 1000;
    world_begin(&w, &o, 1, 1);
    world_bring(&w, 1, 2);
    while (w.receive_count > 0)
        world_bring(&w, 1, 0);
    world_pass(&w, 15000);
    struct queue_batch *b = world_take_batch(&w);
    assert_int_equal(b->count, 2);
    int second = strcmp(b->entries[1].handle, "h2") == 0;
    b->entries[second].ok = false;
    b->entries[second].sender_fault = true;
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    while (!w.ended && w.receive_count > 0)
        world_bring(&w, 1, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_LEFT_LATER);
    world_end(&w);
}

/* The lease seemed lost, and was not: SQS had extended it. */
static void a_late_answer_restores_the_lease(void **state)
{
    (void)state;
    begin(1);
    world_bring(&w, 1, 1);
    atomic_store(&world_running(&w, "m1")->wire_until_ms, WIRE_ANSWERED);
    world_pass(&w, 31000);
    assert_true(atomic_load(&world_running(&w, "m1")->lease_lost));
    world_answer_all(&w);
    assert_false(atomic_load(&world_running(&w, "m1")->lease_lost));
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 1);
    world_end(&w);
}

/* It waited for the next try of its copy: its place is free at once, and a drain that waited for
 * nothing else ends. */
static void a_refused_extension_frees_its_place(void **state)
{
    (void)state;
    for (int draining = 0; draining < 2; draining++) {
        world_begin_copying(&w);
        while (w.batch_count == 0) {
            if (w.copy_count > 0)
                world_copied(&w, QUEUE_BUSY);
            world_pass(&w, 10);
        }
        if (draining)
            flow_drain(w.flow);
        world_pass(&w, 1100);
        assert_int_equal(w.copy_count + w.receive_count, 0);
        assert_false(w.ended);
        refused();
        assert_int_equal(w.receive_count, !draining);
        assert_int_equal(w.ended, draining);
        world_end(&w);
    }
}

/* Two deliveries with one receive count, which is approximate: the later handle is taken. */
static void an_equal_receive_count_is_newer(void **state)
{
    (void)state;
    begin(2);
    world_bring(&w, 1, 1);
    world_bring_one(&w, "m1", "h1b", 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1b");
    world_answer_all(&w);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_extension_is_the_end),
        cmocka_unit_test(a_failed_extension_is_tried_again),
        cmocka_unit_test(the_answer_to_an_older_handle),
        cmocka_unit_test(extensions_go_together),
        cmocka_unit_test(a_lapse_is_waited_for),
        cmocka_unit_test(an_equal_receive_count_is_newer),
        cmocka_unit_test(a_late_answer_restores_the_lease),
        cmocka_unit_test(a_refused_extension_frees_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
