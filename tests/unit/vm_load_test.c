/* Loading: bad handlers and what is said of them, modules, the closed-down library. */
#include "vm_harness.h"

#include <sys/stat.h>

static void bad_handlers(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        const char *words;
    } cases[] = {
        {"local x =\nlocal y", "/srv/app/register.lua:2: "},
        {"error('at load')", "/srv/app/register.lua:1: at load"},
        {"local t = nil\nt.x = 1", "/srv/app/register.lua:2: attempt to index a nil value"},
        {"", "/srv/app/register.lua: no `handle`"},
        {"return {}", "no `handle`: return a table"},
        {"return 7", "returns a number"},
        {"return {handle = 7}", "'handle' is a number"},
        {"return {handle = print, init = {}}", "'init' is a table"},
        {"while true do end", "used more CPU than limits.cpu (2 s)"},
        {"coroutine.yield()", "/srv/app/register.lua:1: attempt to yield"},
        {"require 'nothing.there'", "module 'nothing.there' not found"},
        {"require 'host.nothing'", "no module 'host.nothing'"},
        {"require '../etc'", "no module name"},
        {"require('host').sleep(1)", "while the handler loads"},
        {"require('host.http').get 'http://127.0.0.1:PORT/'", "while the handler loads"},
        {"local t = {} while true do t[#t+1] = ('x'):rep(1e6) end", "not enough memory"},
        {"string.upper = 1", "'string' is read-only"},
        {"\x1bLua", "/srv/app/register.lua: attempt to load a binary chunk"},
        {"io.open('/etc/passwd')", "nil value (global 'io')"},
        {"host = require 'host' host.env('HOME')", "host.env: 'HOME' is not listed"},
        {"error(setmetatable({}, {__tostring=function() while true do end end}))", "CPU"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        rig_defaults(&r);
        r.options.limit_time_s = 60;
        if (rig_open(&r, cases[i].source) == 0)
            fail_msg("loaded: %s", cases[i].source);
        assert_has(r.err.text, cases[i].words);
        rig_close(&r);
    }
}

static void init_states(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        const char *words; /* NULL: it succeeds */
    } cases[] = {
        {"function init() end function handle() end", NULL},
        {"function init() require('host').sleep(0.02) end function handle() end", NULL},
        {"function init() return true end function handle() end", NULL},
        {"\nfunction init() error 'no' end function handle() end",
         "/srv/app/register.lua: init: register.lua:2: no"},
        {"function init() return false end function handle() end", "returned false"},
        {"function init() while true do end end function handle() end", "CPU"},
        {"local h = require 'host.http'\nfunction init() h.get 'http://127.0.0.1:1/' end "
         "function handle() end",
         "init: register.lua:2: GET http://127.0.0.1:1/: "},
        {"local h = require 'host.http'\nfunction init() assert(h.get('http://127.0.0.1:PORT/x')"
         ".status == 200) end function handle() end",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        enum vm_init got;
        rig_defaults(&r);
        r.options.limit_time_s = 60;
        if (rig_open(&r, cases[i].source) != 0)
            fail_msg("%s", r.err.text);
        vm_begin_init(r.vm);
        vm_turn(r.vm);
        while ((got = vm_init_state(r.vm, &r.err)) == VM_INIT_RUNNING)
            rig_turn(&r);
        assert_int_equal(got, cases[i].words ? VM_INIT_FAILED : VM_INIT_READY);
        if (cases[i].words)
            assert_has(r.err.text, cases[i].words);
        rig_close(&r);
    }
}

