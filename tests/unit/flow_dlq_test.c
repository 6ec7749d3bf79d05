/* Dead letters: nothing is deleted before its copy is confirmed, and nothing that could not be
 * copied is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

static struct world w;

static void begin_with(bool dead_letters, int max_receives)
{
    struct flow_options o = world_options();
    o.dead_letters = dead_letters;
    o.max_receives = max_receives;
    world_begin(&w, &o, 1, 4);
}

/* The batch that the settlement's linger lets go, which must be of `count` entries. */
static struct queue_batch *settlement(enum queue_op op, int count)
{
    world_pass(&w, 5);
    struct queue_batch *b = world_take_batch(&w);
    assert_non_null(b);
    assert_int_equal(b->op, op);
    assert_int_equal(b->count, count);
    return b;
}

static void assert_kept(const char *handle)
{
    struct queue_batch *b = settlement(QUEUE_CHANGE, 1);
    assert_string_equal(b->entries[0].handle, handle);
    assert_int_equal(b->entries[0].visibility_s, 900);
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->rejected, 0);
    assert_int_equal(flow_counts(w.flow)->retried, 1);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.copying, 0);
}

static void the_copy_is_confirmed_before_the_delete(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    assert_int_equal(w.copy_count, 1);
    assert_string_equal(w.copies[0]->job->id, "m1");
    assert_false(w.copies[0]->exhausted);
    world_pass(&w, 1000);
    assert_int_equal(w.batch_count, 0);
    world_copied(&w, QUEUE_OK);
    struct queue_batch *b = settlement(QUEUE_DELETE, 1);
    assert_int_equal(flow_counts(w.flow)->rejected, 0); /* not before the delete is answered */
    b->done(b);
    assert_int_equal(flow_counts(w.flow)->rejected, 1);
    world_end(&w);
}

static void without_a_queue_for_them_they_are_kept(void **state)
{
    (void)state;
    begin_with(false, 3);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    assert_int_equal(w.copy_count, 0);
    assert_kept("h1");
    world_end(&w);
}

static void last_receive_and_a_failed_run(void **state)
{
    static const struct {
        int receives;
        bool ran, target_failed;
        enum outcome outcome;
        bool copied;
    } cases[] = {
        {2, true, false, OUTCOME_RETRY, false}, {3, true, false, OUTCOME_RETRY, true},
        {7, true, false, OUTCOME_RETRY, true},  {3, false, false, OUTCOME_RETRY, false},
        {3, true, true, OUTCOME_RETRY, false},  {9, true, false, OUTCOME_RELEASE, false},
        {9, true, false, OUTCOME_ACK, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_with(true, 3);
        world_bring_one(&w, "m1", "h1", cases[i].receives);
        struct job *job = world_running(&w, "m1");
        job->target_failed = cases[i].target_failed;
        strcpy(job->target, "http://kc:80");
        world_home(&w, "m1", cases[i].outcome, cases[i].ran);
        assert_int_equal(w.copy_count, cases[i].copied);
        if (cases[i].copied)
            assert_true(w.copies[0]->exhausted);
        world_end(&w);
    }
}

static void busy_is_tried_again_under_the_lease(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    int64_t began_ms = w.now_ms;
    int copies = 0, extensions = 0;
    while (w.now_ms - began_ms < 100000) {
        while (w.copy_count > 0) {
            copies++;
            world_copied(&w, copies % 2 ? QUEUE_BUSY : QUEUE_UNREACHABLE);
        }
        struct queue_batch *b;
        while ((b = world_take_batch(&w))) {
            assert_int_equal(b->entries[0].visibility_s, 30); /* extensions, nothing else */
            extensions++;
            b->done(b);
        }
        world_pass(&w, 100);
    }
    assert_in_range(copies, 8, 30);
    assert_in_range(extensions, 6, 7);
    assert_int_equal(flow_counts(w.flow)->lease_lost, 0);
    while (w.copy_count == 0)
        world_pass(&w, 1000);
    world_answer_all(&w);
    world_copied(&w, QUEUE_OK);
    settlement(QUEUE_DELETE, 1);
    world_end(&w);
}

static void busy_for_too_long_is_kept(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    int64_t began_ms = w.now_ms;
    while (w.now_ms - began_ms < 299000) {
        if (w.copy_count > 0)
            world_copied(&w, QUEUE_BUSY);
        world_answer_all(&w);
        world_pass(&w, 100);
    }
    while (w.copy_count == 0)
        world_pass(&w, 1000);
    world_answer_all(&w);
    world_copied(&w, QUEUE_BUSY);
    assert_kept("h1");
    world_end(&w);
}

static void refused_is_kept(void **state)
{
    static const enum queue_status refusals[] = {QUEUE_MISSING, QUEUE_DENIED, QUEUE_FAULT};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        begin_with(true, 0);
        world_bring(&w, 1, 1);
        world_verdict(&w, "m1", OUTCOME_REJECT);
        world_copied(&w, refusals[i]);
        assert_kept("h1");
        world_end(&w);
    }
}

