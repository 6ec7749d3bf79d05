/* Groups of a FIFO queue. Each case is a script: what happens, which messages run afterwards, and
 * what the queue is told meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

enum { STEPS_MAX = 24, TEXT = 400 };

/* Messages are named by their group, a letter, and their number; "a1*3" comes for the third time.
 *
 *   bring a1 a2    the oldest poll is answered with them
 *   empty          … with nothing
 *   ack, fail, reject, release, target (its target fails it) a1      verdicts
 *   error a1       a failure of the handler's own, always the same one
 *   after a1       a failure whose handler wants 20 s
 *   up             the target is back
 *   ok             what the queue was told is confirmed, fault: it is refused for good
 *   copied, denied what the dead-letter queue answers
 *   deaf 20        so many seconds pass, extensions are lost
 *   pass 20        so many seconds pass, extensions succeed
 *   drain          SIGTERM */
struct step {
    const char *what;
    const char *run;  /* afterwards, in the order in which they were started */
    const char *told; /* by this step: "-a1" a delete, "a1=5" visible in 5 s, "+a1" a copy */
};

struct script {
    const char *name;
    int max_receives;
    int64_t hold_s;
    bool standard;
    struct step steps[STEPS_MAX];
};

static struct world w;
static char told[TEXT];

static void tell(const char *format, const char *id, int seconds)
{
    size_t len = strlen(told);
    snprintf(told + len, sizeof told - len, format, len ? " " : "", id, seconds);
}

/* Looks at what is on the wire; extensions are answered, or lost. */
static void listen(bool deaf)
{
    for (int i = 0; i < w.batch_count; i++) {
        struct queue_batch *b = w.batches[i];
        bool extension = b->op == QUEUE_CHANGE && b->entries[0].visibility_s == 30;
        if (extension) {
            w.batches[i--] = w.batches[--w.batch_count];
            b->result = (struct queue_result){.status = deaf ? QUEUE_UNREACHABLE : QUEUE_OK};
            for (int e = 0; e < b->count; e++)
                b->entries[e].ok = true;
            b->done(b);
            continue;
        }
        for (int e = 0; e < b->count && !b->call; e++)
            tell(b->op == QUEUE_DELETE ? "%s-%s" : "%s%s=%d", b->entries[e].handle + 1,
                 b->entries[e].visibility_s);
        b->call = b; /* looked at */
    }
    for (int i = 0; i < w.copy_count; i++)
        if (!w.copies[i]->call) {
            tell("%s+%s", w.copies[i]->job->id, 0);
            w.copies[i]->call = w.copies[i];
        }
}

static void pass(int64_t ms, bool deaf)
{
    for (int64_t left = ms; left > 0; left -= 500) {
        world_pass(&w, left < 500 ? left : 500);
        listen(deaf);
    }
}

static struct job *group_job(const char *word)
{
    char text[400], id[20], group[2] = {word[0], '\0'};
    const char *star = strchr(word, '*');
    snprintf(id, sizeof id, "%.*s", star ? (int)(star - word) : 19, word);
    snprintf(text, sizeof text,
             "{\"MessageId\":\"%s\",\"ReceiptHandle\":\"h%s\",\"Body\":\"body of %s\","
             "\"Attributes\":{\"ApproximateReceiveCount\":\"%s\",\"MessageGroupId\":\"%s\"}}",
             id, id, id, star ? star + 1 : "1", group);
    return job_new(json_tokener_parse(text));
}

