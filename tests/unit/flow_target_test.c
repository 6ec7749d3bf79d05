/* Targets that are down: who waits, who tries, and what is received meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_log.h"
#include "flow_world.h"

#include <cmocka.h>

#define KC "http://kc:80"

static struct world w;

static void begin(int workers, int slots)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, workers, slots);
}

/* Answers all extensions on the wire; nothing else may be there. */
static void extend(void)
{
    struct queue_batch *b;
    while ((b = world_take_batch(&w))) {
        assert_int_equal(b->op, QUEUE_CHANGE);
        assert_int_equal(b->entries[0].visibility_s, 30);
        b->done(b);
    }
}

static struct job *only_running(void)
{
    assert_int_equal(world_running_count(&w), 1);
    return list_entry(list_first(&w.running), struct job, node);
}

static void outage_holds_intake_and_the_parked_take_turns(void **state)
{
    static const char *const turns[] = {"m1", "m2", "m1", "m2", "m1", "m2"};
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    world_bring(&w, 2, 1);
    world_target_failure(&w, "m2", KC);
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 0);
    world_target_failure(&w, "m1", KC);
    for (int i = 0; i < 6; i++) { /* the one received first, first; each probe fails */
        world_pass(&w, 2500);
        assert_string_equal(only_running()->id, turns[i]);
        assert_string_equal(only_running()->probes, KC);
        assert_int_equal(only_running()->attempt, 2 + i / 2);
        world_target_failure(&w, turns[i], KC);
        extend();
        assert_int_equal(w.receive_count, 0);
    }
    world_pass(&w, 2500);
    world_running(&w, "m1")->probe_answered = true;
    world_verdict(&w, "m1", OUTCOME_ACK);
    assert_non_null(world_running(&w, "m2"));
    assert_int_equal(w.receive_count, 1);
    assert_int_equal(flow_counts(w.flow)->retried, 0);
    world_end(&w);
}

static void close_polls(void)
{
    while (w.receive_count > 0)
        world_bring(&w, 0, 0);
}

/* The target fails `bad` until a receive is open. Returns how often it tried. */
static int fail_until_received(const char *bad)
{
    int probes = 0;
    while (w.receive_count == 0) {
        world_pass(&w, 100);
        extend();
        if (w.receive_count == 0 && world_running(&w, bad)) {
            probes++;
            world_target_failure(&w, bad, KC);
        }
        assert_in_range(probes, 0, 10);
    }
    return probes;
}

/* Perhaps it is the message that makes the target fail: a second one is received to tell. */
static void a_lonely_probe_gets_company(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 1);
    world_target_failure(&w, "m1", KC);
    close_polls();
    assert_int_equal(fail_until_received("m1"), 5); /* and the sixth is under way */
    assert_int_equal(w.receives[0]->max, 1);
    world_bring(&w, 2, 1);
    assert_int_equal(w.receive_count, 0);
    world_target_failure(&w, "m1", KC);
    world_pass(&w, 2500);
    assert_string_equal(only_running()->id, "m2"); /* it has not tried yet */
    world_running(&w, "m2")->probe_answered = true;
    world_verdict(&w, "m2", OUTCOME_ACK);
    assert_int_equal(w.receive_count, 1);
    assert_non_null(world_running(&w, "m1"));
    world_end(&w);
}

/* Also when it takes the only slot there is. */
static void company_without_a_slot(void **state)
{
    (void)state;
    begin(1, 1);
    world_bring(&w, 1, 1);
    world_target_failure(&w, "m1", KC);
    close_polls();
    assert_int_equal(fail_until_received("m1"), 5);
    world_bring(&w, 2, 1);
    world_target_failure(&w, "m1", KC);
    world_pass(&w, 2500);
    assert_string_equal(only_running()->id, "m2");
    world_running(&w, "m2")->probe_answered = true;
    world_verdict(&w, "m2", OUTCOME_ACK);
    assert_non_null(world_running(&w, "m1"));
    world_end(&w);
}

