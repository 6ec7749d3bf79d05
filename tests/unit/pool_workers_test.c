/* Jobs through real worker threads and back, on real loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "pool_scene.h"

#include <cmocka.h>

static void jobs_come_home_with_their_verdicts(void **state)
{
    (void)state;
    begin(4, 8,
          "local host = require 'host'\n"
          "local M = {}\n"
          "function M.handle(msg)\n"
          "  local n = msg.json.n\n"
          "  if n % 4 == 1 then return host.retry { after = 1 } end\n"
          "  if n % 4 == 2 then return host.reject 'two' end\n"
          "  if n % 4 == 3 then error 'three' end\n"
          "end\n"
          "return M\n");
    assert_int_equal(pool_state(t.pool, &failure), POOL_READY);
    for (int round = 0; round < 100; round++) {
        for (int worker = 0; worker < 4; worker++)
            give(worker, round * 32 + worker * 8, 8);
        wanted = (round + 1) * 32;
        turn_until(all_home);
    }
    assert_int_equal(t.outcomes[OUTCOME_ACK], 800);
    assert_int_equal(t.outcomes[OUTCOME_RETRY], 1600);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 800);
    end();
}

static void fenced_job_comes_home_unrun(void **state)
{
    (void)state;
    begin(1, 2,
          "local host = require 'host'\n"
          "return { handle = function() host.sleep(9) end }\n");
    struct job *job = make_job(1);
    struct list jobs;
    list_init(&jobs);
    list_append(&jobs, &job->node);
    struct workers seam = pool_seam(t.pool);
    seam.ops->run(seam.self, 0, &jobs);
    atomic_store(&job->fence, true);
    seam.ops->cancel(seam.self, job);
    wanted = 1;
    int64_t start_ms = clock_boot_ms();
    turn_until(all_home);
    assert_in_range(clock_boot_ms() - start_ms, 0, 8000);
    assert_int_equal(t.outcomes[OUTCOME_RELEASE], 1);
    end();
}

static void stopping_sends_everything_home(void **state)
{
    (void)state;
    begin(2, 3,
          "local host = require 'host'\n"
          "return { handle = function() host.sleep(9) end }\n");
    give(0, 1, 3);
    give(1, 4, 3);
    assert_int_equal(pool_free(t.pool), POOL_FREED);
    assert_int_equal(t.home, 6);
    assert_int_equal(t.outcomes[OUTCOME_RELEASE], 6);
    ev_loop_destroy(t.loop);
}

static void one_token_for_a_worker(void **state)
{
    (void)state;
    begin(1, 4,
          "local token = require 'host.token'\n"
          "return { handle = function()\n"
          "  local text, number = token.get 'demo'\n"
          "  if text ~= 'secret-token' or number ~= 7 then error(text) end\n"
          "end }\n");
    t.token_text = "secret-token";
    give(0, 1, 4);
    wanted = 4;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], 4);
    assert_int_equal(t.tokens_asked, 1);
    end();
}

static void bad_handler_fails_the_pool(void **state)
{
    (void)state;
    static const struct {
        const char *handler, *words;
    } cases[] = {
        {"return {", "handler.lua:1"},
        {"error 'while loading'", "while loading"},
        {"return {}", "handle"},
        {"return { handle = print, init = function() error 'in init' end }", "in init"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(2, 2, cases[i].handler);
        failure = (struct err){0};
        assert_int_equal(pool_state(t.pool, &failure), POOL_FAILED);
        if (!strstr(failure.text, cases[i].words))
            fail_msg("\"%s\" does not name \"%s\"", failure.text, cases[i].words);
        end();
    }
}

/* ---- more and fewer ---- */

static int usable_wanted;

static bool has_usable(void)
{
    return pool_usable(t.pool) == usable_wanted;
}

static void become(int workers)
{
    usable_wanted = workers;
    pool_want(t.pool, workers);
    turn_until(has_usable);
}

static void workers_come_and_go(void **state)
{
    (void)state;
    begin(1, 2, "function handle(msg) end");
    int alone = threads();
    for (int round = 0; round < 5; round++) {
        become(6);
        assert_true(pool_cpu_us(t.pool, 5) > 0);
        t.home = 0;
        assert_int_equal(pool_seam(t.pool).count, 8);
        for (int worker = 0; worker < 6; worker++)
            give(worker, worker, 1);
        wanted = 6;
        turn_until(all_home);
        become(1);
        threads_wanted = alone;
        turn_until(threads_are_gone);
        struct worker_view view;
        assert_true(pool_look(t.pool, 0, &view));
        assert_int_equal(pool_cpu_us(t.pool, 5), 0);
    }
    end();
}