/* Each chunk runs in `handle` and must return true. */
static void closed_library(void **state)
{
    (void)state;
    static const char *const checks[] = {
        "return debug == nil and io == nil and dofile == nil and loadfile == nil",
        "return os.execute == nil and os.exit == nil and os.remove == nil and os.rename == nil",
        "return os.tmpname == nil and os.setlocale == nil and os.getenv == nil",
        "return os.time() > 0 and type(os.date()) == 'string' and os.clock() >= 0",
        "return package.loadlib == nil and package.loaded == nil and string.dump == nil",
        "return not pcall(rawset, _G, 'x', 1) and x == nil",
        "return not pcall(rawset, string, 'upper', 1) and ('a'):upper() == 'A'",
        "return not pcall(function() string.upper = 1 end)",
        "return not pcall(function() _G.y = 1 end) and not pcall(function() print = 1 end)",
        "return getmetatable('') == false and getmetatable(_G) == false",
        "return not pcall(setmetatable, _G, nil) and not pcall(setmetatable, {}, {__gc = print})",
        "return not pcall(table.insert, string, 'x') and not pcall(table.sort, {2, 1}, 1)",
        "return rawget(_G, 'print') == print and rawget(string, 'rep') == string.rep",
        "local n = 0 for k, v in pairs(string) do n = n + 1 if k == 'upper' then n = n + 100 end "
        "end return n > 110",
        "local _, t = pairs(string) return t == string",
        "return load(string.rep('x', 3) .. ' = 1') ~= nil and not load('\\27Lua')",
        "return not pcall(load, '\\27Lua', 'x', 'b') and load('return 1', 'x', 'bt')() == 1",
        "return load('return z', 'c', 't', {z = 5})() == 5",
        "return not pcall(load('q = 1'))",
        "return not pcall(collectgarbage) and not pcall(collectgarbage, 'stop')",
        "return collectgarbage 'count' > 10",
        "return ('').rep('', 1 << 40) == '' and not pcall(string.rep, 'x', 1 << 40)",
        "return ('ab'):rep(3, '-') == 'ab-ab-ab' and ('x'):rep(-1) == ''",
        "return not pcall(table.move, {}, 1, 1 << 40, 2) and not pcall(table.concat, {}, '', 1, "
        "1 << 40)",
        "local lie = setmetatable({}, {__len = function() return 1 << 40 end}) return not "
        "pcall(table.insert, lie, 1, 1) and not pcall(table.remove, lie, 1) and not "
        "pcall(table.sort, lie)",
        "local t = {1, 2} table.insert(t, 1, 0) table.insert(t, 3) return table.concat(t, ',') == "
        "'0,1,2,3' and table.remove(t, 1) == 0 and table.remove(t) == 3",
        "local t = {3, 1, 2} table.sort(t) return t[1] == 1 and #table.move(t, 1, 3, 2) == 4",
        "return select(2, pcall(table.insert, {}, 1, 2, 3)):find 'wrong number' ~= nil",
        "return host.config.a == 1 and host.config.list[2] == 'y' and host.config.none == "
        "host.config.none",
        "return not pcall(function() host.config.a = 2 end) and not pcall(function() "
        "host.config.list[1] = 2 end)",
        "return #host.config.list == 2 and require('host.json').encode(host.config.list) == "
        "'[\"x\",\"y\"]'",
        "return not pcall(function() host.retry = nil end) and host.version ~= nil",
        "return host.env 'VM_TEST_SEEN' == 'seen' and not pcall(host.env, 'HOME')",
        "return host.env 'VM_TEST_UNSET' == nil",
        "return #host.uuid() == 36 and host.uuid() ~= host.uuid() and host.now() > 1.7e9",
        "return host.traceback():find 'register.lua:%d+' ~= nil",
        "return require 'host' == host and require 'string' == string",
        "local cj = require 'cjson' return cj.decode('[1]')[1] == 1 and cj.null == "
        "require('host.json').null",
        "return tostring(select(2, pcall(host.error, {message = 'm'}))) == 'm'",
        "local ok, e = pcall(host.error, {kind = 'k', x = 1}) return not ok and e.kind == 'k' and "
        "e.x == 1",
        "return math.type(1) == 'integer' and utf8.char(228) == '\\xc3\\xa4'",
        "local c <close> = setmetatable({}, {__close = function() end}) return true",
        "return msg.id == 'm-1' and msg.body == 'B' and msg.receive_count == 1 and msg.attempt == "
        "1",
        "return msg.queue == 'registrations' and msg.generation == 3 and msg.group == nil",
        "return msg.sent_at == nil and msg.age == nil and msg.trace == nil and msg.envelope == nil",
        "return msg:deadline() > 30 and msg:deadline() <= 60 and msg:extend(40) == nil and "
        "msg:deadline() > 60",
        "return next(msg.attributes) == nil and next(msg.system) == nil",
        "return not pcall(host.retry, 1) and not pcall(host.retry, {after = 'x'}) and not "
        "pcall(host.reject, 1)",
        "warn('@on') warn('x') print('a', 1, nil) return true",
        "require('host.log').error('words', {id = 1, ['x y'] = true, t = {}, f = 1.5, s = "
        "'a\\0b'}) return not pcall(require('host.log').info, 'x', 1)",
    };
    setenv("VM_TEST_SEEN", "seen", 1);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct rig r;
        char source[1024];
        rig_defaults(&r);
        r.options.handler_json =
            "{\"a\":1,\"list\":[\"x\",\"y\"],\"env\":[\"VM_TEST_SEEN\",\"VM_TEST_UNSET\"]}";
        snprintf(source, sizeof source,
                 "local host = require 'host'\nreturn {handle = function(msg)\n%s\nend}",
                 checks[i]);
        rig_must_open(&r, source);
        struct job *job = rig_one(&r, "B");
        if (job->outcome != OUTCOME_ACK)
            fail_msg("%s\n%s", checks[i], job->reason);
        rig_close(&r);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void files_beside(void **state)
{
    (void)state;
    char folder[] = "/tmp/vm_load_XXXXXX";
    char path[256];
    struct rig r;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sub", folder);
    mkdir(path, 0700);
    write_file(folder, "handler.lua",
               "#!/usr/bin/env host\nlocal m = require 'map'\nreturn {handle = function(msg) "
               "local r = m.check(msg) return r end}");
    write_file(
        folder, "map.lua",
        "local s = require 'sub.deep'\nlocal M = {}\nfunction M.check(msg)\n  assert("
        "require 'sub.deep' == s)\n  if msg.body == 'x' then error 'bad' end\nend\nreturn M");
    write_file(folder, "sub/deep.lua", "return {}");
    snprintf(path, sizeof path, "%s/handler.lua", folder);

    rig_defaults(&r);
    r.options.handler_path = path;
    char *text = with_port("x");
    r.options.source = NULL;
    r.loop = ev_loop_new(EVFLAG_AUTO);
    struct vm_ports ports = {.loop = r.loop, .arg = &r, .verdict = rig_verdict};
    r.vm = vm_new(&r.options, &ports, &r.err);
    assert_non_null(r.vm);
    if (vm_load(r.vm, &r.err) != 0)
        fail_msg("%s", r.err.text);
    rig_send(&r, "ok");
    rig_send(&r, "x");
    vm_turn(r.vm);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.verdicts[0]->outcome, OUTCOME_ACK);
    assert_string_equal(r.verdicts[1]->at, "map.lua:5");
    assert_has(r.verdicts[1]->detail, "handler.lua:3");
    vm_free(r.vm);

    write_file(folder, "sub/deep.lua", "return require 'map'");
    r.vm = vm_new(&r.options, &ports, &r.err);
    assert_int_equal(vm_load(r.vm, &r.err), -1);
    assert_has(r.err.text, "loop: module 'map'");
    vm_free(r.vm);

    snprintf(path, sizeof path, "%s/missing.lua", folder);
    r.vm = vm_new(&r.options, &ports, &r.err);
    assert_int_equal(vm_load(r.vm, &r.err), -1);
    assert_has(r.err.text, "missing.lua: no such file");
    vm_free(r.vm);

    job_free(r.verdicts[0]);
    job_free(r.verdicts[1]);
    free(text);
    ev_loop_destroy(r.loop);
    snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(system(path), 0);
}

static void tiny_memory(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 120000; limit += 1777) {
        struct rig r;
        rig_defaults(&r);
        r.options.limit_memory_bytes = limit;
        if (rig_open(&r, "function handle() end") != 0)
            assert_true(strlen(r.err.text) > 0);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_handlers),   cmocka_unit_test(init_states),
        cmocka_unit_test(closed_library), cmocka_unit_test(files_beside),
        cmocka_unit_test(tiny_memory),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