static void bring(char *words)
{
    struct queue_receive *r = world_take_answer(&w);
    for (char *rest, *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        list_append(&r->jobs, &group_job(word)->node);
    r->done(r);
}

static void answer(bool good)
{
    for (int n = w.batch_count; n > 0; n--) {
        struct queue_batch *b = world_take_batch(&w);
        for (int i = 0; i < b->count; i++)
            b->entries[i].ok = good, b->entries[i].sender_fault = !good;
        b->done(b);
    }
}

static void act(const char *what)
{
    char line[100], *rest;
    snprintf(line, sizeof line, "%s", what);
    char *verb = strtok_r(line, " ", &rest);
    if (strcmp(verb, "bring") == 0) {
        bring(rest);
    } else if (strcmp(verb, "empty") == 0) {
        bring(rest);
    } else if (strcmp(verb, "ack") == 0) {
        world_verdict(&w, rest, OUTCOME_ACK);
    } else if (strcmp(verb, "fail") == 0) {
        world_verdict(&w, rest, OUTCOME_RETRY);
    } else if (strcmp(verb, "error") == 0) {
        struct job *job = world_running(&w, rest);
        snprintf(job->kind, sizeof job->kind, "lua");
        world_verdict(&w, rest, OUTCOME_RETRY);
    } else if (strcmp(verb, "after") == 0) {
        world_running(&w, rest)->after_ms = 20000;
        world_verdict(&w, rest, OUTCOME_RETRY);
    } else if (strcmp(verb, "reject") == 0) {
        world_verdict(&w, rest, OUTCOME_REJECT);
    } else if (strcmp(verb, "release") == 0) {
        world_home(&w, rest, OUTCOME_RELEASE, false);
    } else if (strcmp(verb, "target") == 0) {
        world_target_failure(&w, rest, "http://t:80");
    } else if (strcmp(verb, "up") == 0) {
        flow_target_up(w.flow, "http://t:80");
    } else if (strcmp(verb, "ok") == 0 || strcmp(verb, "fault") == 0) {
        answer(verb[0] == 'o');
    } else if (strcmp(verb, "copied") == 0 || strcmp(verb, "denied") == 0) {
        world_copied(&w, verb[0] == 'c' ? QUEUE_OK : QUEUE_DENIED);
    } else if (strcmp(verb, "pass") == 0 || strcmp(verb, "deaf") == 0) {
        pass(atoi(rest) * INT64_C(1000), verb[0] == 'd');
    } else if (strcmp(verb, "drain") == 0) {
        flow_drain(w.flow);
    } else {
        fail_msg("unknown step %s", what);
    }
    pass(6, false);
}

static void check_running(const struct script *s, int step)
{
    char text[TEXT] = "";
    list_for_each (node, &w.running) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "",
                 list_entry(node, struct job, node)->id);
    }
    const struct step *st = &s->steps[step];
    const char *want = st->told ? st->told : "";
    if (strcmp(text, st->run) != 0 || strcmp(told, want) != 0)
        fail_msg("%s, step %d, %s: \"%s\" run, not \"%s\"; the queue was told \"%s\", not \"%s\"",
                 s->name, step + 1, st->what, text, st->run, told, want);
}

/* A message in hand is in exactly one state (state.h), and counted there. */
static void check_counts(const struct script *s, int step)
{
    struct flow_view v;
    flow_look(w.flow, &v);
    int counted = v.buffered + v.running + v.parked + v.waiting + v.copying + v.settling;
    if (counted != v.in_hand || v.waiting < 0)
        fail_msg("%s, step %d: %d in hand, %d counted, %d of them waiting", s->name, step + 1,
                 v.in_hand, counted, v.waiting);
}

static void play(const struct script *s)
{
    struct flow_options o = world_options();
    o.fifo = !s->standard;
    o.dead_letters = true;
    o.max_receives = s->max_receives;
    if (s->hold_s)
        o.hold_ms = s->hold_s * 1000;
    world_begin(&w, &o, 2, 4);
    for (int i = 0; i < STEPS_MAX && s->steps[i].what; i++) {
        told[0] = '\0';
        act(s->steps[i].what);
        check_running(s, i);
        check_counts(s, i);
    }
    world_end(&w);
}