/* Two that their server cannot bear, at their last receive: neither leaves, and neither is alone.
 */
static void company_for_two(void **state)
{
    struct flow_options o = world_options();
    (void)state;
    o.max_receives = 3;
    world_begin(&w, &o, 1, 2);
    world_bring_one(&w, "m1", "h1", 3);
    world_bring_one(&w, "m2", "h2", 3);
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    int probes = 0;
    while (w.receive_count == 0) {
        world_pass(&w, 100);
        extend();
        if (w.receive_count == 0 && world_running_count(&w) > 0) {
            probes++;
            world_target_failure(&w, only_running()->id, KC);
        }
        assert_in_range(probes, 0, 30);
    }
    assert_int_equal(probes, 2 * 2 * 5); /* ten of each; the next is under way */
    assert_int_equal(w.receives[0]->max, 1);
    world_bring(&w, 3, 1);
    world_target_failure(&w, only_running()->id, KC);
    world_pass(&w, 2500);
    assert_string_equal(only_running()->id, "m3");
    world_running(&w, "m3")->probe_answered = true;
    world_verdict(&w, "m3", OUTCOME_ACK);
    assert_non_null(world_running(&w, "m1"));
    assert_non_null(world_running(&w, "m2"));
    world_end(&w);
}

/* While its target is down, m<good> comes in, tries it and brings it back. */
static void another_succeeds(const char *bad, int good)
{
    char id[20];
    snprintf(id, sizeof id, "m%d", good);
    fail_until_received(bad);
    world_bring(&w, good, 1);
    while (!world_running(&w, id)) {
        if (world_running(&w, bad))
            world_target_failure(&w, bad, KC);
        world_pass(&w, 100);
        extend();
    }
    world_running(&w, id)->probe_answered = true;
    world_verdict(&w, id, OUTCOME_ACK);
    world_pass(&w, 5);
    world_answer_all(&w);
}

/* Its server fails it, and others bring that back without it; then it runs again. */
static void holds_everybody_up(const char *bad, int times)
{
    for (int good = 1; good <= times; good++) {
        world_target_failure(&w, bad, KC);
        close_polls();
        another_succeeds(bad, good);
        assert_non_null(world_running(&w, bad));
        assert_int_equal(flow_counts(w.flow)->retried, 0);
    }
    close_polls();
}

/* A message that its server cannot bear, between others that it takes: for a while it holds
 * everybody up, then it fails alone. */
static void a_message_that_breaks_its_target(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        struct flow_options o = world_options();
        o.dead_letters = true;
        o.max_receives = last ? 1 : 10;
        world_begin(&w, &o, 1, 4);
        world_bring_one(&w, "bad", "hb", 1);
        holds_everybody_up("bad", 3);
        world_target_failure(&w, "bad", KC);
        world_pass(&w, 50);
        assert_int_equal(w.receive_count, 1); /* no hold */
        assert_int_equal(w.copy_count, last);
        assert_int_equal(w.batch_count, !last);
        if (!last)
            assert_in_range(w.batches[0]->entries[0].visibility_s, 31, 900); /* a backoff */
        world_end(&w);
    }
}

/* A call that the breaker refused has done nothing to the server: its message is not to blame. */
static void refused_by_the_breaker(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring_one(&w, "bad", "hb", 1);
    holds_everybody_up("bad", 3);
    struct job *job = world_running(&w, "bad");
    snprintf(job->kind, sizeof job->kind, "breaker_open");
    world_target_failure(&w, "bad", KC);
    world_pass(&w, 50);
    assert_int_equal(w.receive_count, 0);
    assert_int_equal(w.batch_count, 0); /* it waits with the others */
    world_end(&w);
}

