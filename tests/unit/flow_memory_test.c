/* Allocations of flow/ that fail: what the message waits for then, and that nothing hangs; and that
 * all of them are freed. In a sanitizer's build the allocator is the sanitizer's: nothing fails,
 * and it looks for leaks itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

#include "failing_memory.h"

static struct world w;

static void begin(void)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, 4);
    w.random_set = true;
    w.random = 0;
}

/* A settlement: as if its call had failed. */
static void for_the_call(void **state)
{
    (void)state;
    begin();
    world_bring(&w, 1, 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    left = 0;
    world_pass(&w, 5);
    left = -1;
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 49);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->count, 2);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    assert_int_equal(flow_counts(w.flow)->entries_failed, 0);
    world_end(&w);
}

/* An extension: again after a second, and the lease's end is noticed all the same. */
static void for_the_extension(void **state)
{
    (void)state;
    begin();
    world_bring(&w, 1, 1);
    left = 0;
    world_pass(&w, 15000);
    left = -1;
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 999);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    world_answer_all(&w);
    for (int i = 0; i < 40; i++) {
        left = 0;
        world_pass(&w, 1000);
    }
    left = -1;
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_end(&w);
}

/* A dead letter's copy: as if it had failed. */
static void for_the_copy(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    world_begin(&w, &o, 1, 4);
    w.random_set = true;
    world_bring(&w, 1, 1);
    left = 0;
    world_verdict(&w, "m1", OUTCOME_REJECT);
    left = -1;
    assert_int_equal(w.copy_count, 0);
    world_pass(&w, 99);
    assert_int_equal(w.copy_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.copy_count, 1);
    world_copied(&w, QUEUE_OK);
    world_end(&w);
}

static const struct flow_events nobody;

static void for_a_flow(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    struct flow *f = NULL;
    int failed = 0;
    begin();
    long before = memory_held();
    for (; !f; failed++) {
        left = failed;
        f = flow_new(&o, &w.seam, &nobody);
        bool without = left < 0; /* one has failed */
        left = -1;
        assert_true(without == !f);
        if (!f)
            assert_int_equal(memory_held(), before);
    }
    assert_in_range(failed, 8, 20);
    flow_free(f);
    assert_int_equal(memory_held(), before);
    flow_free(NULL);
    world_end(&w);
}

/* Brings m1 and m2, of one group; so many allocations go well. True: all did. */
static bool bring_within(long allocations, int receives)
{
    struct queue_receive *r = world_take_answer(&w);
    for (int i = 1; i <= 2; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "{\"MessageId\":\"m%d\",\"ReceiptHandle\":\"h%d\",\"Body\":\"{}\",\"Attributes\":{"
                 "\"ApproximateReceiveCount\":\"%d\",\"MessageGroupId\":\"g\"}}",
                 i, i, receives);
        list_append(&r->jobs, &job_new(json_tokener_parse(text))->node);
    }
    left = allocations;
    r->done(r);
    bool all = allocations < 0 || left >= 0;
    left = -1;
    return all;
}

/* What cannot be taken in is left to the queue, or given back; when it comes again it runs. Of a
 * group nothing behind it runs before it. */
static void for_a_message(void **state)
{
    (void)state;
    for (int fifo = 0; fifo < 2; fifo++) {
        bool all = false;
        for (long n = 0; !all; n++) {
            struct flow_options o = world_options();
            o.fifo = fifo;
            long before = memory_held();
            world_begin(&w, &o, 1, 4);
            all = bring_within(n, 1);
            assert_false(fifo && !world_running(&w, "m1") && world_running(&w, "m2"));
            assert_true(fifo || world_running_count(&w) > 0);
            world_pass(&w, 6000);
            world_answer_all(&w);
            bring_within(-1, 2);
            assert_non_null(world_running(&w, "m1"));
            assert_int_equal(world_running(&w, "m2") != NULL, !fifo);
            world_end(&w);
            assert_int_equal(memory_held(), before);
        }
    }
}

/* The handle that it has goes on, and the lease that came with it. */
static void for_a_newer_handle(void **state)
{
    (void)state;
    begin();
    world_bring_one(&w, "m1", "h1", 1);
    world_pass(&w, 10000);
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job("m1", "h1b", 2)->node);
    left = 0;
    r->done(r);
    left = -1;
    world_pass(&w, 5000);
    assert_int_equal(w.batch_count, 1);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1");
    world_answer_all(&w);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1");
    world_end(&w);
}

/* It is being given back, because the one before it is, and comes again meanwhile: what cannot be
 * noted is left to the queue. */