/* Backoffs here are the middle of 1 s and 5 s, 10 s, …: 3 s, 5 s, 10 s. */
static const struct script scripts[] = {
    {"the next one after the confirmed delete, other groups beside it",
     .steps = {{"bring a1 a2 a3 b1 b2", "a1 b1"},
               {"ack a1", "b1", "-a1"},
               {"pass 1", "b1"},
               {"ok", "b1 a2"},
               {"ack b1", "a2", "-b1"},
               {"ack a2", "", "-a2"},
               {"ok", "b2 a3"}}},
    {"on a standard queue a group id serialises nothing", .standard = true,
     .steps = {{"bring a1 a2 a3 b1", "a1 a2 a3 b1"}, {"fail a1", "a2 a3 b1", "a1=3"}}},
    {"what comes later waits behind what is in hand", .steps = {{"bring a1", "a1"},
                                                                {"bring a2", "a1"},
                                                                {"ack a1", "", "-a1"},
                                                                {"bring a3", ""},
                                                                {"ok", "a2"},
                                                                {"ack a2", "", "-a2"},
                                                                {"ok", "a3"}}},
    {"a failed one runs again in place, its group waits, others go on",
     .steps = {{"bring a1 a2 b1 b2", "a1 b1"},
               {"fail a1", "b1"},
               {"ack b1", "", "-b1"},
               {"ok", "b2"},
               {"pass 2", "b2"},
               {"pass 1", "b2 a1"},
               {"ack a1", "b2", "-a1"},
               {"ok", "b2 a2"}}},
    {"an error again and again, which the log only counts", .steps = {{"bring a1 a2", "a1"},
                                                                      {"error a1", ""},
                                                                      {"pass 4", "a1"},
                                                                      {"error a1", ""},
                                                                      {"pass 10", "a1"},
                                                                      {"ack a1", "", "-a1"},
                                                                      {"ok", "a2"}}},
    {"a handler that says when",
     .steps = {{"bring a1 a2", "a1"}, {"after a1", ""}, {"pass 19", ""}, {"pass 1", "a1"}}},
    {"a poison message goes to the dead letters after its attempts, then its group goes on",
     .max_receives = 3,
     .steps = {{"bring a1 a2 a3", "a1"},
               {"fail a1", ""},
               {"pass 4", "a1"},
               {"fail a1", ""},
               {"pass 10", "a1"},
               {"fail a1", "", "+a1"},
               {"copied", "", "-a1"},
               {"ok", "a2"},
               {"ack a2", "", "-a2"},
               {"ok", "a3"}}},
    {"receives count as attempts", .max_receives = 3,
     .steps =
         {{"bring a1*2 a2*2", "a1"}, {"fail a1", ""}, {"pass 10", "a1"}, {"fail a1", "", "+a1"}}},
    {"a reject settles the first one", .steps = {{"bring a1 a2", "a1"},
                                                 {"reject a1", "", "+a1"},
                                                 {"pass 5", ""},
                                                 {"copied", "", "-a1"},
                                                 {"pass 1", ""},
                                                 {"ok", "a2"}}},
    {"when the hold is over the first goes back with its backoff, then the others", .hold_s = 7,
     .steps = {{"bring a1 a2 a3", "a1"},
               {"fail a1", ""},
               {"pass 4", "a1"},
               {"fail a1", "", "a1=5"},
               {"pass 1", ""},
               {"ok", "", "a2=0 a3=0"},
               {"ok", ""},
               {"bring a1*2 a2*2", "a1"}}},
    {"a wish beyond the hold goes to the queue at once", .hold_s = 10,
     .steps = {{"bring a1 a2", "a1"}, {"after a1", "", "a1=20"}, {"ok", "", "a2=0"}}},
    {"the hold does not end while one behind is at its last receive", .max_receives = 30,
     .hold_s = 2,
     .steps = {{"bring a1*29 a2*30", "a1"},
               {"fail a1", ""},
               {"pass 500", "a1"},
               {"fail a1", "", "+a1"},
               {"copied", "", "-a1"},
               {"ok", "a2"}}},
    {"a dead letter that cannot be copied stays first", .max_receives = 2, .hold_s = 2000,
     .steps = {{"bring a1 a2", "a1"},
               {"reject a1", "", "+a1"},
               {"denied", ""},
               {"pass 899", ""},
               {"pass 1", "a1"},
               {"ack a1", "", "-a1"},
               {"ok", "a2"}}},
    {"a delete that fails for good: nothing behind runs",
     .steps = {{"bring a1 a2 a3 b1", "a1 b1"},
               {"ack a1", "b1", "-a1"},
               {"fault", "b1", "a2=0 a3=0"},
               {"ok", "b1"},
               {"bring a1*2 a2*2", "b1", "-a1"}, /* acked before: deleted unrun */
               {"ok", "b1 a2"}}},
    {"a lost lease of the first: those behind go back",
     .steps = {{"bring a1 a2", "a1"},
               {"pass 10", "a1"},
               {"bring a3", "a1"},
               {"deaf 25", "a1", "a3=0"}, /* a1 and a2 have lapsed; a3 has not, and is behind */
               {"fail a1", ""},
               {"pass 1", ""}}},
    {"comes again while those behind are on their way back",
     .steps = {{"bring a1 a2 a3", "a1"},
               {"ack a1", "", "-a1"},
               {"fault", "", "a2=0 a3=0"},
               {"bring a1*2 a2*2 a4", "", "-a1"},
               {"ok", "", "a2=0"}, /* with its newest handle; a1 is deleted, a3 has gone */
               {"ok", "", "a4=0"}, /* not before a2 */
               {"ok", ""},
               {"bring a2*3 a3*2 a4*2", "a2"}}},
    {"a target that fails parks the first; the group keeps its order",
     .steps = {{"bring a1 a2 b1 b2", "a1 b1"},
               {"target a1", "b1"},
               {"target b1", ""},
               {"pass 3", "a1"},
               {"target a1", ""},
               {"up", "b1 a1"},
               {"ack a1", "b1", "-a1"},
               {"ok", "b1 a2"}}},
    {"a drain gives those behind back after the first, never before",
     .steps = {{"bring a1 a2 b1 b2", "a1 b1"},
               {"fail b1", "a1"},
               {"drain", "a1", "b1=3"}, /* what is left of its backoff */
               {"ok", "a1", "b2=0"},
               {"ok", "a1"},
               {"ack a1", "", "-a1"},
               {"ok", "", "a2=0"},
               {"ok", ""}}},
    {"a run that is given back takes those behind along",
     .steps = {{"bring a1 a2", "a1"}, {"release a1", "", "a1=0"}, {"ok", "", "a2=0"}}},
};

