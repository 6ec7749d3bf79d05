/* What goes home about calls, and targets that are open. */
#include "vm_harness.h"

#include "board.h"
#include "vm/calls.h"

static void names_hold_no_ids(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"GET", "http://a:1/users", "GET /users"},
        {"GET", "http://a:1", "GET "},
        {"GET", "http://a:1/", "GET /"},
        {"PUT", "http://a:1/api/v2/users/17/groups/", "PUT /api/v2/users/*/groups/"},
        {"GET", "https://a/u/6f9619ff-8b86-d011-b42d-00cf4fc964ff?q=1", "GET /u/*"},
        {"GET", "https://a/mail/anna@example.org#x", "GET /mail/*"},
        {"GET", "https://a/x%41", "GET /*"},
        {"GET", "https://a/averyveryverylongwordindeed", "GET /*"},
        {"PROPPATCHES", "https://a/a", "PROPPATC /a"},
        {"POST", "https://a/aaaaaaaaaaaaaaa/bbbbbbbbbbbbbbb/ccccccccccccccc/ddddddddddddddd",
         "POST /aaaaaaaaaaaaaaa/bbbbbbbbbbbbbbb/ccccccccc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[CALL_NAME_BYTES];
        calls_name(name, cases[i][0], cases[i][1]);
        assert_string_equal(name, cases[i][2]);
    }
}

static const char asks[] =
    "local http = require 'host.http'\n"
    "function handle(msg)\n"
    "  local r = http.get('http://127.0.0.1:PORT' .. msg.body, { name = msg.body:match '#(.*)' })\n"
    "  http.get('http://127.0.0.1:PORT/fine')\n"
    "end\n";

static void ends_of_calls(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum call_end end;
        int64_t retry_after_ms;
    } cases[] = {
        {"/fine", CALL_ANSWERED, -1},        {"/status/404", CALL_ANSWERED, -1},
        {"/status/429", CALL_REFUSED, 7000}, {"/status/503", CALL_REFUSED, 7000},
        {"/status/500", CALL_FAILED, -1},    {"/cut", CALL_FAILED, -1},
        {"/week", CALL_REFUSED, 900000},     {"/slow/20000", CALL_TIMEOUT, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char origin[64];
        rig_defaults(&r);
        r.options.http_timeout_ms = 1500;
        rig_must_open(&r, asks);
        snprintf(origin, sizeof origin, "http://127.0.0.1:%d", server.port);
        int64_t before = clock_boot_ms();
        struct job *job = rig_one(&r, cases[i].path);
        assert_in_range(job->call_count, 1, 2);
        const struct target_call *c = job->calls;
        if (c->end != cases[i].end)
            fail_msg("%s: end %d, not %d", cases[i].path, (int)c->end, (int)cases[i].end);
        assert_string_equal(c->target, origin);
        assert_int_equal(c->retry_after_ms, cases[i].retry_after_ms);
        assert_in_range(c->started_ms, before, clock_boot_ms());
        assert_in_range(c->rtt_us, 1, 5000000);
        rig_close(&r);
    }
}

static void a_name_of_ones_own(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, asks);
    struct job *job = rig_one(&r, "/fine#users.create");
    assert_int_equal(job->call_count, 2);
    assert_string_equal(job->calls[0].name, "users.create");
    assert_string_equal(job->calls[1].name, "GET /fine");
    rig_close(&r);
    rig_defaults(&r);
    rig_must_open(&r, "local http = require 'host.http'\n"
                      "function handle(msg) http.get('http://127.0.0.1:PORT/', {name = 7}) end");
    assert_has(rig_one(&r, "")->reason, "name must be a string");
    rig_close(&r);
}

/* limits.time ends a message while its target keeps it waiting: that is a slow target. */
static void a_call_that_is_given_up(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_time_s = 1.3;
    r.options.http_timeout_ms = 60000;
    rig_must_open(&r, asks);
    struct job *job = rig_one(&r, "/slow/20000");
    assert_int_equal(job->call_count, 1);
    assert_int_equal(job->calls[0].end, CALL_TIMEOUT);
    rig_close(&r);
}

static void many_calls_are_cut_short(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, "local http = require 'host.http'\n"
                      "function handle(msg)\n"
                      "  for i = 1, 200 do http.get('http://127.0.0.1:PORT/fine') end\n"
                      "end\n");
    struct job *job = rig_one(&r, "");
    assert_int_equal(job->outcome, OUTCOME_ACK);
    assert_int_equal(job->call_count, CALLS_MAX);
    job_reset(job);
    assert_int_equal(job->call_count, 0);
    rig_close(&r);
}

static void an_open_target_is_not_called(void **state)
{
    (void)state;
    static struct board board;
    struct rig r;
    char origin[64];
    rig_defaults(&r);
    r.options.board = &board;
    rig_must_open(&r, asks);
    snprintf(origin, sizeof origin, "http://127.0.0.1:%d", server.port);
    assert_int_equal(rig_one(&r, "/fine")->outcome, OUTCOME_ACK);
    board_set(&board, origin, true);
    int before = atomic_load(&server.requests);
    struct job *job = rig_one(&r, "/fine");
    assert_int_equal(atomic_load(&server.requests), before);
    assert_int_equal(job->outcome, OUTCOME_RETRY);
    assert_true(job->target_failed);
    assert_string_equal(job->kind, "breaker_open");
    assert_string_equal(job->target, origin);
    assert_has(job->reason, "not sent");
    assert_int_equal(job->call_count, 0);

    struct job *probe = make_job("/fine"); /* the one that is to try it may */
    probe->probes = origin;
    vm_run(r.vm, probe);
    rig_until(&r, 3);
    assert_int_equal(probe->outcome, OUTCOME_ACK);
    board_let_pass(&board, origin);
    assert_int_equal(rig_one(&r, "/fine")->kind[0], 'b'); /* one call, but it makes two */
    assert_int_equal(r.verdicts[3]->call_count, 1);
    board_set(&board, origin, false);
    assert_int_equal(rig_one(&r, "/fine")->outcome, OUTCOME_ACK);
    rig_close(&r);
}

static void a_full_board(void **state)
{
    (void)state;
    static struct board board;
    char name[2 * BOARD_NAME_BYTES];
    board_let_pass(&board, "http://unknown:1");
    assert_true(board_may_call(&board, "http://unknown:1"));
    for (int i = 0; i < BOARD_TARGETS + 10; i++) {
        snprintf(name, sizeof name, "http://h%d:1", i);
        board_set(&board, name, true);
        assert_int_equal(board_may_call(&board, name), i >= BOARD_TARGETS);
        board_set(&board, name, true);
    }
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    board_set(&board, name, true);
    assert_true(board_may_call(&board, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_hold_no_ids),
        cmocka_unit_test(ends_of_calls),
        cmocka_unit_test(a_name_of_ones_own),
        cmocka_unit_test(a_call_that_is_given_up),
        cmocka_unit_test(many_calls_are_cut_short),
        cmocka_unit_test(an_open_target_is_not_called),
        cmocka_unit_test(a_full_board),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
