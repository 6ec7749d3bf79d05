/* Messages with one key, step by step: one at a time, and what becomes of those that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/table.h"
#include "flow/state.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

static void begin_with(const char *key, int slots)
{
    struct flow_options o = world_options();
    o.key = key;
    world_begin(&w, &o, 1, slots);
}

static void begin(void)
{
    begin_with("/k", 10);
}

static void bring(const char *id, const char *body)
{
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with(id, body, NULL)->node);
    r->done(r);
}

/* Answers all calls; whether one of them told the queue `op` of the message. */
static bool told(const char *id, enum queue_op op)
{
    char handle[40];
    bool found = false;
    struct queue_batch *b;
    snprintf(handle, sizeof handle, "h-%s", id);
    world_pass(&w, 5);
    while ((b = world_take_batch(&w))) {
        for (int i = 0; i < b->count; i++)
            found |= b->op == op && strcmp(b->entries[i].handle, handle) == 0;
        b->done(b);
    }
    return found;
}

static void waits_and_is_deleted_unrun(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1}");
    bring("b", "{\"k\":1}");
    bring("c", "{\"k\":1}");
    assert_int_equal(world_running_count(&w), 1);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_int_equal(world_running_count(&w), 0);
    assert_int_equal(flow_counts(w.flow)->duplicates, 2);
    assert_true(told("b", QUEUE_DELETE));
    assert_int_equal(flow_counts(w.flow)->acked, 3);
    assert_int_equal(dedupe_claimed(w.dedupe), 0);
    world_end(&w);
}

static void runs_when_the_first_has_failed(void **state)
{
    (void)state;
    static const enum outcome failures[] = {OUTCOME_RETRY, OUTCOME_REJECT, OUTCOME_RELEASE};
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        begin();
        bring("a", "{\"k\":\"x\"}");
        bring("b", "{\"k\":\"x\"}");
        bring("c", "{\"k\":\"x\"}");
        world_verdict(&w, "a", failures[i]);
        assert_int_equal(world_running_count(&w), 1);
        assert_non_null(world_running(&w, "b")); /* the oldest of them */
        assert_int_equal(world_running(&w, "b")->attempt, 1);
        world_verdict(&w, "b", OUTCOME_ACK);
        assert_true(told("c", QUEUE_DELETE));
        bring("a", "{\"k\":\"x\"}"); /* what had failed is a duplicate now */
        assert_int_equal(world_running_count(&w), 0);
        world_end(&w);
    }
}

static void other_body_waits_and_runs(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1,\"v\":1}");
    bring("b", "{\"k\":1,\"v\":2}");
    bring("c", "{\"k\":1,\"v\":1}");
    assert_int_equal(world_running_count(&w), 1);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_non_null(world_running(&w, "b"));
    world_verdict(&w, "b", OUTCOME_ACK);
    assert_int_equal(world_running_count(&w), 0);
    assert_true(told("c", QUEUE_DELETE)); /* acked before `b` was */
    world_end(&w);
}

static void other_keys_do_not_wait(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1}");
    bring("b", "{\"k\":2}");
    bring("c", "{\"k\":null}");
    bring("d", "no json");
    bring("e", "{\"k\":null}");
    assert_int_equal(world_running_count(&w), 5);
    assert_int_equal(flow_counts(w.flow)->keyless, 3);
    world_end(&w);
}

static void each_message_id_is_its_own_key(void **state)
{
    (void)state;
    begin_with("message_id", 10);
    bring("a", "{\"k\":1}");
    bring("b", "{\"k\":1}");
    assert_int_equal(world_running_count(&w), 2);
    assert_int_equal(flow_counts(w.flow)->keyless, 0);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_true(told("a", QUEUE_DELETE));
    bring("a", "{\"k\":1}");
    assert_true(told("a", QUEUE_DELETE));
    assert_int_equal(flow_counts(w.flow)->acked_before, 1);
    world_end(&w);
}

static void deduplication_id_is_a_key(void **state)
{
    (void)state;
    begin_with("deduplication_id", 10);
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with("a", "same", "D1")->node);
    list_append(&r->jobs, &world_job_with("b", "same", "D1")->node);
    list_append(&r->jobs, &world_job_with("c", "same", "D2")->node);
    list_append(&r->jobs, &world_job_with("d", "same", NULL)->node);
    r->done(r);
    assert_int_equal(world_running_count(&w), 3);
    assert_null(world_running(&w, "b"));
    assert_int_equal(flow_counts(w.flow)->keyless, 1);
    world_end(&w);
}