static void play_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        play(&scripts[i]);
}

static void begin(int workers, int slots)
{
    struct flow_options o = world_options();
    o.fifo = true;
    world_begin(&w, &o, workers, slots);
}

static void end_all_drained(void)
{
    flow_drain(w.flow);
    if (world_running_count(&w))
        world_verdict(&w, "a1", OUTCOME_ACK);
    for (int i = 0; i < 20 && !w.ended; i++) {
        pass(500, false);
        answer(true);
    }
    assert_true(w.ended);
    assert_int_equal(w.end, FLOW_DRAINED);
    world_end(&w);
}

/* Ten of one group take one slot: the others are asked for, and no more than can run. */
static void a_waiting_group_leaves_room_for_others(void **state)
{
    (void)state;
    begin(1, 4);
    bring((char[]){"a1 a2 a3 a4"});
    assert_int_equal(world_take_receive(&w)->max, 3);
    end_all_drained();
}

static void intake_stops_when_too_many_wait(void **state)
{
    (void)state;
    begin(1, 1);
    for (int i = 0; i < 200; i++) {
        char words[40];
        if (w.receive_count == 0)
            world_pass(&w, 1000);
        if (w.receive_count == 0)
            break;
        snprintf(words, sizeof words, "a%d", i + 1);
        bring(words);
        if (world_running_count(&w))
            world_verdict(&w, "a1", OUTCOME_RETRY);
        listen(false);
    }
    assert_int_equal(w.receive_count, 0);
    end_all_drained();
}

/* The first one's turn makes room among those that wait, and nothing else happens. */
static void a_turn_makes_room(void **state)
{
    struct flow_view v;
    int n = 0;
    (void)state;
    begin(1, 2);
    do {
        char words[20];
        if (w.receive_count == 0)
            world_pass(&w, 25);
        snprintf(words, sizeof words, "a%d", ++n);
        bring(words);
        if (n == 1)
            world_running(&w, "a1")->after_ms = 10000, world_verdict(&w, "a1", OUTCOME_RETRY);
        flow_look(w.flow, &v);
    } while (v.waiting < 100);
    world_pass(&w, 3000);
    assert_int_equal(w.receive_count, 0);
    while (!world_running(&w, "a1"))
        world_pass(&w, 1);
    assert_int_equal(w.receive_count, 1);
    end_all_drained();
}

