/* When what failed comes again: the delays, to the millisecond, with the random numbers of the
 * test's choice; and what is given up, and how that is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metric_text.h"
#include "flow_world.h"

#include <cmocka.h>

#define KC "http://kc:80"

static struct world w;

static void begin(int visibility_s)
{
    struct flow_options o = world_options();
    o.visibility_s = visibility_s;
    o.dead_letters = true;
    o.hold_ms = 3600000;
    world_begin(&w, &o, 1, 4);
    w.random_set = true;
}

/* Nothing yet a millisecond before. */
static void comes_after(const int *count, int64_t ms)
{
    world_pass(&w, ms - 1);
    assert_int_equal(*count, 0);
    world_pass(&w, 1);
    assert_int_equal(*count, 1);
}

static void batch_fails(uint64_t random, int64_t wish_ms)
{
    struct queue_batch *b = world_take_batch(&w);
    b->result = (struct queue_result){.status = QUEUE_UNREACHABLE, .retry_after_ms = wish_ms};
    w.random = random;
    b->done(b);
}

static void settlement_backs_off(void **state)
{
    (void)state;
    static const int least_ms[] = {50,   100,  200,  400,  800,  1600,
                                   2500, 2500, 2500, 2500, 2500, 2500};
    begin(3600);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    for (size_t i = 0; i < sizeof least_ms / sizeof *least_ms; i++) {
        batch_fails(0, -1);
        comes_after(&w.batch_count, least_ms[i]);
    }
    batch_fails(2500, -1);
    comes_after(&w.batch_count, 5000);
    batch_fails(2501, -1);
    comes_after(&w.batch_count, 2500);
    world_end(&w);
}

static void settlement_heeds_the_queue(void **state)
{
    (void)state;
    begin(3600);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    batch_fails(0, 3000);
    comes_after(&w.batch_count, 3000);
    batch_fails(0, 99);
    comes_after(&w.batch_count, 100);
    batch_fails(0, 9000);
    comes_after(&w.batch_count, 5000);
    world_end(&w);
}

/* An entry that fails is the only one that comes again, however many there are. */
static void failed_entries_come_again_alone(void **state)
{
    (void)state;
    begin(30);
    world_bring(&w, 1, 3);
    for (int i = 1; i <= 3; i++)
        world_verdict(&w, (char[]){'m', (char)('0' + i), 0}, OUTCOME_ACK);
    world_pass(&w, 5);
    struct queue_batch *b = world_take_batch(&w);
    assert_int_equal(b->count, 3);
    b->entries[1].ok = false;
    w.random = 0;
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    assert_int_equal(flow_counts(w.flow)->entries_failed, 1);
    comes_after(&w.batch_count, 50);
    assert_int_equal(w.batches[0]->count, 1);
    assert_string_equal(w.batches[0]->entries[0].handle, "h2");
    world_end(&w);
}

/* The metric names the call and what the queue said. */
static void failed_entries_are_counted(void **state)
{
    static const struct metric_desc desc = {.name = "t_failed_total",
                                            .help = "Failed.",
                                            .type = METRIC_COUNTER,
                                            .labels = {"op", "code"},
                                            .series_max = 4};
    (void)state;
    struct metrics *ms = metrics_new();
    struct flow_options o = world_options();
    o.entries_failed = metrics_open(ms, 0, &desc, NULL);
    world_begin(&w, &o, 1, 4);
    for (int i = 1; i <= 3; i++) {
        world_bring(&w, i, 1);
        world_verdict(&w, (char[]){'m', (char)('0' + i), 0}, i == 1 ? OUTCOME_ACK : OUTCOME_RETRY);
        world_pass(&w, 5);
        struct queue_batch *b = world_take_batch(&w);
        b->entries[0].ok = false;
        b->entries[0].sender_fault = true;
        strcpy(b->entries[0].code, i == 2 ? "" : "Code");
        b->done(b);
    }
    struct buf out;
    buf_init(&out);
    metrics_text(ms, &out);
    assert_non_null(strstr(out.data, "{op=\"delete\",code=\"Code\"} 1\n"));
    assert_non_null(strstr(out.data, "{op=\"change\",code=\"Code\"} 1\n"));
    assert_non_null(strstr(out.data, "{op=\"change\",code=\"none\"} 1\n"));
    buf_free(&out);
    world_end(&w);
    metrics_free(ms);
}

/* Two that fail at different times: each at its own. */
static void each_comes_at_its_time(void **state)
{
    (void)state;
    begin(3600);
    world_bring(&w, 1, 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    batch_fails(0, 400);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_pass(&w, 5);
    batch_fails(0, 3000);
    comes_after(&w.batch_count, 395);
    assert_string_equal(w.batches[0]->entries[0].handle, "h1");
    world_answer_all(&w);
    comes_after(&w.batch_count, 2605);
    assert_string_equal(w.batches[0]->entries[0].handle, "h2");
    world_end(&w);
}

static void gives_up_after(int64_t ms, enum outcome outcome, bool gives_up, int lost)
{
    begin(30);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", outcome);
    world_pass(&w, 5);
    world_pass(&w, ms - 5);
    batch_fails(0, -1);
    assert_int_equal(flow_counts(w.flow)->entries_failed, gives_up);
    assert_int_equal(flow_counts(w.flow)->lease_lost, lost);
    world_pass(&w, 50);
    assert_int_equal(w.batch_count, !gives_up);
    world_end(&w);
}

/* What would come after its lease is given up; a delete that never got through is a lost lease. */
static void given_up_with_the_lease(void **state)
{
    (void)state;
    gives_up_after(29949, OUTCOME_ACK, false, 0);
    gives_up_after(29950, OUTCOME_ACK, true, 1);
    gives_up_after(29949, OUTCOME_RETRY, false, 0);
    gives_up_after(29950, OUTCOME_RETRY, true, 0);
}

/* --until-empty: it will come again when its lease has ended. */
static void given_up_is_left_for_later(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.until_empty = true;
    o.patience_ms = 1000;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_pass(&w, 5);
    struct queue_batch *b = world_take_batch(&w);
    b->entries[0].ok = false;
    b->entries[0].sender_fault = true;
    b->done(b);
    world_bring(&w, 1, 0);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_LEFT_LATER);
    assert_memory_equal(w.end_text, "1 left", 6);
    world_end(&w);
}

