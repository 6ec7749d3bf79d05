/* A worker that does not come back: what becomes of its messages, of those that wait for them, and
 * what its late verdicts change. */
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

static void on_wire(const char *id, int64_t for_ms)
{
    atomic_store(&world_running(&w, id)->wire_until_ms, w.now_ms + for_ms);
}

static void blame(const char *id)
{
    atomic_store(&world_running(&w, id)->at_work, true);
}

/* Takes off the wire what the queue is told: "m1=3 -m2", in the order of the entries. */
static const char *told(void)
{
    static char text[400];
    struct queue_batch *b;
    *text = '\0';
    world_pass(&w, 5);
    while ((b = world_take_batch(&w))) {
        for (int i = 0; i < b->count; i++) {
            const struct queue_entry *e = &b->entries[i];
            size_t len = strlen(text);
            if (b->op == QUEUE_DELETE)
                snprintf(text + len, sizeof text - len, "-%s ", e->handle);
            else if (e->visibility_s != 30)
                snprintf(text + len, sizeof text - len, "%s=%d ", e->handle, e->visibility_s);
        }
        b->done(b);
    }
    return text;
}

static struct flow_view view(void)
{
    struct flow_view v;
    flow_look(w.flow, &v);
    return v;
}

/* Those that have sent nothing, or wait for no answer, at once; the one to blame after a backoff.
 */
static void each_goes_by_what_it_had_sent(void **state)
{
    (void)state;
    begin(2, 4);
    world_bring(&w, 1, 5); /* the fifth is the other worker's */
    blame("m1");
    atomic_store(&world_running(&w, "m2")->wire_until_ms, WIRE_ANSWERED);
    on_wire("m3", 2000);
    on_wire("m4", -1);
    flow_worker_stuck(w.flow, 0);
    for (int i = 1; i <= 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        assert_int_equal(atomic_load(&world_running(&w, id)->fence), i < 5);
    }
    assert_int_equal(w.cancels, 4);
    const char *text = told();
    assert_non_null(strstr(text, "h1=3 ")); /* half of retry.base */
    assert_non_null(strstr(text, "h2=0 "));
    assert_non_null(strstr(text, "h4=0 "));
    assert_null(strstr(text, "h3"));
    assert_int_equal(view().in_hand, 2);
    assert_int_equal(view().running, 1);
    world_pass(&w, 2900);
    assert_string_equal(told(), ""); /* a second more than its request may take */
    world_pass(&w, 200);
    assert_string_equal(told(), "h3=0 ");
    assert_int_equal(flow_counts(w.flow)->retried, 1);
    assert_int_equal(flow_counts(w.flow)->released, 3);
    world_verdict(&w, "m5", OUTCOME_ACK);
    assert_string_equal(told(), "-h5 ");
    world_end(&w);
}

static void late_verdicts_change_nothing(void **state)
{
    (void)state;
    begin(1, 3);
    world_bring(&w, 1, 3);
    on_wire("m2", 5000);
    on_wire("m3", 5000);
    flow_worker_stuck(w.flow, 0);
    assert_string_equal(told(), "h1=0 ");
    world_verdict(&w, "m1", OUTCOME_ACK); /* settled already */
    world_verdict(&w, "m2", OUTCOME_ACK); /* still in hand */
    assert_int_equal(view().running, 0);
    assert_int_equal(view().in_hand, 2);
    world_pass(&w, 6100);
    const char *text = told();
    assert_non_null(strstr(text, "h2=0 "));
    assert_non_null(strstr(text, "h3=0 "));
    assert_int_equal(flow_counts(w.flow)->acked, 0);
    assert_int_equal(view().in_hand, 0);
    /* Received again it runs: its ack was not taken. */
    flow_worker_back(w.flow, 0);
    world_bring_one(&w, "m2", "h2b", 2);
    world_bring_one(&w, "m1", "h1b", 2);
    world_verdict(&w, "m2", OUTCOME_ACK);
    world_verdict(&w, "m1", OUTCOME_ACK);
    text = told();
    assert_non_null(strstr(text, "-h1b "));
    assert_non_null(strstr(text, "-h2b "));
    world_verdict(&w, "m3", OUTCOME_RETRY); /* the last of the late ones */
    assert_int_equal(view().running, 0);
    assert_int_equal(view().workers_busy, 0);
    world_end(&w);
}

static int at_worker(int worker)
{
    int n = 0;
    list_for_each (node, &w.running)
        n += list_entry(node, struct job, node)->worker == worker;
    return n;
}