static void for_its_place_in_a_group(void **state)
{
    (void)state;
    long before = 0;
    for (int warm = 0; warm < 2; warm++) { /* what libraries keep for later, they have then */
        struct flow_options o = world_options();
        o.fifo = true;
        o.hold_ms = 1;
        before = memory_held();
        world_begin(&w, &o, 1, 4);
        world_bring(&w, 1, 2);
        world_verdict(&w, "m1", OUTCOME_RETRY);
        world_pass(&w, 5);
        world_answer_all(&w);
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, 1);
        struct queue_receive *r = world_take_answer(&w);
        list_append(&r->jobs, &world_job("m2", "h2b", 2)->node);
        left = 0;
        r->done(r);
        left = -1;
        world_answer_all(&w);
        assert_int_equal(world_running_count(&w), 0);
        world_end(&w);
    }
    assert_int_equal(memory_held(), before);
}

/* A retry of its own that it cannot note: it is not waited for. */
static void for_a_retry_to_wait_for(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_pass(&w, 5);
    left = 0;
    world_answer_all(&w);
    left = -1;
    world_bring(&w, 0, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* The record of a target that fails: the message goes back to the queue. */
static void for_a_target(void **state)
{
    (void)state;
    begin();
    world_bring(&w, 1, 1);
    left = 0;
    world_target_failure(&w, "m1", "http://kc:80");
    left = -1;
    world_pass(&w, 5);
    assert_int_equal(w.batch_count, 1);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->retried, 1);
    left = 0;
    flow_target_down(w.flow, "http://kc:80", "no token");
    left = -1;
    world_bring(&w, 2, 1);
    assert_non_null(world_running(&w, "m2"));
    world_end(&w);
}

/* Messages that fail alike, so many. */
static void fail_alike(int count, bool without_memory)
{
    for (int i = 0; i < count; i++) {
        static int id;
        char text[20];
        snprintf(text, sizeof text, "s%d", id++);
        world_bring_one(&w, text, "h", 1);
        struct job *job = world_running(&w, text);
        snprintf(job->kind, sizeof job->kind, "lua");
        left = without_memory ? 0 : -1;
        world_verdict(&w, text, OUTCOME_RETRY);
        left = -1;
        world_pass(&w, 5);
        world_answer_all(&w);
    }
}

/* The record of a storm: all goes on without, and the next failure raises it. */
static void for_a_storm(void **state)
{
    struct flow_options o = world_options();
    struct flow_view v;
    (void)state;
    o.storm_window = 20;
    world_begin(&w, &o, 1, 4);
    fail_alike(25, true);
    assert_int_equal(flow_counts(w.flow)->retried, 25);
    fail_alike(1, false);
    assert_int_equal(flow_counts(w.flow)->retried, 25);
    flow_look(w.flow, &v);
    assert_non_null(strstr(v.hold, "failure storm"));
    world_end(&w);
}

/* With the nth allocation failing; below 0: none. */
static void bring_a(const char *body, const char *deduplication_id, long nth)
{
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with("a", body, deduplication_id)->node);
    left = nth;
    r->done(r);
    left = -1;
}

/* Whichever one it is, its key's and its place in the memory of what was acked among them: when it
 * comes again it runs, and nothing is kept of the first time. */
static void for_a_message_with_a_key(void **state)
{
    (void)state;
    for (long nth = 0; nth < 12; nth++) {
        long before = memory_held();
        struct flow_options o = world_options();
        o.key = "deduplication_id";
        world_begin(&w, &o, 1, 4);
        bring_a("body", "D", nth);
        if (!world_running(&w, "a")) {
            world_pass(&w, 5);
            world_answer_all(&w);
            assert_int_equal(dedupe_claimed(w.dedupe), 0);
            bring_a("body", "D", -1);
        }
        world_verdict(&w, "a", OUTCOME_ACK);
        world_pass(&w, 5);
        world_answer_all(&w);
        assert_int_equal(flow_counts(w.flow)->acked, 1);
        world_end(&w);
        assert_int_equal(memory_held(), before);
    }
}

/* To read the body for its key: it does not go by its message id, as if it had none. */
static void for_the_key_in_a_body(void **state)
{
    (void)state;
    for (long nth = 0; nth < 4; nth++) {
        long before = memory_held();
        struct flow_options o = world_options();
        o.key = "/k";
        world_begin(&w, &o, 1, 4);
        for (int again = 0; again < 2; again++) {
            bring_a("{\"k\":7}", NULL, again ? -1 : nth);
            assert_int_equal(world_running(&w, "a") != NULL, again);
            world_pass(&w, 5);
            world_answer_all(&w);
        }
        assert_int_equal(flow_counts(w.flow)->keyless, 0);
        world_verdict(&w, "a", OUTCOME_ACK);
        world_pass(&w, 5);
        world_answer_all(&w);
        world_end(&w);
        assert_int_equal(memory_held(), before);
    }
}