/* What tries a server that is down is not to blame for it, nor while the host drains. */
static void probe_at_a_drain(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    o.max_receives = 1;
    world_begin(&w, &o, 1, 4);
    world_bring_one(&w, "bad", "hb", 1);
    holds_everybody_up("bad", 3);
    snprintf(world_running(&w, "bad")->kind, sizeof world_running(&w, "bad")->kind, "breaker_open");
    world_target_failure(&w, "bad", KC);
    while (!world_running(&w, "bad"))
        world_pass(&w, 100);
    assert_non_null(world_running(&w, "bad")->probes);
    flow_drain(w.flow);
    world_target_failure(&w, "bad", KC);
    world_pass(&w, 50);
    assert_int_equal(w.copy_count, 0);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    world_end(&w);
}

/* It may have called another server. */
static void probe_that_never_called_proves_nothing(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    world_pass(&w, 2500);
    atomic_store(&world_running(&w, "m1")->wire_until_ms, WIRE_ANSWERED);
    world_verdict(&w, "m1", OUTCOME_ACK);
    assert_int_equal(w.receive_count, 0);
    assert_non_null(world_running(&w, "m2")); /* the next one tries */
    world_end(&w);
}

/* Ended by limits.time with its request on the wire: that is no answer of the target's. */
static void probe_without_an_answer_proves_nothing(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    world_bring(&w, 2, 1);
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    world_pass(&w, 2500);
    struct job *job = world_running(&w, "m1");
    atomic_store(&job->wire_until_ms, w.now_ms + 5000);
    snprintf(job->kind, sizeof job->kind, "time");
    world_verdict(&w, "m1", OUTCOME_RETRY);
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 0);
    assert_int_equal(world_running_count(&w), 1);
    job = world_running(&w, "m2"); /* the next one tries */
    atomic_store(&job->wire_until_ms, WIRE_ANSWERED);
    snprintf(job->kind, sizeof job->kind, "timeout");
    world_verdict(&w, "m2", OUTCOME_RETRY);
    world_pass(&w, 100);
    assert_int_equal(w.receive_count, 1); /* nothing is left to try with: one receive may */
    assert_int_equal(w.receives[0]->max, 1);
    struct flow_view v;
    flow_look(w.flow, &v);
    assert_null(v.hold);
    world_end(&w);
}

static void probe_that_fails_elsewhere_starts_nothing(void **state)
{
    (void)state;
    begin(1, 4);
    world_bring(&w, 1, 3);
    world_target_failure(&w, "m1", "http://one:80");
    world_target_failure(&w, "m2", "http://one:80");
    world_target_failure(&w, "m3", "http://one:80");
    world_pass(&w, 2500);
    assert_int_equal(world_running_count(&w), 1);
    world_running(&w, "m1")->probe_answered = true; /* by one */
    world_target_failure(&w, "m1", "http://two:80");
    assert_int_equal(w.receive_count, 0);
    assert_int_equal(world_running_count(&w), 0);
    flow_target_up(w.flow, "http://two:80");
    assert_int_equal(world_running_count(&w), 3); /* one is back, too */
    world_end(&w);
}

static void parking_ends_after_the_hold(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.hold_ms = 10000;
    world_begin(&w, &o, 1, 2);
    world_bring(&w, 1, 2);
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    for (int i = 0; i < 8 && w.batch_count == 0; i++) {
        world_pass(&w, 2000);
        if (world_running(&w, "m1"))
            world_target_failure(&w, "m1", KC);
    }
    world_pass(&w, 3000);
    assert_true(w.batch_count > 0);
    assert_int_equal(w.batches[0]->op, QUEUE_CHANGE);
    world_answer_all(&w);
    assert_true(flow_counts(w.flow)->retried > 0);
    world_end(&w);
}

/* The queue would move it at its next receive: an outage fills no dead-letter queue. */
static void no_hold_ends_the_last_receive(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.hold_ms = 10000;
    o.max_receives = 3;
    world_begin(&w, &o, 1, 2);
    world_bring_one(&w, "m1", "h1", 3);
    world_target_failure(&w, "m1", KC);
    for (int i = 0; i < 200; i++) {
        world_pass(&w, 1000);
        extend();
        if (world_running(&w, "m1"))
            world_target_failure(&w, "m1", KC);
    }
    assert_int_equal(flow_counts(w.flow)->retried, 0);
    world_end(&w);
}