/* It is in hand: intake counts it, its lease goes on, and a drain gives it back. */
static void waits_under_its_lease(void **state)
{
    (void)state;
    begin_with("/k", 2);
    bring("a", "{\"k\":1}");
    bring("b", "{\"k\":1}");
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 0); /* two slots, two in hand */
    for (int i = 0; i < 10; i++) {
        world_pass(&w, 14000);
        world_answer_all(&w);
    }
    assert_int_equal(flow_counts(w.flow)->lease_lost, 0);
    assert_true(flow_counts(w.flow)->extensions >= 16);
    flow_drain(w.flow);
    assert_true(told("b", QUEUE_CHANGE));
    assert_int_equal(flow_counts(w.flow)->released, 1);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_true(told("a", QUEUE_DELETE));
    world_pass(&w, 1100);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* A number whose key has a hash that ends in ten bits like these: at that end of the table. */
static int key_at_end(uint64_t bits)
{
    char text[20];
    for (int i = 0;; i++) {
        snprintf(text, sizeof text, "%d", i);
        if ((hash_bytes(text, strlen(text)) & 1023) == bits)
            return i;
    }
}

static void a_drain_gives_back_all_that_wait(void **state)
{
    (void)state;
    static const uint64_t ends[] = {0, 1023};
    for (size_t i = 0; i < 2; i++) {
        char body[40];
        begin();
        snprintf(body, sizeof body, "{\"k\":%d}", key_at_end(ends[i]));
        bring("a", body);
        bring("b", body);
        flow_drain(w.flow);
        struct flow_view v;
        flow_look(w.flow, &v);
        assert_int_equal(v.parked, 0);
        assert_int_equal(v.settling, 1);
        assert_true(told("b", QUEUE_CHANGE));
        world_end(&w);
    }
}

/* A host that runs for a year sees many keys. */
static void a_key_that_nobody_has_takes_no_memory(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1}");
    bring("b", "{\"k\":1}");
    assert_int_equal(w.flow->keys.by_text.count, 1);
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_int_equal(w.flow->keys.by_text.count, 0);
    bring("c", "{\"k\":1}"); /* a duplicate when it comes */
    assert_int_equal(flow_counts(w.flow)->acked_before, 2);
    assert_int_equal(w.flow->keys.by_text.count, 0);
    world_answer_all(&w);
    world_end(&w);
}

/* Its lease lapses: another host may have it, and the key goes to the next. */
static void lapsed_ones_let_go(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1}");
    world_pass(&w, 1000);
    bring("b", "{\"k\":1}");
    world_pass(&w, 1000);
    bring("c", "{\"k\":1}");
    world_pass(&w, 13500); /* all extensions are on the wire, nobody answers */
    world_verdict(&w, "a", OUTCOME_RETRY);
    assert_non_null(world_running(&w, "b"));
    world_pass(&w, 17000);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 2);
    world_verdict(&w, "b", OUTCOME_RELEASE);
    assert_int_equal(world_running_count(&w), 0);
    world_answer_all(&w);
    world_end(&w);
}

/* The holder is parked for its target, which is down: nothing that waits for its key is sent to
 * try that, and all goes on when it is back. */
static void holder_parked_for_its_target(void **state)
{
    (void)state;
    begin();
    bring("a", "{\"k\":1}");
    world_pass(&w, 30);
    bring("b", "{\"k\":1}");
    world_target_failure(&w, "a", "http://t");
    assert_int_equal(world_running_count(&w), 0);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_string_equal(v.hold, "a target is down"); /* one that waits cannot try it */
    world_pass(&w, 2500);
    assert_non_null(world_running(&w, "a")); /* its probe */
    assert_null(world_running(&w, "b"));
    world_running(&w, "a")->probe_answered = true;
    world_verdict(&w, "a", OUTCOME_ACK);
    assert_true(told("b", QUEUE_DELETE));
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_and_is_deleted_unrun),
        cmocka_unit_test(runs_when_the_first_has_failed),
        cmocka_unit_test(other_body_waits_and_runs),
        cmocka_unit_test(other_keys_do_not_wait),
        cmocka_unit_test(each_message_id_is_its_own_key),
        cmocka_unit_test(deduplication_id_is_a_key),
        cmocka_unit_test(waits_under_its_lease),
        cmocka_unit_test(a_drain_gives_back_all_that_wait),
        cmocka_unit_test(a_key_that_nobody_has_takes_no_memory),
        cmocka_unit_test(lapsed_ones_let_go),
        cmocka_unit_test(holder_parked_for_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