/* The words of a server that refused it: the attribute of ours may be what is too much. */
static void refused_by_words_is_tried_bare(void **state)
{
    (void)state;
    for (int taken = 0; taken < 2; taken++) {
        begin_with(true, 0);
        world_bring(&w, 1, 1);
        world_verdict(&w, "m1", OUTCOME_REJECT);
        assert_false(w.copies[0]->bare);
        world_copied_with(&w, QUEUE_FAULT, 400);
        world_pass(&w, 200);
        assert_int_equal(w.copy_count, 1);
        assert_true(w.copies[0]->bare);
        if (taken) {
            world_copied(&w, QUEUE_OK);
            settlement(QUEUE_DELETE, 1);
        } else {
            world_copied_with(&w, QUEUE_FAULT, 400);
            assert_kept("h1");
        }
        world_end(&w);
    }
}

/* Four days of retention: said in the last tenth of them, and not before. */
static void a_kept_message_near_its_end(void **state)
{
    static const struct {
        int64_t age_h;
        const char *left;
    } cases[] = {{1, NULL}, {86, NULL}, {87, "\"left_s\":32400"}, {97, "\"left_s\":0"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_options o = world_options();
        o.retention_ms = INT64_C(96) * 3600 * 1000;
        world_begin(&w, &o, 1, 4);
        w.now_ms = INT64_C(1000) * 3600 * 1000;
        world_bring(&w, 1, 1);
        world_running(&w, "m1")->sent_at_ms = w.now_ms - cases[i].age_h * 3600 * 1000;
        log_catch();
        world_verdict(&w, "m1", OUTCOME_REJECT);
        const char *text = log_caught();
        if (cases[i].left) {
            assert_non_null(strstr(text, "nears the end of the queue's retention"));
            assert_non_null(strstr(text, cases[i].left));
        } else {
            assert_null(strstr(text, "retention"));
        }
        world_end(&w);
    }
}

/* The copy is on the wire when the lease lapses: its answer decides. */
static void lapsed_with_the_copy_on_the_wire(void **state)
{
    (void)state;
    for (int confirmed = 0; confirmed < 2; confirmed++) {
        begin_with(true, 0);
        world_bring(&w, 1, 1);
        world_verdict(&w, "m1", OUTCOME_REJECT);
        world_pass(&w, 31000); /* nobody answers the extension either */
        assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        struct queue_batch *extension = world_take_batch(&w);
        extension->result.status = QUEUE_UNREACHABLE;
        extension->done(extension);
        world_copied(&w, confirmed ? QUEUE_OK : QUEUE_BUSY);
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, confirmed);
        if (confirmed)
            assert_int_equal(w.batches[0]->op, QUEUE_DELETE);
        world_answer_all(&w);
        assert_int_equal(flow_counts(w.flow)->rejected,
                         0); /* a delete after the lapse proves nothing */
        world_bring_one(&w, "m1", "h1b", 2);
        assert_non_null(world_running(&w, "m1"));
        world_end(&w);
    }
}

static void lapsed_while_it_waits(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    struct queue_batch *b;
    for (int s = 0; s < 40; s++) {
        while (w.copy_count > 0 && w.copies[0])
            world_copied(&w, QUEUE_BUSY);
        while ((b = world_take_batch(&w))) {
            b->result.status = QUEUE_UNREACHABLE;
            b->done(b);
        }
        world_pass(&w, 1000);
    }
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    assert_int_equal(w.copy_count, 0);
    world_bring_one(&w, "m1", "h1b", 2); /* somebody runs it: we do */
    assert_non_null(world_running(&w, "m1"));
    world_end(&w);
}

/* It was all that the host may have in hand, and nothing else happens: its place is free. */
static void a_lapse_makes_room(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    world_begin(&w, &o, 1, 1);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    world_pass(&w, 12000);
    assert_int_equal(w.receive_count, 0);
    struct queue_copy *c = w.copies[--w.copy_count];
    c->result = (struct queue_result){.status = QUEUE_BUSY, .retry_after_ms = 20000};
    c->done(c);
    struct queue_batch *b;
    for (int s = 12; s <= 30; s++) {
        while ((b = world_take_batch(&w))) {
            b->result.status = QUEUE_UNREACHABLE;
            b->done(b);
        }
        world_pass(&w, 1000);
    }
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    assert_int_equal(w.copy_count, 0);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

/* A copy on the wire when the lease lapses, refused: it was all that was in hand. */
static void a_lost_one_is_let_go_of(void **state)
{
    enum { RECEIVES_AGAIN, WAITS_FOR_IT, ENDS_THE_DRAIN, CASES };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct flow_options o = world_options();
        o.dead_letters = true;
        o.until_empty = i == WAITS_FOR_IT;
        world_begin(&w, &o, 1, 1);
        world_bring(&w, 1, 1);
        world_verdict(&w, "m1", OUTCOME_REJECT);
        world_pass(&w, 15000);
        struct queue_batch *extension = world_take_batch(&w);
        extension->result.status = QUEUE_UNREACHABLE;
        extension->done(extension);
        world_pass(&w, 600);
        if (i == ENDS_THE_DRAIN)
            flow_drain(w.flow);
        world_pass(&w, 14400);
        assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
        assert_int_equal(w.receive_count, 0);
        assert_false(w.ended);
        world_copied(&w, QUEUE_BUSY);
        assert_int_equal(w.ended, i == ENDS_THE_DRAIN);
        assert_int_equal(w.receive_count, i != ENDS_THE_DRAIN);
        if (i == WAITS_FOR_IT) { /* the queue shows it again after its visibility */
            world_bring(&w, 0, 0);
            assert_false(w.ended);
        }
        world_end(&w);
    }
}