/* The open receive brings another when one is parked already: the one that came first tries. */
static void the_parked_one_tries_before_the_new_one(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    world_pass(&w, 30);
    assert_int_equal(w.receive_count, 1);
    world_target_failure(&w, "m1", KC);
    world_bring(&w, 2, 1);
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 2500);
    assert_string_equal(only_running()->id, "m1");
    world_target_failure(&w, "m1", KC);
    world_pass(&w, 2500);
    assert_string_equal(only_running()->id, "m2"); /* it has tried less often now */
    world_end(&w);
}

/* However often it was tried: people read for how long. */
static void an_outage_has_held_since_it_began(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 2);
    int64_t began_ms = w.now_ms;
    world_target_failure(&w, "m1", KC);
    world_target_failure(&w, "m2", KC);
    for (int i = 0; i < 8; i++) {
        struct flow_view v;
        world_pass(&w, 2500);
        extend();
        world_target_failure(&w, only_running()->id, KC);
        flow_look(w.flow, &v);
        assert_string_equal(v.hold, "a target is down");
        assert_int_equal(v.hold_ms, w.now_ms - began_ms);
    }
    world_end(&w);
}

static void an_outage_is_told(void **state)
{
    (void)state;
    begin(1, 2);
    world_bring(&w, 1, 1);
    world_running(&w, "m1")->reason = strdup("no connection");
    log_catch();
    world_target_failure(&w, "m1", KC);
    const char *text = log_caught();
    assert_int_equal(log_count(text, "target is down: receiving nothing"), 1);
    assert_non_null(strstr(text, "\"target\":\"" KC "\""));
    assert_non_null(strstr(text, "\"reason\":\"no connection\""));
    world_pass(&w, 4000);
    log_catch();
    flow_target_up(w.flow, KC);
    text = log_caught();
    assert_int_equal(log_count(text, "target is back"), 1);
    assert_non_null(strstr(text, "\"target\":\"" KC "\""));
    assert_non_null(strstr(text, "\"down_s\":4"));
    log_catch();
    flow_target_up(w.flow, KC); /* it is */
    assert_string_equal(log_caught(), "");
    world_end(&w);
}

static void held_from_outside(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, 2);
    world_bring(&w, 1, 0);
    assert_int_equal(w.receive_count, 1);
    flow_target_down(w.flow, KC, "refused");
    world_bring(&w, 1, 1); /* the open poll brings one: it waits */
    assert_int_equal(world_running_count(&w), 0);
    world_pass(&w, 10000);
    assert_int_equal(w.receive_count, 0);
    assert_int_equal(world_running_count(&w), 0);
    flow_target_up(w.flow, KC);
    assert_int_equal(world_running_count(&w), 1);
    assert_int_equal(w.receive_count, 1);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outage_holds_intake_and_the_parked_take_turns),
        cmocka_unit_test(a_lonely_probe_gets_company),
        cmocka_unit_test(company_without_a_slot),
        cmocka_unit_test(company_for_two),
        cmocka_unit_test(a_message_that_breaks_its_target),
        cmocka_unit_test(refused_by_the_breaker),
        cmocka_unit_test(probe_at_a_drain),
        cmocka_unit_test(probe_that_never_called_proves_nothing),
        cmocka_unit_test(probe_without_an_answer_proves_nothing),
        cmocka_unit_test(probe_that_fails_elsewhere_starts_nothing),
        cmocka_unit_test(parking_ends_after_the_hold),
        cmocka_unit_test(no_hold_ends_the_last_receive),
        cmocka_unit_test(the_parked_one_tries_before_the_new_one),
        cmocka_unit_test(an_outage_has_held_since_it_began),
        cmocka_unit_test(an_outage_is_told),
        cmocka_unit_test(held_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