/* Settlements that hang hold no slot, but only so many: or the program would grow without an end
 * beside a queue that takes messages out and no deletes in. */
static void hanging_settlements_hold_intake(void **state)
{
    (void)state;
    int received = 0;
    begin(3600);
    while (received < 300) {
        if (w.receive_count == 0)
            world_pass(&w, 30);
        if (w.receive_count == 0)
            break;
        int now = w.receives[0]->max;
        world_bring(&w, received + 1, now);
        for (int i = received + 1; i <= received + now; i++) {
            char id[20];
            snprintf(id, sizeof id, "m%d", i);
            world_verdict(&w, id, OUTCOME_ACK);
        }
        received += now;
    }
    assert_in_range(received, 104, 108); /* a hundred, the slots and their prefetch */
    world_answer_all(&w);
    world_pass(&w, 30);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

static void copy_fails(uint64_t random, int64_t wish_ms)
{
    struct queue_copy *c = w.copies[0];
    w.copy_count = 0;
    c->result = (struct queue_result){.status = QUEUE_BUSY, .retry_after_ms = wish_ms};
    w.random = random;
    c->done(c);
}

static void copy_backs_off(void **state)
{
    (void)state;
    static const int least_ms[] = {100,  200,   400,   800,   1600, 3200,
                                   6400, 10000, 10000, 10000, 10000};
    begin(43000);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    for (size_t i = 0; i < sizeof least_ms / sizeof *least_ms; i++) {
        copy_fails(0, -1);
        comes_after(&w.copy_count, least_ms[i]);
    }
    copy_fails(10000, -1);
    comes_after(&w.copy_count, 20000);
    copy_fails(10001, -1);
    comes_after(&w.copy_count, 10000);
    copy_fails(0, 15000);
    comes_after(&w.copy_count, 15000);
    copy_fails(0, 9999);
    comes_after(&w.copy_count, 10000);
    copy_fails(0, 99999);
    comes_after(&w.copy_count, 20000);
    world_end(&w);
}

static void receive_fails(enum queue_status status, uint64_t random, int64_t wish_ms)
{
    struct queue_receive *r = world_take_receive(&w);
    r->result = (struct queue_result){.status = status, .retry_after_ms = wish_ms};
    w.random = random;
    r->done(r);
}

static void receive_backs_off(void **state)
{
    (void)state;
    static const int most_ms[] = {200,   400,   800,   1600,  3200, 6400,
                                  12800, 20000, 20000, 20000, 20000};
    begin(30);
    world_bring(&w, 1, 0);
    for (size_t i = 0; i < sizeof most_ms / sizeof *most_ms; i++) {
        receive_fails(QUEUE_UNREACHABLE, (uint64_t)most_ms[i] - 1, -1);
        comes_after(&w.receive_count, 100 + most_ms[i] - 1);
    }
    receive_fails(QUEUE_UNREACHABLE, 20000, -1);
    comes_after(&w.receive_count, 100);
    receive_fails(QUEUE_BUSY, 0, 7000);
    comes_after(&w.receive_count, 7000);
    receive_fails(QUEUE_BUSY, 0, 100);
    comes_after(&w.receive_count, 100);
    receive_fails(QUEUE_BUSY, 0, 70000);
    comes_after(&w.receive_count, 20000);
    for (enum queue_status s = QUEUE_MISSING; s <= QUEUE_FAULT; s++) {
        receive_fails(s, 0, -1);
        comes_after(&w.receive_count, 30000);
    }
    world_bring(&w, 1, 1); /* an answer: from the start again */
    receive_fails(QUEUE_UNREACHABLE, 200, -1);
    comes_after(&w.receive_count, 100);
    world_end(&w);
}

static void probe_comes_after(uint64_t random, int64_t ms)
{
    w.random = random;
    world_target_failure(&w, "m1", KC);
    world_pass(&w, ms - 1);
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 1);
    assert_int_equal(world_running_count(&w), 1);
}

static void probes_are_jittered(void **state)
{
    (void)state;
    begin(3600);
    world_bring(&w, 1, 1);
    probe_comes_after(0, 1800);
    w.random = 0;
    world_target_failure(&w, "m1", KC); /* the timer was set when the probe was sent */
    world_end(&w);
    begin(3600);
    world_bring(&w, 1, 1);
    probe_comes_after(400, 2200);
    world_end(&w);
    begin(3600);
    world_bring(&w, 1, 1);
    probe_comes_after(401, 1800);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settlement_backs_off),
        cmocka_unit_test(settlement_heeds_the_queue),
        cmocka_unit_test(failed_entries_come_again_alone),
        cmocka_unit_test(failed_entries_are_counted),
        cmocka_unit_test(each_comes_at_its_time),
        cmocka_unit_test(given_up_with_the_lease),
        cmocka_unit_test(given_up_is_left_for_later),
        cmocka_unit_test(hanging_settlements_hold_intake),
        cmocka_unit_test(copy_backs_off),
        cmocka_unit_test(receive_backs_off),
        cmocka_unit_test(probes_are_jittered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