static void it_is_given_nothing_until_it_is_back(void **state)
{
    (void)state;
    begin(2, 2);
    world_bring(&w, 1, 2);
    flow_worker_stuck(w.flow, 0);
    told();
    world_bring(&w, 3, 4);
    assert_int_equal(at_worker(0), 0);
    assert_int_equal(at_worker(1), 2);
    assert_int_equal(view().buffered, 2);
    flow_worker_back(w.flow, 0);
    assert_int_equal(at_worker(0), 2);
    assert_int_equal(view().running, 4);
    world_end(&w);
}

/* Others may have it already, and nothing that is said to the queue changes that. Nor does a drain
 * wait for it. */
static void a_lost_one_is_dropped(void **state)
{
    (void)state;
    for (int draining = 0; draining < 2; draining++) {
        begin(1, 2);
        world_bring(&w, 1, 1);
        on_wire("m1", 100000);
        world_pass(&w, 29000); /* its extension is not answered */
        if (draining)
            flow_drain(w.flow);
        while (draining && w.receive_count > 0)
            world_bring(&w, 0, 0);
        world_pass(&w, 2000);
        assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        blame("m1");
        on_wire("m1", 0);
        assert_false(w.ended);
        flow_worker_stuck(w.flow, 0);
        assert_int_equal(w.ended, draining);
        assert_int_equal(view().in_hand, 0);
        if (!draining)
            assert_string_equal(told(), "");
        world_end(&w);
    }
}

static void bring_key(const char *id, const char *body)
{
    struct queue_receive *r = world_take_answer(&w);
    list_append(&r->jobs, &world_job_with(id, body, NULL)->node);
    r->done(r);
}

/* What waits for its key does not run beside its request. */
static void its_key_is_kept_while_it_is_on_the_wire(void **state)
{
    struct flow_options o = world_options();
    (void)state;
    o.key = "/k";
    world_begin(&w, &o, 2, 1);
    bring_key("a", "{\"k\":1}");
    bring_key("b", "{\"k\":1,\"n\":2}");
    on_wire("a", 3000);
    blame("a");
    flow_worker_stuck(w.flow, 0);
    world_pass(&w, 3900);
    assert_null(world_running(&w, "b"));
    world_pass(&w, 200);
    assert_non_null(world_running(&w, "b"));
    assert_int_equal(world_running(&w, "b")->worker, 1);
    assert_string_equal(told(), "h-a=3 ");
    world_end(&w);
}

/* A drain waits for the request, unless it is told not to. */
static void a_drain_waits_for_the_wire(void **state)
{
    (void)state;
    for (int hurried = 0; hurried < 2; hurried++) {
        begin(1, 1);
        world_bring(&w, 1, 1);
        on_wire("m1", 4000);
        flow_worker_stuck(w.flow, 0);
        flow_drain(w.flow);
        world_pass(&w, 1100);
        assert_false(w.ended);
        if (hurried) {
            flow_drain(w.flow);
            assert_string_equal(told(), "h1=4 ");
        } else {
            world_pass(&w, 4000);
            assert_string_equal(told(), "h1=0 ");
            assert_int_equal(w.end, FLOW_DRAINED);
        }
        assert_true(w.ended);
        world_end(&w);
    }
}

/* The one that tries a target proves nothing: another one does. */
static void another_one_probes(void **state)
{
    (void)state;
    begin(2, 2);
    world_bring(&w, 1, 2);
    world_target_failure(&w, "m1", "http://kc:80");
    world_target_failure(&w, "m2", "http://kc:80");
    world_pass(&w, 2500);
    assert_int_equal(world_running_count(&w), 1);
    struct job *probe = list_entry(list_first(&w.running), struct job, node);
    const char *other = strcmp(probe->id, "m1") == 0 ? "m2" : "m1";
    blame(probe->id);
    flow_worker_stuck(w.flow, probe->worker);
    assert_non_null(world_running(&w, other));
    assert_non_null(world_running(&w, other)->probes);
    assert_int_equal(world_running(&w, other)->worker, 1);
    world_end(&w);
}