/* It does not get as far as the wire: as if it had been answered so. */
static void a_copy_that_cannot_begin(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    w.no_copies = QUEUE_FAULT; /* too large, say */
    world_verdict(&w, "m1", OUTCOME_REJECT);
    assert_int_equal(w.copies_refused, 1);
    assert_kept("h1");
    world_end(&w);
}

static void copies_that_cannot_begin_take_no_place(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    w.no_copies = QUEUE_BUSY;
    world_verdict(&w, "m1", OUTCOME_REJECT);
    for (int i = 0; w.copies_refused < 20; i++) {
        assert_in_range(i, 0, 1000);
        world_pass(&w, 1000);
        world_answer_all(&w); /* extensions */
    }
    w.no_copies = QUEUE_OK;
    for (int s = 0; s < 20; s++) {
        world_pass(&w, 1000);
        world_answer_all(&w);
    }
    assert_int_equal(w.copy_count, 1);
    world_end(&w);
}

static void delivered_again_while_copying(void **state)
{
    (void)state;
    begin_with(true, 0);
    world_bring(&w, 1, 1);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    world_bring_one(&w, "m1", "h1b", 2);
    assert_null(world_running(&w, "m1"));
    world_copied(&w, QUEUE_OK);
    assert_string_equal(settlement(QUEUE_DELETE, 1)->entries[0].handle, "h1b");
    world_end(&w);
}

static void so_many_at_once(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    world_begin(&w, &o, 1, 40);
    for (int i = 0; i < 3; i++)
        world_bring(&w, 1 + 10 * i, 10);
    for (int i = 1; i <= 30; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        world_verdict(&w, id, OUTCOME_REJECT);
    }
    assert_int_equal(w.copy_count, 16);
    for (int i = 0; i < 30; i++)
        world_copied(&w, QUEUE_OK);
    assert_int_equal(w.copy_count, 0);
    assert_int_equal(settlement(QUEUE_DELETE, 10)->count, 10);
    world_end(&w);
}

static void stopping_waits_and_then_keeps(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    o.drain_ms = 2000;
    world_begin(&w, &o, 1, 4);
    world_bring(&w, 1, 2);
    world_verdict(&w, "m1", OUTCOME_REJECT);
    world_verdict(&w, "m2", OUTCOME_REJECT);
    flow_drain(w.flow);
    world_copied(&w, QUEUE_BUSY); /* m1 waits; m2 is on the wire */
    world_pass(&w, 50);
    assert_int_equal(w.batch_count, 0);
    flow_drain(w.flow); /* a second signal */
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_int_equal(v.copying, 1);
    struct queue_batch *b = settlement(QUEUE_CHANGE, 1);
    assert_string_equal(b->entries[0].handle, "h1");
    b->done(b);
    assert_false(w.ended);
    world_copied(&w, QUEUE_OK);
    b = settlement(QUEUE_DELETE, 1);
    assert_string_equal(b->entries[0].handle, "h2");
    b->done(b);
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_copy_is_confirmed_before_the_delete),
        cmocka_unit_test(without_a_queue_for_them_they_are_kept),
        cmocka_unit_test(last_receive_and_a_failed_run),
        cmocka_unit_test(busy_is_tried_again_under_the_lease),
        cmocka_unit_test(busy_for_too_long_is_kept),
        cmocka_unit_test(refused_is_kept),
        cmocka_unit_test(refused_by_words_is_tried_bare),
        cmocka_unit_test(a_kept_message_near_its_end),
        cmocka_unit_test(lapsed_with_the_copy_on_the_wire),
        cmocka_unit_test(lapsed_while_it_waits),
        cmocka_unit_test(a_lapse_makes_room),
        cmocka_unit_test(a_lost_one_is_let_go_of),
        cmocka_unit_test(a_copy_that_cannot_begin),
        cmocka_unit_test(copies_that_cannot_begin_take_no_place),
        cmocka_unit_test(delivered_again_while_copying),
        cmocka_unit_test(so_many_at_once),
        cmocka_unit_test(stopping_waits_and_then_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