/* The words of a refusal: a body that is no event is never taken for one. */
static void for_a_refusal(void **state)
{
    (void)state;
    for (long nth = 0; nth < 20; nth++) {
        struct envelope e;
        left = nth;
        int rc = envelope_open(UNWRAP_SNS, "hello", 5, &e);
        left = -1;
        assert_true(rc != 0 || e.refused);
        envelope_close(&e);
    }
}

/* ---- as much is given back as was taken ---------------------------------------------------- */

static void retry_and_reject(void)
{
    world_bring(&w, 1, 4);
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_verdict(&w, "m3", OUTCOME_REJECT); /* its copy is on the wire */
    world_pass(&w, 5);                       /* and both settlements */
    assert_int_equal(w.batch_count, 2);
    assert_int_equal(w.copy_count, 1);
}

/* Its extension is on the wire, and points at it. */
static void lapse_beside_an_extension(void)
{
    flow_target_down(w.flow, "http://kc:80", "no token");
    world_bring(&w, 1, 2);
    world_pass(&w, 15000);
    assert_int_equal(w.batch_count, 1);
    world_pass(&w, 16000);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 2);
}

static void newer_handles(void)
{
    world_bring_one(&w, "m1", "h1", 1);
    world_bring_one(&w, "m1", "h1b", 2);
    world_bring_one(&w, "m1", "h1c", 3);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1c");
    world_answer_all(&w);
    world_bring_one(&w, "m2", "h2", 1);
    world_bring_one(&w, "m2", "h2b", 2);
}

static void retries_of_its_own(void)
{
    world_bring(&w, 1, 3);
    for (int i = 1; i <= 3; i++)
        world_verdict(&w, (const char *[]){"m1", "m2", "m3"}[i - 1], OUTCOME_RETRY);
    world_pass(&w, 5);
    world_answer_all(&w);
    world_bring_one(&w, "m1", "h1b", 2); /* comes; the others are still waited for */
    world_pass(&w, 60000);
    world_bring(&w, 0, 0); /* they have gone elsewhere */
}

static void one_waits_for_the_other(void)
{
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with("m1", "{\"k\":\"a\"}", NULL)->node);
    list_append(&r->jobs, &world_job_with("m2", "{\"k\":\"a\"}", NULL)->node);
    r->done(r);
    assert_int_equal(world_running_count(&w), 1);
    world_verdict(&w, "m1", OUTCOME_RETRY);
}

static void more_behind_an_event(void)
{
    static const char text[] =
        "{\"MessageId\":\"m1\",\"ReceiptHandle\":\"h1\",\"Body\":\"{}\\u0000 {}\","
        "\"Attributes\":{\"ApproximateReceiveCount\":\"1\"}}";
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &job_new(json_tokener_parse(text))->node);
    r->done(r);
}

static const struct {
    void (*happens)(void);
    const char *key;
    bool fifo, until_empty;
} lives[] = {
    {retry_and_reject, .key = NULL},           {one_waits_for_the_other, .key = "/k"},
    {one_waits_for_the_other, .fifo = true},   {more_behind_an_event, .key = "/k"},
    {lapse_beside_an_extension, .key = NULL},  {newer_handles, .key = NULL},
    {retries_of_its_own, .until_empty = true},
};

static void live(size_t i)
{
    struct flow_options o = world_options();
    o.dead_letters = true;
    o.key = lives[i].key;
    o.fifo = lives[i].fifo;
    o.until_empty = lives[i].until_empty;
    world_begin(&w, &o, 1, 4);
    lives[i].happens();
    world_end(&w);
}

static void all_is_given_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        live(i); /* what libraries keep for later, they have from here on */
        long before = memory_held();
        live(i);
        assert_int_equal(memory_held(), before);
    }
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest failing[] = {
        cmocka_unit_test(for_the_call),
        cmocka_unit_test(for_the_extension),
        cmocka_unit_test(for_the_copy),
        cmocka_unit_test(for_a_flow),
        cmocka_unit_test(for_a_message),
        cmocka_unit_test(for_a_newer_handle),
        cmocka_unit_test(for_its_place_in_a_group),
        cmocka_unit_test(for_a_retry_to_wait_for),
        cmocka_unit_test(for_a_target),
        cmocka_unit_test(for_a_storm),
        cmocka_unit_test(for_a_message_with_a_key),
        cmocka_unit_test(for_the_key_in_a_body),
        cmocka_unit_test(for_a_refusal),
    };
    const struct CMUnitTest given_back[] = {cmocka_unit_test(all_is_given_back)};
    int failed = OWN_ALLOCATOR ? cmocka_run_group_tests(failing, NULL, NULL) : 0;
    return cmocka_run_group_tests(given_back, NULL, NULL) + failed;
}
