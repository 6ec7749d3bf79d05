/* Workers that do not come back from C code: os.clock waits here for a gate, in libc, where neither
 * hook nor timer reaches, as a string pattern without end does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "capture_server.h"
#include "pool_scene.h"

#include <stdatomic.h>
#include <time.h>
#include <cmocka.h>

enum { STUCK_MS = 1500 }; /* more than a busy machine keeps a thread waiting */

static atomic_bool gate_closed;

/* In the place of libc's. */
clock_t clock(void)
{
    static const struct timespec nap = {.tv_nsec = 1000000};
    while (atomic_load(&gate_closed))
        nanosleep(&nap, NULL);
    return 0;
}

/* Messages: 1 gets stuck and would then send, 2 waits, others end at once. */
static char handler[800];

static void begin_stuck(int workers, const char *url)
{
    snprintf(handler, sizeof handler,
             "local host, http = require 'host', require 'host.http'\n"
             "return { handle = function(msg)\n"
             "  if msg.json.n == 1 then os.clock() http.post { url = '%s', body = 'x' } end\n"
             "  if msg.json.n == 2 then host.sleep(9) http.post { url = '%s', body = 'x' } end\n"
             "end }",
             url, url);
    begin_watched(workers, 4, handler, STUCK_MS);
    atomic_store(&gate_closed, true);
}

static void open_gate(int threads_then)
{
    atomic_store(&gate_closed, false);
    threads_wanted = threads_then;
    turn_until(threads_are_gone);
}

static bool is_back(void)
{
    return t.back > 0;
}

static bool is_given_up(void)
{
    return t.given_up > 0;
}

static int stuck_wanted;

static bool are_stuck(void)
{
    return t.stuck >= stuck_wanted;
}

static struct worker_view look(int worker)
{
    struct worker_view v = {0};
    assert_true(pool_look(t.pool, worker, &v));
    return v;
}

static void take_request(struct connection *c)
{
    server_read(c);
}

static void the_first_one_is_replaced(void **state)
{
    (void)state;
    static struct server server;
    server_start(&server, take_request, NULL);
    begin_stuck(1, server.url);
    int before = threads();
    give(0, 1, 2);
    turn_until(is_back);
    assert_int_equal(t.stuck, 1);
    assert_int_equal(pool_stuck(t.pool), 1);
    assert_int_equal(t.home, 0);
    assert_int_equal(pool_usable(t.pool), 1);
    assert_string_equal(look(0).state, "ready");
    give(0, 3, 4); /* to the one in its place */
    wanted = 4;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], 4);
    /* It comes back: nothing is sent, its verdicts say so, and all that it had is freed. */
    open_gate(before);
    wanted = 6;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_RELEASE], 2);
    assert_int_equal(atomic_load(&server.connections), 0);
    assert_int_equal(t.given_up, 0);
    end();
    server_stop(&server);
}

static void the_second_one_is_not(void **state)
{
    (void)state;
    begin_stuck(2, "http://127.0.0.1:1/");
    int before = threads();
    give(0, 1, 1);
    turn_until(is_back);
    give(1, 1, 1);
    stuck_wanted = 2;
    turn_until(are_stuck);
    turn_until(is_given_up);
    assert_string_equal(look(0).state, "ready");
    assert_string_equal(look(1).state, "stuck");
    assert_true(look(1).fenced);
    assert_int_equal(pool_usable(t.pool), 1);
    assert_int_equal(pool_free(t.pool), POOL_FENCED);
    open_gate(before - 2);
    end();
    assert_int_equal(t.home, 2);
}

/* Waiting is not being stuck, and neither is the work that limits.cpu allows. */
static void who_waits_or_works_is_not_stuck(void **state)
{
    (void)state;
    begin_watched(2, 2,
                  "local host = require 'host'\n"
                  "return { handle = function(msg)\n"
                  "  if msg.json.n > 2 then host.sleep(3) return end\n"
                  "  for i = 1, 100 do host.sleep(0.02) for k = 1, 1e5 do end end\n"
                  "end }",
                  STUCK_MS);
    give(0, 1, 2);
    give(1, 3, 2);
    wanted = 4;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_ACK], 4);
    assert_int_equal(t.stuck, 0);
    end();
}

static void nothing_can_take_its_place(void **state)
{
    (void)state;
    begin_watched(1, 2,
                  "local cache = require 'host.cache'\n"
                  "return { init = function() if cache.incr 'inits' > 1 then error 'no' end end,\n"
                  "handle = function() os.clock() end }",
                  STUCK_MS);
    atomic_store(&gate_closed, true);
    int before = threads();
    give(0, 1, 1);
    turn_until(is_given_up);
    assert_int_equal(t.back, 0);
    open_gate(before - 1);
    end();
}

static void stuck_while_it_loads(void **state)
{
    (void)state;
    int before = threads();
    atomic_store(&gate_closed, true);
    begin_watched(1, 2, "os.clock() function handle() end", STUCK_MS);
    assert_int_equal(pool_state(t.pool, &failure), POOL_FAILED);
    assert_non_null(strstr(failure.text, "C code"));
    assert_int_equal(t.stuck, 0);
    open_gate(before);
    end();
}

/* The old generation goes on, and another one can be tried. */
static void a_trial_that_is_stuck_is_refused(void **state)
{
    (void)state;
    begin_watched(2, 2, HANDLER(""), STUCK_MS);
    int before = threads();
    atomic_store(&gate_closed, true);
    assert_int_equal(replace("os.clock() function handle() end", 2), REPLACING_REFUSED);
    assert_non_null(strstr(failure.text, "C code"));
    assert_int_equal(t.stuck, 0);
    assert_int_equal(replace(HANDLER("return host.reject 'new'"), 3), REPLACING_DONE);
    give(0, 1, 2);
    wanted = 2;
    turn_until(all_home);
    assert_int_equal(t.outcomes[OUTCOME_REJECT], 2);
    open_gate(before);
    end();
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_one_is_replaced),
        cmocka_unit_test(the_second_one_is_not),
        cmocka_unit_test(who_waits_or_works_is_not_stuck),
        cmocka_unit_test(nothing_can_take_its_place),
        cmocka_unit_test(stuck_while_it_loads),
        cmocka_unit_test(a_trial_that_is_stuck_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
