/* Limits: runaways of every kind end, alone, and the state is as good as before. */
#include "vm_harness.h"

static const char prelude[] = "local host = require 'host'\nlocal deep\n"
                              "local function spin() while true do end end\n"
                              "local M = {}\nfunction M.handle(msg)\n"
                              "if msg.body == 'good' then return end\n";

/* Runs the chunk as a handler beside three good ones, then one more good one. */
static void run_bad(const char *chunk, const char *kind, double time_s, double cpu_s)
{
    struct rig r;
    char source[2048];
    rig_defaults(&r);
    r.options.limit_time_s = time_s;
    r.options.limit_cpu_s = cpu_s;
    snprintf(source, sizeof source, "%s%s\nend\nreturn M", prelude, chunk);
    rig_must_open(&r, source);
    struct job *bad = rig_send(&r, "bad");
    for (int i = 0; i < 3; i++)
        rig_send(&r, "good");
    rig_until(&r, 4);
    for (int i = 0; i < 4; i++) {
        struct job *job = r.verdicts[i];
        if (job == bad && (job->outcome != OUTCOME_RETRY || strcmp(job->kind, kind) != 0))
            fail_msg("%s\noutcome %d kind '%s' at '%s': %s", chunk, job->outcome, job->kind,
                     job->at, job->reason);
        if (job != bad && job->outcome != OUTCOME_ACK)
            fail_msg("%s\na neighbour: %s: %s", chunk, job->kind, job->reason);
    }
    if (bad->duration_us > (int64_t)((time_s + cpu_s) * 1e6) + 10000000)
        fail_msg("%s\ntook %ld us", chunk, (long)bad->duration_us);
    assert_int_equal(rig_one(&r, "good")->outcome, OUTCOME_ACK);
    for (int i = 0; i < r.asked_count; i++)
        free(r.asked[i]); /* nobody answered: they are the core's */
    rig_close(&r);
}