/* Wanted again while it ends: another one takes its place. */
static void changes_of_mind(void **state)
{
    (void)state;
    begin(2, 2, "function handle(msg) end");
    for (int i = 0; i < 40; i++) {
        pool_want(t.pool, 1 + i % 7);
        pool_turn(t.pool);
    }
    become(8);
    pool_want(t.pool, 100); /* no more than there is room for */
    turn_until(has_usable);
    pool_want(t.pool, 1);
    end(); /* some are still ending */
}

/* ---- a new generation ---- */

static void all_workers_go_over(void **state)
{
    (void)state;
    begin(3, 4, HANDLER(""));
    assert_int_equal(replace(HANDLER("return host.reject 'new'"), 2), REPLACING_DONE);
    for (int worker = 0; worker < 3; worker++)
        give(worker, worker * 4, 4);
    wanted = 12;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 12);
    turn_until(is_one);
    /* One that is started now has the same handler. */
    pool_want(t.pool, 4);
    while (pool_usable(t.pool) < 4)
        turn();
    give(3, 100, 4);
    wanted = 16;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 16);
    end();
}

static void what_runs_ends_as_it_began(void **state)
{
    (void)state;
    begin(1, 4, HANDLER("host.sleep(1.5)"));
    give(0, 0, 2);
    turn();
    assert_int_equal(replace(HANDLER("return host.reject 'new'"), 2), REPLACING_DONE);
    give(0, 2, 2);
    wanted = 2;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 2);
    assert_true(pool_two(t.pool));
    wanted = 4;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], 2);
    turn_until(is_one);
    end();
}

static void what_is_wrong_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *handler, *words;
    } cases[] = {
        {"return {", "handler.lua:1"},
        {"return { handle = function() end, init = function() error 'no db' end }", "no db"},
        {"return { handle = function() end, selftest = function() error 'wrong sum' end }",
         "selftest"},
        {"return { handle = function() end, init = function() require('host').sleep(0.01) end,\n"
         "selftest = function() require('host').sleep(0.01) error 'later' end }",
         "later"},
    };
    begin(2, 4, HANDLER(""));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(replace(cases[i].handler, (uint32_t)i + 2), REPLACING_REFUSED);
        if (!strstr(failure.text, cases[i].words))
            fail_msg("%s has no %s", failure.text, cases[i].words);
        assert_true(is_one());
    }
    give(0, 0, 4);
    give(1, 4, 4);
    wanted = 8;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], 8);
    /* And a good one is taken afterwards. */
    assert_int_equal(replace(HANDLER("return host.reject 'new'"), 9), REPLACING_DONE);
    give(0, 8, 1);
    wanted = 9;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 1);
    end();
}

static void replaced_under_way(void **state)
{
    (void)state;
    begin(2, 8, HANDLER("host.sleep(0.002)"));
    int given = 0;
    for (uint32_t generation = 2; generation < 30; generation++) {
        struct err e = {0};
        turn_until(is_one);
        assert_int_equal(
            pool_replace(t.pool, make_bundle(HANDLER("host.sleep(0.002)"), generation), &e), 0);
        do {
            if (given - t.home < 8) {
                give(given % 2, given, 1);
                given++;
            }
            turn();
        } while (!is_replaced());
        assert_int_equal(replaced, REPLACING_DONE);
    }
    wanted = given;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], given);
    end();
}

int main(void)
{
    log_setup(LOG_JSON, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_come_and_go),
        cmocka_unit_test(changes_of_mind),
        cmocka_unit_test(jobs_come_home_with_their_verdicts),
        cmocka_unit_test(fenced_job_comes_home_unrun),
        cmocka_unit_test(stopping_sends_everything_home),
        cmocka_unit_test(one_token_for_a_worker),
        cmocka_unit_test(bad_handler_fails_the_pool),
        cmocka_unit_test(all_workers_go_over),
        cmocka_unit_test(what_runs_ends_as_it_began),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(replaced_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