/* Its followers must not overtake it: they go back behind it. */
static void a_group_goes_back_whole(void **state)
{
    struct flow_options o = world_options();
    (void)state;
    o.fifo = true;
    world_begin(&w, &o, 2, 2);
    world_bring(&w, 1, 3); /* of one group, since the queue names none */
    assert_int_equal(world_running_count(&w), 1);
    on_wire("m1", 2000);
    blame("m1");
    flow_worker_stuck(w.flow, 0);
    world_pass(&w, 2900);
    assert_string_equal(told(), "");
    assert_int_equal(world_running_count(&w), 1);
    world_pass(&w, 200);
    assert_string_equal(told(), "h1=3 ");
    assert_string_equal(told(), "h2=0 h3=0 ");
    assert_int_equal(world_running_count(&w), 1);
    world_end(&w);
}

static void begin_with_dead_letters(bool fifo)
{
    struct flow_options o = world_options();
    o.dead_letters = true;
    o.max_receives = 3;
    o.fifo = fifo;
    world_begin(&w, &o, 1, 4);
}

/* As after any other run that failed, but the verdict of this one may still be written. */
static void at_its_last_receive_it_is_a_dead_letter(void **state)
{
    (void)state;
    for (int receives = 2; receives <= 3; receives++) {
        begin_with_dead_letters(false);
        world_bring_one(&w, "m1", "h1", receives);
        world_bring_one(&w, "m2", "h2", 3);
        blame("m1");
        flow_worker_stuck(w.flow, 0);
        assert_int_equal(w.copy_count, receives == 3);
        const char *text = told();
        assert_non_null(
            strstr(text, "h2=0 ")); /* it is not to blame, and none of its runs failed */
        assert_int_equal(strstr(text, "h1=") != NULL, receives < 3);
        world_end(&w);
    }
}

static void nothing_of_it_is_deleted_before_its_copy_is_there(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        begin_with_dead_letters(false);
        world_bring_one(&w, "m1", "h1", 3);
        blame("m1");
        flow_worker_stuck(w.flow, 0);
        assert_true(w.copies[0]->exhausted);
        assert_non_null(w.copies[0]->stuck);
        if (late)
            world_verdict(&w, "m1", OUTCOME_ACK);
        assert_string_equal(told(), "");
        world_copied(&w, QUEUE_OK);
        assert_string_equal(told(), "-h1 ");
        assert_int_equal(flow_counts(w.flow)->rejected, 1);
        assert_int_equal(flow_counts(w.flow)->acked, 0);
        assert_int_equal(view().in_hand, 0);
        if (!late)
            world_verdict(&w, "m1", OUTCOME_ACK);
        world_end(&w);
    }
}

/* Its followers go on behind its delete; and if no copy can be made it goes back to the queue with
 * them: it cannot run again here, since its worker still has its job. */
static void the_first_of_a_group_is_a_dead_letter(void **state)
{
    (void)state;
    for (int taken = 0; taken < 2; taken++) {
        begin_with_dead_letters(true);
        world_bring_one(&w, "m1", "h1", 3);
        world_bring_one(&w, "m2", "h2", 3);
        blame("m1");
        flow_worker_stuck(w.flow, 0);
        flow_worker_back(w.flow, 0);
        assert_int_equal(w.copy_count, 1);
        assert_string_equal(told(), "");
        world_copied(&w, taken ? QUEUE_OK : QUEUE_DENIED);
        assert_string_equal(told(), taken ? "-h1 " : "h1=900 ");
        world_pass(&w, 5);
        assert_int_equal(world_running(&w, "m2") != NULL, taken);
        if (!taken)
            assert_string_equal(told(), "h2=0 ");
        world_end(&w);
    }
}

static void after_the_end_it_is_nothing(void **state)
{
    (void)state;
    begin(1, 1);
    flow_drain(w.flow);
    flow_drain(w.flow);
    assert_true(w.ended);
    flow_worker_stuck(w.flow, 0);
    flow_worker_back(w.flow, 0);
    assert_int_equal(w.batch_count, 0);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_goes_by_what_it_had_sent),
        cmocka_unit_test(late_verdicts_change_nothing),
        cmocka_unit_test(it_is_given_nothing_until_it_is_back),
        cmocka_unit_test(a_lost_one_is_dropped),
        cmocka_unit_test(its_key_is_kept_while_it_is_on_the_wire),
        cmocka_unit_test(a_drain_waits_for_the_wire),
        cmocka_unit_test(another_one_probes),
        cmocka_unit_test(a_group_goes_back_whole),
        cmocka_unit_test(at_its_last_receive_it_is_a_dead_letter),
        cmocka_unit_test(nothing_of_it_is_deleted_before_its_copy_is_there),
        cmocka_unit_test(the_first_of_a_group_is_a_dead_letter),
        cmocka_unit_test(after_the_end_it_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