static void cpu(void **state)
{
    (void)state;
    static const char *const chunks[] = {
        "spin()",
        "while true do pcall(spin) end",
        "while true do pcall(pcall, spin) end",
        "while true do xpcall(spin, spin) end",
        "xpcall(error, spin)",
        "while true do pcall(error, setmetatable({}, {__tostring = spin})) end",
        "error(setmetatable({}, {__tostring = spin}))",
        "return tostring(setmetatable({}, {__tostring = spin}))",
        "coroutine.wrap(spin)()",
        "while true do pcall(coroutine.wrap(spin)) end",
        "while true do coroutine.resume(coroutine.create(spin)) end",
        "local function nest(n) if n == 0 then spin() end while true do "
        "coroutine.resume(coroutine.create(nest), n - 1) end end nest(5)",
        "local function nest(n) if n == 0 then spin() end while true do "
        "pcall(coroutine.wrap(nest), n - 1) end end nest(20)",
        "while true do local co = coroutine.create(function() coroutine.yield() end) "
        "coroutine.resume(co) coroutine.close(co) end",
        "local x <close> = setmetatable({}, {__close = spin})",
        "local x <close> = setmetatable({}, {__close = spin}) error 'x'",
        "local x <close> = setmetatable({}, {__close = spin}) spin()",
        "local x <close> = setmetatable({}, {__close = spin}) local y <close> = "
        "setmetatable({}, {__close = spin}) spin()",
        "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = spin}) local y "
        "<close> = setmetatable({}, {__close = spin}) spin() end)()",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = "
        "spin}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = "
        "spin}) local y <close> = setmetatable({}, {__close = spin}) coroutine.yield() end) "
        "coroutine.resume(co) while true do pcall(coroutine.close, co) end",
        "local t = setmetatable({}, {__index = spin}) return t.x",
        "table.sort({3, 2, 1, 5, 4}, spin)",
        "string.gsub('aaaa', 'a', spin)",
        "for _ in spin do end",
        "load(spin)",
        "while true do load('return 1')() end",
        "local t = {} while true do t[1] = {} end",
        "while true do host.now() end",
        "while true do pcall(host.sleep, -1) end",
        "while true do local s = ('x'):rep(1000) end",
        "local function f() return f() end f()",
        "while true do pcall(function() host.error 'x' end) end",
        "while true do require 'host' end",
        "while true do pcall(require, 'none') end",
        "goto a ::a:: goto a",
        "deep = coroutine.wrap(function() while true do coroutine.yield() end end) while true do "
        "deep() end",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        run_bad(chunks[i], "cpu", 20, 0.1);
}

static void wall(void **state)
{
    (void)state;
    static const char *const chunks[] = {
        "host.sleep(100)",
        "while true do pcall(host.sleep, 100) end",
        "coroutine.wrap(function() host.sleep(100) end)()",
        "while true do coroutine.resume(coroutine.create(function() host.sleep(100) end)) end",
        "while true do host.sleep(0.01) end",
        "pcall(host.sleep, 100) return host.reject 'x'",
        "pcall(host.sleep, 100) host.sleep(100)",
        "local x <close> = setmetatable({}, {__close = spin}) host.sleep(100)",
        "local x <close> = setmetatable({}, {__close = function() host.sleep(100) end}) "
        "host.sleep(100)",
        "require('host.token').get 'r'",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        run_bad(chunks[i], "time", 0.15, 5);
    run_bad("spin()", "time", 0.1, 20);
    run_bad("while true do pcall(spin) end", "time", 0.1, 20);
}

static void memory(void **state)
{
    (void)state;
    static const char *const chunks[] = {
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) end",
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local function f() local a, b, c, d, e return 1 + f() + f() end local t = {} for i = 1, "
        "1e9 do t[i] = i end f()",
        "coroutine.wrap(function() local t = {} while true do t[#t + 1] = ('x'):rep(1e6) end "
        "end)()",
        "return string.format('%s', ('x'):rep(40000000))",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(spin) end",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        run_bad(chunks[i], "memory", 20, 10);
}

/* A hog that waits with nearly all memory does not make its neighbours fail. */
static void hog_among_neighbours(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_memory_bytes = 16 << 20;
    r.options.limit_time_s = 20;
    rig_must_open(&r, "local host = require 'host'\n"
                      "function handle(msg)\n"
                      "  if msg.body == 'hog' then\n"
                      "    local t = {}\n"
                      "    while collectgarbage 'count' < 15.8 * 1024 do t[#t + 1] = {} end\n"
                      "    host.sleep(10)\n"
                      "  end\n"
                      "  local t = {}\n"
                      "  for i = 1, 3000 do t[i] = {i} end\n"
                      "end");
    struct job *hog = rig_send(&r, "hog");
    vm_turn(r.vm);
    assert_int_equal(r.count, 0);
    for (int i = 0; i < 20; i++)
        rig_send(&r, "small");
    rig_until(&r, 21);
    int failed = 0;
    for (int i = 0; i < 21; i++) {
        if (r.verdicts[i] == hog)
            assert_string_equal(r.verdicts[i]->kind, "memory");
        else
            failed += r.verdicts[i]->outcome != OUTCOME_ACK;
    }
    assert_int_equal(failed, 0);
    assert_true(vm_memory_bytes(r.vm) < 2 << 20);
    rig_close(&r);
}

/* A neighbour that keeps the thread busy does not eat up the time of one that has not begun. */
static void time_starts_late(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_time_s = 1;
    r.options.limit_cpu_s = 20;
    rig_must_open(&r, "local host = require 'host'\nfunction handle(msg)\n"
                      "if msg.body == 'bad' then while true do end end\nhost.sleep(0.01) end");
    rig_send(&r, "bad");
    rig_send(&r, "good");
    rig_until(&r, 2);
    assert_string_equal(r.verdicts[0]->kind, "time");
    assert_int_equal(r.verdicts[1]->outcome, OUTCOME_ACK);
    rig_close(&r);
}

/* What a killed task leaves: its <close> variables ran, in their order. */
static void close_runs(void **state)
{
    (void)state;
    static const char *const chunks[] = {"host.sleep(100)", "while true do end",
                                         "coroutine.wrap(function() host.sleep(100) end)()",
                                         "coroutine.yield()"};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct rig r;
        char source[1024];
        rig_defaults(&r);
        r.options.limit_time_s = 0.7; /* and for the question after it */
        snprintf(source, sizeof source,
                 "local host = require 'host'\nlocal seen = ''\nlocal function at_close(c)\n"
                 "return setmetatable({}, {__close = function() seen = seen .. c end}) end\n"
                 "function handle(msg)\nif msg.body == 'ask' then return host.reject(seen) end\n"
                 "local a <close> = at_close 'a'\nlocal b <close> = at_close 'b'\n%s\nend",
                 chunks[i]);
        rig_must_open(&r, source);
        assert_int_equal(rig_one(&r, "bad")->outcome, OUTCOME_RETRY);
        assert_string_equal(rig_one(&r, "ask")->reason, "ba");
        rig_close(&r);
    }
}

/* Several vms on several threads, each with a runaway: signals reach the right one. */
static void *runaway_thread(void *arg)
{
    struct rig r;
    rig_defaults(&r);
    r.options.limit_cpu_s = 0.1;
    if (rig_open(&r, "function handle(msg) if msg.body == 'bad' then while true do end end end") ==
        0) {
        vm_begin_init(r.vm);
        for (int i = 0; i < 5; i++) {
            vm_run(r.vm, make_job(i % 2 ? "good" : "bad"));
            vm_turn(r.vm);
        }
        int right = 0;
        for (int i = 0; i < r.count; i++)
            right += i % 2 ? r.verdicts[i]->outcome == OUTCOME_ACK
                           : strcmp(r.verdicts[i]->kind, "cpu") == 0;
        *(int *)arg = right;
    }
    rig_close(&r);
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    pthread_t ids[4];
    int right[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, runaway_thread, &right[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(right[i], 5);
}

/* Two vms on one thread, as while a reload is under way. */
static void two_on_one_thread(void **state)
{
    (void)state;
    struct rig a;
    struct rig b;
    rig_defaults(&a);
    rig_defaults(&b);
    a.options.limit_cpu_s = b.options.limit_cpu_s = 0.1;
    rig_must_open(&a, "function handle() while true do end end");
    rig_must_open(&b, "function handle() while true do pcall(error) end end");
    assert_string_equal(rig_one(&a, "")->kind, "cpu");
    assert_string_equal(rig_one(&b, "")->kind, "cpu");
    rig_close(&a);
    assert_string_equal(rig_one(&b, "")->kind, "cpu");
    rig_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu),
        cmocka_unit_test(wall),
        cmocka_unit_test(memory),
        cmocka_unit_test(hog_among_neighbours),
        cmocka_unit_test(time_starts_late),
        cmocka_unit_test(close_runs),
        cmocka_unit_test(threads),
        cmocka_unit_test(two_on_one_thread),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
