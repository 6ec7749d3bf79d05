/* host.metrics, and what a worker counts by itself. */
#include "vm_harness.h"

#include "base/metric_text.h"

static void open_counted(struct rig *r, const char *source)
{
    rig_defaults(r);
    r->metrics = metrics_new();
    rig_must_open(r, source);
    metrics_show(r->metrics, vm_serial(r->vm));
}

static void close_counted(struct rig *r)
{
    rig_close(r);
    metrics_free(r->metrics);
}

static void expect_line(struct metrics *ms, const char *line)
{
    struct buf out;
    buf_init(&out);
    metrics_text(ms, &out);
    char whole[400];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(out.data, whole))
        fail_msg("no line '%s' in\n%s", line, out.data);
    buf_free(&out);
}

/* ---- what authors declare ---- */

static const char counting[] =
    "local metrics = require 'host.metrics'\n"
    "local made = metrics.counter{name = 'users_total', help = 'Users.', labels = {'realm', "
    "'new'}}\n"
    "local plain = metrics.counter{name = 'runs_total', help = 'Runs.'}\n"
    "local level = metrics.gauge{name = 'level', help = 'Level.'}\n"
    "local size = metrics.histogram{name = 'size_bytes', help = 'Sizes.', buckets = {10, 100}}\n"
    "return {handle = function(msg)\n"
    "  plain:inc() plain:inc(2.5)\n"
    "  made:inc{realm = 'a', new = true} made:inc(3, {realm = 7, new = 'x'})\n"
    "  level:set(5) level:inc() level:dec(3)\n"
    "  size:observe(10) size:observe(11) size:observe(1000)\n"
    "end}";

static void authors_count(void **state)
{
    (void)state;
    struct rig r;
    open_counted(&r, counting);
    expect_line(r.metrics, "runs_total 0"); /* there before anything happened */
    assert_int_equal(rig_one(&r, "")->outcome, OUTCOME_ACK);
    expect_line(r.metrics, "# TYPE users_total counter");
    expect_line(r.metrics, "users_total{realm=\"a\",new=\"true\"} 1");
    expect_line(r.metrics, "users_total{realm=\"7\",new=\"x\"} 3");
    expect_line(r.metrics, "runs_total 3.5");
    expect_line(r.metrics, "level 3");
    expect_line(r.metrics, "size_bytes_bucket{le=\"10.0\"} 1");
    expect_line(r.metrics, "size_bytes_bucket{le=\"+Inf\"} 3");
    close_counted(&r);
}

static void a_new_state_goes_on(void **state)
{
    (void)state;
    struct rig r;
    open_counted(&r, counting);
    rig_one(&r, "");
    struct rig after;
    rig_defaults(&after);
    after.metrics = r.metrics;
    rig_must_open(&after, counting);
    rig_close(&r);
    rig_one(&after, "");
    metrics_show(after.metrics, vm_serial(after.vm));
    expect_line(after.metrics, "runs_total 7");
    close_counted(&after);
}

static void without_a_registry_it_takes_everything(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, counting);
    assert_int_equal(rig_one(&r, "")->outcome, OUTCOME_ACK);
    rig_close(&r);
}