/* Whatever its name: what waits for its backoff goes back at once. */
static void a_drain_finds_each_group(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char text[200];
        begin(1, 1);
        struct queue_receive *r = world_take_answer(&w);
        snprintf(text, sizeof text,
                 "{\"MessageId\":\"a1\",\"ReceiptHandle\":\"ha1\",\"Body\":\"\","
                 "\"Attributes\":{\"MessageGroupId\":\"group-%d\"}}",
                 i);
        list_append(&r->jobs, &job_new(json_tokener_parse(text))->node);
        r->done(r);
        world_verdict(&w, "a1", OUTCOME_RETRY);
        flow_drain(w.flow);
        world_pass(&w, 5);
        assert_int_equal(w.batch_count, 1);
        world_end(&w);
    }
}

/* ---- ReceiveRequestAttemptId ---- */

static void lose(struct queue_receive *r, enum queue_status status)
{
    r->result = (struct queue_result){.status = status, .retry_after_ms = -1};
    r->done(r);
    world_pass(&w, 30000);
    assert_true(w.receive_count > 0);
}

static void a_receive_whose_answer_was_lost_is_repeated(void **state)
{
    static const struct {
        enum queue_status first, second; /* what came of the first call, and of the next */
        bool same, same_again;
    } cases[] = {
        {QUEUE_UNREACHABLE, QUEUE_UNREACHABLE, true, true},
        {QUEUE_BUSY, QUEUE_BUSY, true, false},
        {QUEUE_UNREACHABLE, QUEUE_FAULT, true, false}, /* "not valid anymore": at once, a new one */
        {QUEUE_FAULT, QUEUE_UNREACHABLE, false, true},
        {QUEUE_UNREACHABLE, QUEUE_OK, true, false},
        {QUEUE_OK, QUEUE_OK, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char ids[3][QUEUE_ATTEMPT_BYTES];
        begin(1, 1);
        w.varied = true;
        bring((char[]){""}); /* the first one asks without waiting */
        for (int n = 0; n < 3; n++) {
            struct queue_receive *r = world_take_receive(&w);
            memcpy(ids[n], r->attempt, sizeof ids[n]);
            assert_int_equal(strlen(ids[n]), 32);
            if (n < 2)
                lose(r, n == 0 ? cases[i].first : cases[i].second);
        }
        assert_int_equal(strcmp(ids[0], ids[1]) == 0, cases[i].same);
        assert_int_equal(strcmp(ids[1], ids[2]) == 0, cases[i].same_again);
        world_end(&w);
    }
}

static void an_attempt_is_not_repeated_after_its_window(void **state)
{
    char first[QUEUE_ATTEMPT_BYTES];
    (void)state;
    begin(1, 1);
    w.varied = true;
    bring((char[]){""});
    struct queue_receive *r = world_take_receive(&w);
    memcpy(first, r->attempt, sizeof first);
    world_pass(&w, 250000);
    lose(r, QUEUE_UNREACHABLE);
    assert_string_not_equal(world_take_receive(&w)->attempt, first);
    world_end(&w);
}

static void a_standard_queue_gets_no_attempt_id(void **state)
{
    struct flow_options o = world_options();
    (void)state;
    world_begin(&w, &o, 1, 1);
    assert_string_equal(world_take_receive(&w)->attempt, "");
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_TEXT, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(play_all),
        cmocka_unit_test(a_waiting_group_leaves_room_for_others),
        cmocka_unit_test(intake_stops_when_too_many_wait),
        cmocka_unit_test(a_turn_makes_room),
        cmocka_unit_test(a_drain_finds_each_group),
        cmocka_unit_test(a_receive_whose_answer_was_lost_is_repeated),
        cmocka_unit_test(an_attempt_is_not_repeated_after_its_window),
        cmocka_unit_test(a_standard_queue_gets_no_attempt_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