static void wrong_declarations(void **state)
{
    (void)state;
    static const struct {
        const char *call, *words;
    } cases[] = {
        {"counter'users'", "declare one as counter{name"},
        {"counter{help = 'x'}", "name must be a string"},
        {"counter{name = 'users', help = 'x'}", "a counter's name ends in _total: users_total"},
        {"counter{name = 'Users_total', help = 'x'}", "small letters"},
        {"counter{name = '9_total', help = 'x'}", "small letters"},
        {"counter{name = 'luahost_users_total', help = 'x'}", "the host's own"},
        {"counter{name = 'process_users_total', help = 'x'}", "the host's own"},
        {"gauge{name = 'users_total', help = 'x'}", "says that it is something else"},
        {"histogram{name = 'users_count', help = 'x'}", "says that it is something else"},
        {"counter{name = 'users_total'}", "help must say"},
        {"counter{name = 'users_total', help = ''}", "help must say"},
        {"counter{name = 'users_total', help = 'x', label = {}}", "unknown option 'label'"},
        {"counter{name = 'users_total', help = 'x', buckets = {1}}", "unknown option 'buckets'"},
        {"counter{name = 'users_total', help = 'x', labels = 'a'}", "list of names"},
        {"counter{name = 'users_total', help = 'x', labels = {'a','b','c','d','e'}}",
         "more than 4"},
        {"counter{name = 'users_total', help = 'x', labels = {'le'}}", "label 1 ('le')"},
        {"counter{name = 'users_total', help = 'x', labels = {'a', 'A'}}", "label 2 ('A')"},
        {"counter{name = 'users_total', help = 'x', labels = {'a', 'a'}}", "label 'a' twice"},
        {"counter{name = 'users_total', help = 'x', max = 0}", "from 1 to 999"},
        {"counter{name = 'users_total', help = 'x', max = 1e9}", "from 1 to 999"},
        {"histogram{name = 'h_seconds', help = 'x', buckets = {}}", "list of 1 to 24"},
        {"histogram{name = 'h_seconds', help = 'x', buckets = {1, 1}}", "number 2 does not"},
        {"histogram{name = 'h_seconds', help = 'x', buckets = {1, 1/0}}", "number 2 does not"},
        {"histogram{name = 'h_seconds', help = 'x', buckets = {'1'}}", "number 1 does not"},
        {"counter{name = 'a_total', help = 'x'} m.gauge{name = 'a_total', help = 'x'}",
         "says that it is something else"},
        {"gauge{name = 'a', help = 'x'} m.histogram{name = 'a', help = 'x'}",
         "metric a is a gauge already"},
        {"gauge{name = 'a', help = 'x'} for i = 1, 200 do m.gauge{name = 'g' .. i, help = 'x'} end",
         "more than 100 metrics"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char source[400];
        rig_defaults(&r);
        r.metrics = metrics_new();
        snprintf(source, sizeof source,
                 "local m = require 'host.metrics'\nm.%s\nreturn {handle = print}", cases[i].call);
        if (rig_open(&r, source) == 0)
            fail_msg("%s was taken", cases[i].call);
        assert_has(r.err.text, cases[i].words);
        assert_has(r.err.text, "register.lua:2");
        close_counted(&r);
    }
}

static void wrong_calls(void **state)
{
    (void)state;
    static const struct {
        const char *call, *words;
    } cases[] = {
        {"c:inc(-1, {realm = 'a'})", "a counter only grows"},
        {"c:inc(0/0, {realm = 'a'})", "found nan"},
        {"c:inc('x', {realm = 'a'})", "found string"},
        {"c:inc()", "a table with a value for each label is missing: {realm = "},
        {"c:inc{}", "label 'realm' is missing"},
        {"c:inc{realm = {}}", "label 'realm' is table"},
        {"c:inc{realm = 'a', user = 'b'}", "more labels than were declared"},
        {"c.inc{realm = 'a'}", "with a colon"},
        {"c:set(1)", "is a counter, which has no set"},
        {"c:dec(1)", "is a counter, which has no dec"},
        {"g:observe(1)", "is a gauge, which has no observe"},
        {"g:set()", "found nil"},
        {"g:set(1, {realm = 'a'})", "more labels than were declared"},
        {"h:observe(1/0)", "only finite numbers"},
        {"h:inc()", "is a histogram, which has no inc"},
        {"require 'host.metrics'.gauge{name = 'late', help = 'x'}", "while the handler loads"},
    };
    struct rig r;
    open_counted(&r, "local m = require 'host.metrics'\n"
                     "local c = m.counter{name = 'c_total', help = 'x', labels = {'realm'}}\n"
                     "local g = m.gauge{name = 'g', help = 'x'}\n"
                     "local h = m.histogram{name = 'h_seconds', help = 'x'}\n"
                     "local env = setmetatable({c = c, g = g, h = h}, {__index = _G})\n"
                     "return {handle = function(msg) assert(load(msg.body, 'b', 't', env))() end}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job *job = rig_one(&r, cases[i].call);
        assert_string_equal(job->kind, "contract");
        assert_has(job->reason, cases[i].words);
    }
    close_counted(&r);
}

static void labels_are_bounded(void **state)
{
    (void)state;
    struct rig r;
    open_counted(&r, "local m = require 'host.metrics'\n"
                     "local c = m.counter{name = 'c_total', help = 'x', labels = {'id'}, max = 5}\n"
                     "return {handle = function(msg)\n"
                     "  for i = 1, 1000 do c:inc{id = 'u' .. i} end\nend}");
    rig_one(&r, "");
    expect_line(r.metrics, "c_total{id=\"u5\"} 1");
    expect_line(r.metrics, "c_total{id=\"other\"} 995");
    close_counted(&r);
}

/* ---- what a worker counts by itself ---- */

static const char calling[] = "local http = require 'host.http'\n"
                              "return {handle = function(msg)\n"
                              "  http.request{method = 'POST', url = 'http://127.0.0.1:PORT' .. "
                              "msg.body, timeout = 0.2}\nend}";

static void requests_are_counted_by_target_and_code(void **state)
{
    (void)state;
    struct rig r;
    char line[200];
    open_counted(&r, calling);
    rig_one(&r, "/status/201");
    rig_one(&r, "/status/503");
    rig_one(&r, "/status/503");
    rig_one(&r, "/cut");
    rig_one(&r, "/slow/1000");
    static const struct {
        const char *code;
        int count;
    } cases[] = {{"201", 1}, {"503", 2}, {"cut", 1}, {"timeout", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(line, sizeof line,
                 "luahost_http_requests_total{target=\"http://"
                 "127.0.0.1:%d\",method=\"POST\",code=\"%s\"} %d",
                 server.port, cases[i].code, cases[i].count);
        expect_line(r.metrics, line);
    }
    snprintf(line, sizeof line,
             "luahost_http_request_duration_seconds_count{target=\"http://127.0.0.1:%d\"} 5",
             server.port);
    expect_line(r.metrics, line);
    expect_line(r.metrics, "luahost_lua_errors_total{kind=\"timeout\"} 1");
    close_counted(&r);
}

static void runs_are_counted_once_each(void **state)
{
    (void)state;
    struct rig r;
    open_counted(&r, "return {handle = function(msg)\n"
                     "  if msg.body == 'bad' then return false end\n"
                     "  if msg.body == 'error' then error 'x' end\nend}");
    expect_line(r.metrics, "luahost_lua_errors_total{kind=\"memory\"} 0");
    rig_one(&r, "");
    rig_one(&r, "bad");
    rig_one(&r, "error");
    expect_line(r.metrics, "luahost_message_duration_seconds_count 3");
    expect_line(r.metrics, "luahost_lua_errors_total{kind=\"contract\"} 1");
    expect_line(r.metrics, "luahost_lua_errors_total{kind=\"lua\"} 1");
    struct job *again = make_job("");
    again->receive_count = 1;
    again->attempt = 2; /* run again here: it has waited before */
    vm_run(r.vm, again);
    rig_until(&r, 4);
    expect_line(r.metrics, "luahost_message_duration_seconds_count 4");
    expect_line(r.metrics, "luahost_message_wait_seconds_count 3");
    close_counted(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authors_count),
        cmocka_unit_test(a_new_state_goes_on),
        cmocka_unit_test(without_a_registry_it_takes_everything),
        cmocka_unit_test(wrong_declarations),
        cmocka_unit_test(wrong_calls),
        cmocka_unit_test(labels_are_bounded),
        cmocka_unit_test(requests_are_counted_by_target_and_code),
        cmocka_unit_test(runs_are_counted_once_each),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
