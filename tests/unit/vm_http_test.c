/* host.http against a server in a thread of its own, and cancelling around a request. */
#include "vm_harness.h"

static const char prelude[] =
    "local host = require 'host'\nlocal http = require 'host.http'\nlocal json = require "
    "'host.json'\nlocal U = 'http://127.0.0.1:PORT'\nlocal function fails(kind, f, ...)\n"
    "local ok, e = pcall(f, ...)\nif ok or e.kind ~= kind then error('got ' .. tostring(e) .. ' ' "
    ".. tostring(type(e) == 'table' and e.kind)) end return e end\n"
    "return {handle = function(msg)\n";

static void open_chunk(struct rig *r, const char *chunk)
{
    char source[4096];
    snprintf(source, sizeof source, "%s%s\nend}", prelude, chunk);
    rig_must_open(r, source);
}

static void answers(void **state)
{
    (void)state;
    static const char *const checks[] = {
        "local r = http.get(U .. '/x') return r.status == 200 and r.body == 'ok' and r.elapsed >= "
        "0",
        "local r = http.get(U .. '/x') return r.headers['X-TWO'] == 'a, b' and "
        "r.headers['x-two'] == 'a, b' and r.headers.none == nil and r.nothing == nil",
        "local r = http.get(U .. '/json') return r.json().n == 7 and r:json().none == json.null",
        "local e = fails('json', function() return http.get(U .. '/x').json() end) return "
        "e.message:find('answer of GET http', 1, true) == 1 and e.retryable ~= false",
        "return http.get{url = U .. '/x'}.status == 200",
        "return http.request{method = 'GET', url = U .. '/x'}.status == 200",
        "return http.request{url = U .. '/empty'}.status == 204",
        "return http.head(U .. '/x').body == ''",
        "return http.delete(U .. '/x').status == 200 and http.patch(U .. '/x', {body = 'b'})"
        ".status == 200",
        "return http.get(U .. '/status/404').status == 404",
        "return http.get(U .. '/status/503', {expect = 503}).status == 503",
        "return http.get(U .. '/x', {expect = '2xx'}).status == 200",
        "return http.get(U .. '/status/409', {expect = {200, 409}}).status == 409",
        "local e = fails('http', http.get, U .. '/status/503', {expect = '2xx'}) return e.status "
        "== 503 and e.after == 7 and e.target_failed and e.target == U and e.retryable and "
        "e.body == 'sorry'",
        "local e = fails('http', http.get, U .. '/status/400', {expect = 200}) return e.status == "
        "400 and not e.retryable and not e.target_failed",
        "local e = fails('http', http.get, U .. '/status/401', {expect = 200}) return e.retryable",
        "local e = fails('http', http.get, U .. '/status/429', {expect = {200}}) return "
        "e.retryable and e.after == 7 and not e.target_failed",
        "local e = fails('http', http.get, U .. '/week', {expect = 200}) return e.retryable and "
        "e.after == 900",
        "local e = fails('http', http.get, U .. '/until', {expect = 200}) return e.after == 12",
        "return http.get(U .. '/until').retry_after == 12 and http.get(U).retry_after == nil",
        "local e = fails('connect', http.get, 'http://127.0.0.1:1/x') return e.retryable and "
        "e.target_failed and e.target == 'http://127.0.0.1:1' and not e.outcome_unknown",
        "local e = fails('cut', http.post, U .. '/cut', {body = 'x'}) return e.outcome_unknown "
        "and e.target_failed and e.retryable",
        "local e = fails('timeout', http.post, U .. '/slow/500', {body = 'x', timeout = 0.05}) "
        "return e.outcome_unknown and e.target_failed and e.message:find('/slow/500', 1, true)"
        " ~= nil",
        "local e = fails('too_big', http.get, U .. '/big') return not e.target_failed",
        "local t = {a = 1} http.get(U, {query = t}) return t.a == 1 and t.url == nil",
        "local o = {timeout = 1} http.get(U .. '/x', o) return o.url == nil",
        "local co = coroutine.wrap(function() coroutine.yield(1) local r = http.get(U .. '/x') "
        "coroutine.yield(r.status) return 'end' end) return co() == 1 and co() == 200 and co() == "
        "'end'",
        "local co = coroutine.create(function(a) return a, http.get(U .. '/x').status end) local "
        "ok, a, s = coroutine.resume(co, 5) return ok and a == 5 and s == 200 and "
        "coroutine.status(co) == 'dead'",
        "local co = coroutine.wrap(function() return coroutine.wrap(function() return http.get(U "
        ".. '/x').status end)() end) return co() == 200",
        "local e = fails('connect', coroutine.wrap(function() http.get 'http://127.0.0.1:1' end)) "
        "return e.retryable",
        "local ok, e = pcall(string.gsub, 'a', 'a', function() http.get(U) end) return not ok and "
        "e.message:find 'cannot wait here' ~= nil",
        "local ok, e = pcall(string.gsub, 'a', 'a', function() return coroutine.wrap(function() "
        "http.get(U) end)() end) return not ok and e.message:find 'cannot wait here' ~= nil",
        "local ok, r = pcall(http.get, U .. '/x') return ok and r.status == 200",
        "local ok, r = xpcall(http.get, print, U .. '/x') return ok and r.status == 200",
        "local t = setmetatable({}, {__index = function(_, k) return http.get(U .. '/' .. k)"
        ".status end}) return t.x == 200",
        "for i = 1, 3 do http.get(U .. '/x') end return true",
        "local x <close> = setmetatable({}, {__close = function() http.get(U .. '/x') end}) "
        "return true",
        "local f = coroutine.running() return coroutine.wrap(function() local ok, e = "
        "pcall(coroutine.resume, f) return not ok end)()",
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct rig r;
        rig_defaults(&r);
        r.options.http_max_body_bytes = 20;
        open_chunk(&r, checks[i]);
        struct job *job = rig_one(&r, "");
        if (job->outcome != OUTCOME_ACK)
            fail_msg("%s\n%s: %s", checks[i], job->at, job->reason);
        rig_close(&r);
    }
}

/* A query may hold what belongs in no log: neither the words of an error nor the reason that the
 * core logs may show it. */
static void no_query_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        const char *kind;
    } cases[] = {
        {"http.get(U .. '/status/500?key=s3cret', {expect = 200})", "http"},
        {"http.get(U .. '/status/404', {query = {key = 's3cret'}, expect = 200})", "http"},
        {"http.post(U .. '/cut?key=s3cret')", "cut"},
        {"http.get(U .. '/slow/500?key=s3cret', {timeout = 0.05})", "timeout"},
        {"http.get('http://127.0.0.1:1/x?key=s3cret')", "connect"},
        {"http.get('http://no-such-host.invalid/x?key=s3cret')", "connect"},
        {"http.get(U .. '/big?key=s3cret')", "too_big"},
        {"http.get(U .. '/x?key=s3cret').json()", "json"},
        {"http.get(U .. '/x?key=s3cret#s3cret').json()", "json"},
        {"http.get(U .. '/a b?key=s3cret')", "contract"},
        {"http.get(U .. '/x?key=s3cret\\r\\n')", "contract"},
        {"http.get('ftp://127.0.0.1/x?key=s3cret')", "contract"},
        {"http.get('http://u:s3cret@127.0.0.1/')", "contract"},
        {"http.get(U .. '/x?key=s3cret', {timeout = -1})", "contract"},
        {"http.get(U .. '/x?key=s3cret', {query = {a = print}})", "contract"},
        {"kc.request('GET', '/users?key=s3cret')", "usage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char chunk[300];
        rig_defaults(&r);
        r.options.http_max_body_bytes = 20;
        snprintf(chunk, sizeof chunk, "local kc = require 'host.keycloak' %s", cases[i].call);
        open_chunk(&r, chunk);
        struct job *job = rig_one(&r, "");
        if (strcmp(job->kind, cases[i].kind) != 0 || strstr(job->reason, "s3cret"))
            fail_msg("%s: kind '%s': %s", cases[i].call, job->kind, job->reason);
        rig_close(&r);
    }
}

/* A nil where an id belongs would cut the path short, and GET /users answers with everybody. */
static void a_user_needs_an_id(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "users.get, nil",
        "users.get, ''",
        "users.get, {}",
        "users.update, nil, {}",
        "users.delete, nil",
        "users.delete, json.null",
        "users.groups.list, nil",
        "users.groups.add, nil, {id = 'g'}",
        "users.groups.remove, nil, {id = 'g'}",
        "users.roles.list, false",
        "users.roles.add, nil, {id = 'r', name = 'r'}",
    };
    int before = atomic_load(&server.requests);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct rig r;
        char chunk[400];
        rig_defaults(&r);
        snprintf(chunk, sizeof chunk,
                 "local users = require('host.keycloak').users\nlocal e = fails('usage', %s)\n"
                 "return e.message:find(\"a user's id was expected, found \", 1, true) ~= nil",
                 calls[i]);
        open_chunk(&r, chunk);
        struct job *job = rig_one(&r, "");
        if (job->outcome != OUTCOME_ACK)
            fail_msg("%s: %s", calls[i], job->reason);
        assert_int_equal(r.asked_count, 0);
        rig_close(&r);
    }
    assert_int_equal(atomic_load(&server.requests), before);
}

/* A request that dies on a connection that has served another one: libcurl would send it again by
 * itself. Counted is what the server has read. */
static void arrives_once(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        int arrivals;
    } cases[] = {
        {"http.post, U .. '/cut', {body = 'x'}", 1},
        {"http.post, U .. '/cut'", 1},
        {"http.put, U .. '/cut', {body = 'x', idempotent = false}", 1},
        {"http.put, U .. '/cut', {idempotent = false}", 1},
        {"http.delete, U .. '/cut', {idempotent = false}", 1},
        {"http.get, U .. '/cut', {idempotent = false}", 1},
        {"http.head, U .. '/cut', {idempotent = false}", 1},
        {"http.patch, U .. '/cut', {body = 'x'}", 1},
        {"http.put, U .. '/cut', {body = 'x'}", 2},
        {"http.delete, U .. '/cut'", 2},
        {"http.get, U .. '/cut'", 2},
        {"http.post, U .. '/cut', {body = 'x', idempotent = true}", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char chunk[300];
        rig_defaults(&r);
        snprintf(chunk, sizeof chunk,
                 "http.get(U .. '/x')\nlocal e = fails('cut', %s)\nreturn e.outcome_unknown",
                 cases[i].call);
        open_chunk(&r, chunk);
        int before = atomic_load(&server.requests);
        struct job *job = rig_one(&r, "");
        int came = atomic_load(&server.requests) - before - 1;
        if (job->outcome != OUTCOME_ACK || came != cases[i].arrivals)
            fail_msg("%s: came %d times: %s", cases[i].call, came, job->reason);
        rig_close(&r);
    }
}

/* What must not be sent: no request reaches the server. */
static void refusals(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "http.get(U .. '/a b')",
        "http.get(U .. '/a\\r\\nX: y')",
        "http.get(U .. '/a\\0b')",
        "http.get(U .. '/a\\nb')",
        "http.get 'ftp://127.0.0.1/'",
        "http.get 'file:///etc/passwd'",
        "http.get '/x'",
        "http.get 'http://'",
        "http.get(('http://user:pw@127.0.0.1:PORT/'))",
        "http.get()",
        "http.get {}",
        "http.get(U, 7)",
        "http.request 'x'",
        "http.request {method = 'GET'}",
        "http.request {method = 'G T', url = U}",
        "http.request {method = 'GET\\r\\nX: y', url = U}",
        "http.request {method = '', url = U}",
        "http.request {method = 7, url = U}",
        "http.get(U, {headers = {['X\\r\\nY'] = 'z'}})",
        "http.get(U, {headers = {['X Y'] = 'z'}})",
        "http.get(U, {headers = {[''] = 'z'}})",
        "http.get(U, {headers = {X = 'a\\r\\nY: b'}})",
        "http.get(U, {headers = {X = 'a\\nb'}})",
        "http.get(U, {headers = {X = 'a\\0b'}})",
        "http.get(U, {headers = {X = {}, Y = {{}}}})",
        "http.get(U, {headers = {X = true}})",
        "http.get(U, {headers = {'X: y'}})",
        "http.get(U, {headers = 'X: y'})",
        "http.get(U, {headers = {['Content-Length'] = 5}})",
        "http.get(U, {headers = {['transfer-encoding'] = 'chunked'}})",
        "http.get(U, {timout = 1})",
        "http.get(U, {timeout = 0})",
        "http.get(U, {timeout = -1})",
        "http.get(U, {timeout = 0/0})",
        "http.get(U, {timeout = '1'})",
        "http.post(U, {body = {}})",
        "http.post(U, {body = 'x', json = {}})",
        "http.post(U, {form = 'x'})",
        "http.post(U, {form = {a = {{}}}})",
        "http.get(U, {query = {a = print}})",
        "http.get(U, {query = 'a=b'})",
    };
    int before = atomic_load(&server.requests);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct rig r;
        rig_defaults(&r);
        open_chunk(&r, calls[i]);
        struct job *job = rig_one(&r, "");
        if (job->outcome != OUTCOME_RETRY || strcmp(job->kind, "contract") != 0 ||
            !strstr(job->reason, "host.http"))
            fail_msg("%s: outcome %d kind '%s': %s", calls[i], job->outcome, job->kind,
                     job->reason);
        assert_int_equal(atomic_load(&job->wire_until_ms), WIRE_NEVER);
        rig_close(&r);
    }
    assert_int_equal(atomic_load(&server.requests), before);
}

/* The attribute goes before X-Ray's header, and its tracestate with it; not beside another. */
static void the_trace_goes_on(void **state)
{
    (void)state;
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define XRAY "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
    static const struct {
        const char *parent, *state, *traceparent, *tracestate; /* NULL: not there */
    } cases[] = {
        {PARENT, NULL, PARENT, NULL},
        {PARENT, "congo=t61,rojo=1", PARENT, "congo=t61,rojo=1"},
        {PARENT, "a=1\\r\\nX-Evil: 1", PARENT, NULL},
        {"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", "congo=t61", XRAY, NULL},
        {NULL, "congo=t61", XRAY, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        struct buf m;
        char line[200];
        rig_defaults(&r);
        open_chunk(&r, "http.get(U)");
        buf_init(&m);
        buf_str(&m, "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\",\"Attributes\":{"
                    "\"AWSTraceHeader\":\"Root=1-5759e988-bd862e3fe1be46a994272793;"
                    "Parent=53995c3f42cd8ad8;Sampled=1\"},\"MessageAttributes\":{");
        if (cases[i].parent)
            buf_printf(&m, "\"traceparent\":{\"DataType\":\"String\",\"StringValue\":\"%s\"}%s",
                       cases[i].parent, cases[i].state ? "," : "");
        if (cases[i].state)
            buf_printf(&m, "\"tracestate\":{\"DataType\":\"String\",\"StringValue\":\"%s\"}",
                       cases[i].state);
        buf_str(&m, "}}");
        vm_run(r.vm, job_new(json_tokener_parse(m.data)));
        buf_free(&m);
        rig_until(&r, 1);
        assert_int_equal(r.verdicts[0]->outcome, OUTCOME_ACK);
        snprintf(line, sizeof line, "\r\ntraceparent: %s\r\n", cases[i].traceparent);
        assert_has(server.last, line);
        snprintf(line, sizeof line, "\r\ntracestate: %s\r\n", cases[i].tracestate);
        if (cases[i].tracestate)
            assert_has(server.last, line);
        else
            assert_null(strstr(server.last, "tracestate"));
        rig_close(&r);
    }
}

static void what_is_sent(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        const char *part; /* of the request */
    } cases[] = {
        {"http.get(U .. '/p', {query = {['a b'] = '1&2'}})", "GET /p?a%20b=1%262 HTTP/1.1\r\n"},
        {"http.get(U .. '/p?x=1', {query = {y = {1, 2}}})", "GET /p?x=1&y=1&y=2 HTTP/1.1\r\n"},
        {"http.get(U .. '/p', {query = {}})", "GET /p HTTP/1.1\r\n"},
        {"http.post(U, {json = {a = json.array {}}})", "\r\n\r\n{\"a\":[]}"},
        {"http.post(U, {json = {}})", "\r\nContent-Type: application/json\r\n"},
        {"http.post(U, {json = {}, headers = {['content-type'] = 'a/b'}})",
         "\r\ncontent-type: a/b\r\n"},
        {"http.post(U, {form = {['k='] = 'v w'}})", "\r\n\r\nk%3D=v%20w"},
        {"http.post(U, {form = {}})", "application/x-www-form-urlencoded\r\n"},
        {"http.post(U, {body = 'a\\0b'})", "Content-Length: 3\r\n"},
        {"http.post(U, {headers = {['X-List'] = {'a', 7}}})", "\r\nX-List: a\r\nX-List: 7\r\n"},
        {"http.get(U)", "\r\ntraceparent: 00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"},
        {"http.get(U, {headers = {TraceParent = 'mine'}})", "\r\nTraceParent: mine\r\n"},
        {"assert(msg.trace == '00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01') "
         "http.patch(U, {body = ''})",
         "PATCH / HTTP/1.1\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        rig_defaults(&r);
        open_chunk(&r, cases[i].call);
        struct json_object *m = json_tokener_parse(
            "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\",\"Attributes\":{"
            "\"AWSTraceHeader\":\"Root=1-5759e988-bd862e3fe1be46a994272793;"
            "Parent=53995c3f42cd8ad8;Sampled=1\"}}");
        vm_run(r.vm, job_new(m));
        rig_until(&r, 1);
        if (r.verdicts[0]->outcome != OUTCOME_ACK)
            fail_msg("%s: %s", cases[i].call, r.verdicts[0]->reason);
        pthread_mutex_lock(&server.lock);
        char *last = strdup(server.last);
        pthread_mutex_unlock(&server.lock);
        if (!strcasestr(last, cases[i].part))
            fail_msg("%s sent:\n%s", cases[i].call, last);
        free(last);
        rig_close(&r);
    }
}

static void allow_list(void **state)
{
    (void)state;
    static const struct {
        const char *allow;
        const char *url;
        bool allowed;
    } cases[] = {
        {"127.0.0.1", "http://127.0.0.1:1/", true},
        {"127.0.0.1:1", "http://127.0.0.1:1/", true},
        {"127.0.0.1:2", "http://127.0.0.1:1/", true}, /* Keycloak's own origin */
        {"127.0.0.1:2", "http://127.0.0.1:3/", false},
        {"a.example, LOCALHOST", "http://localhost:1/", true},
        {"*.localhost", "http://x.localhost:1/", true},
        {"*.localhost", "http://localhost:1/", false},
        {"localhost", "http://xlocalhost:1/", false},
        {"example.com", "http://127.0.0.1:3/example.com", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char chunk[256];
        rig_defaults(&r);
        r.options.http_allow = cases[i].allow;
        snprintf(chunk, sizeof chunk, "http.get '%s'", cases[i].url);
        open_chunk(&r, chunk);
        struct job *job = rig_one(&r, "");
        if (cases[i].allowed != (strcmp(job->kind, "connect") == 0))
            fail_msg("%s %s: %s", cases[i].allow, cases[i].url, job->reason);
        rig_close(&r);
    }
}

/* Uncaught errors of a target, as flow/ reads them. */
static void target_verdicts(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_chunk(&r, "http.get(msg.body, {expect = '2xx'})");
    struct job *job = rig_one(&r, "http://127.0.0.1:1/x");
    assert_int_equal(job->outcome, OUTCOME_RETRY);
    assert_string_equal(job->kind, "connect");
    assert_true(job->target_failed);
    assert_string_equal(job->target, "http://127.0.0.1:1");
    assert_string_equal(job->at, "register.lua:9");
    assert_int_equal(atomic_load(&job->wire_until_ms), WIRE_NEVER);
    char *url = with_port("http://127.0.0.1:PORT/status/503");
    job = rig_one(&r, url);
    assert_true(job->target_failed);
    assert_int_equal(job->after_ms, 7000);
    assert_true(job->after_least);
    assert_int_equal(atomic_load(&job->wire_until_ms), WIRE_ANSWERED);
    free(url);
    url = with_port("http://127.0.0.1:PORT/status/422");
    job = rig_one(&r, url);
    assert_int_equal(job->outcome, OUTCOME_REJECT);
    assert_false(job->target_failed);
    free(url);
    rig_close(&r);
}

/* A timeout is cut to what limits.time leaves; that is not the target's fault. */
static void timeout_capped(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_time_s = 0.3;
    open_chunk(&r, "http.get(U .. '/slow/20000', {timeout = 60})");
    int64_t start = clock_boot_ms();
    struct job *job = rig_one(&r, "");
    assert_true(clock_boot_ms() - start < 15000);
    /* Where the machine stood still both are due, and the message's own end comes first. */
    assert_true(strcmp(job->kind, "timeout") == 0 || strcmp(job->kind, "time") == 0);
    assert_false(job->target_failed);
    rig_close(&r);
}

/* ---- cancelling --------------------------------------------------------------------------- */

static void cancel_unsent(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_chunk(&r, "host.sleep(20)");
    struct job *asleep = rig_send(&r, "");
    vm_turn(r.vm);
    struct job *queued = rig_send(&r, "");
    vm_cancel(r.vm, queued);
    vm_cancel(r.vm, asleep);
    rig_until(&r, 2);
    assert_int_equal(asleep->outcome, OUTCOME_RELEASE);
    assert_true(asleep->ran);
    assert_string_equal(asleep->kind, "cancelled");
    assert_int_equal(queued->outcome, OUTCOME_RELEASE);
    assert_false(queued->ran);
    assert_int_equal(vm_tasks(r.vm), 0);
    rig_close(&r);
}

static void cancel_on_the_wire(void **state)
{
    (void)state;
    static const struct {
        const char *then; /* after the answer */
        enum outcome outcome;
    } cases[] = {
        {"", OUTCOME_ACK},
        {"http.get(U .. '/second')", OUTCOME_RETRY},
        {"pcall(http.get, U .. '/second')", OUTCOME_RETRY},
        {"host.sleep(20)", OUTCOME_RETRY},
        {"return host.reject 'seen'", OUTCOME_REJECT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char chunk[256];
        rig_defaults(&r);
        snprintf(chunk, sizeof chunk, "http.post(U .. '/slow/1000', {body = 'x'})\n%s",
                 cases[i].then);
        open_chunk(&r, chunk);
        int before = atomic_load(&server.requests);
        struct job *job = rig_send(&r, "");
        vm_turn(r.vm);
        rig_for(&r, 60);
        assert_true(atomic_load(&job->wire_until_ms) > clock_boot_ms());
        atomic_store(&job->fence, true);
        vm_cancel(r.vm, job);
        rig_for(&r, 30);
        assert_int_equal(r.count, 0);
        rig_until(&r, 1);
        if (job->outcome != cases[i].outcome)
            fail_msg("%s: outcome %d %s", cases[i].then, job->outcome, job->reason);
        assert_int_equal(atomic_load(&job->wire_until_ms), WIRE_ANSWERED);
        assert_int_equal(atomic_load(&server.requests), before + 1);
        rig_close(&r);
    }
}

static void cancel_after_sending(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_chunk(&r, "http.get(U .. '/x') host.sleep(20)");
    struct job *job = rig_send(&r, "");
    vm_turn(r.vm);
    rig_for(&r, 150);
    assert_int_equal(r.count, 0);
    vm_cancel(r.vm, job);
    rig_until(&r, 1);
    assert_int_equal(job->outcome, OUTCOME_RETRY);
    assert_string_equal(job->kind, "cancelled");
    rig_close(&r);
}

/* The fence alone keeps a request from being sent, and the handler cannot swallow that. */
static void fence(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_chunk(&r, "host.sleep(0.05) pcall(http.post, U .. '/x') pcall(http.post, U .. '/x')");
    int before = atomic_load(&server.requests);
    struct job *job = rig_send(&r, "");
    vm_turn(r.vm);
    atomic_store(&job->fence, true);
    rig_until(&r, 1);
    assert_int_equal(job->outcome, OUTCOME_RELEASE);
    assert_string_equal(job->kind, "cancelled");
    assert_int_equal(atomic_load(&job->wire_until_ms), WIRE_NEVER);
    rig_for(&r, 50);
    assert_int_equal(atomic_load(&server.requests), before);
    rig_close(&r);
}

/* Fenced before it starts: it goes home unrun. */
static void fenced_early(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_chunk(&r, "host.reject 'ran'");
    struct job *job = make_job("");
    atomic_store(&job->fence, true);
    vm_run(r.vm, job);
    vm_turn(r.vm);
    assert_int_equal(r.count, 1);
    assert_int_equal(job->outcome, OUTCOME_RELEASE);
    assert_false(job->ran);
    rig_close(&r);
}

/* vm_free with tasks in every state: queued, fresh, asleep, waiting for a token, on the wire in
 * a nested coroutine, answered and asleep, and cancelled. */
static void freed_in_every_state(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.slots = 5;
    open_chunk(&r, "local x <close> = setmetatable({}, {__close = function() host.now() end})\n"
                   "if msg.body == 'sleep' then host.sleep(20) end\n"
                   "if msg.body == 'token' then require('host.token').get 'r' end\n"
                   "if msg.body == 'wire' then coroutine.wrap(function() http.get(U .. "
                   "'/slow/5000') end)() end\n"
                   "if msg.body == 'sent' then http.get(U .. '/x') host.sleep(20) end\n"
                   "if msg.body == 'swallow' then pcall(host.sleep, 20) pcall(host.sleep, 20) end");
    static const char *const bodies[] = {"sleep",   "token",  "wire", "sent",
                                         "swallow", "queued", "gone"};
    struct job *jobs[7];
    for (int i = 0; i < 7; i++)
        jobs[i] = rig_send(&r, bodies[i]);
    vm_cancel(r.vm, jobs[6]);
    rig_for(&r, 150);
    assert_int_equal(r.count, 1); /* the cancelled one */
    vm_cancel(r.vm, jobs[0]);
    vm_free(r.vm);
    r.vm = NULL;
    assert_int_equal(r.count, 7);
    for (int i = 0; i < 7; i++) {
        enum outcome want = i == 2 || i == 3 ? OUTCOME_RETRY : OUTCOME_RELEASE;
        if (jobs[i]->outcome != want)
            fail_msg("%s: outcome %d %s", bodies[i], jobs[i]->outcome, jobs[i]->reason);
    }
    assert_true(atomic_load(&jobs[2]->wire_until_ms) > clock_boot_ms());
    assert_int_equal(r.asked_count, 1);
    free(r.asked[0]);
    rig_close(&r);
}

/* A thousand messages through four slots, of every kind, one after the other and at once. */
static void a_thousand(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_cpu_s = 0.05;
    open_chunk(&r, "local n = tonumber(msg.body) local data = ('x'):rep(n * 10)\n"
                   "if n % 4 == 0 then http.get(U .. '/x', {expect = 200}) end\n"
                   "if n % 5 == 0 then host.sleep(0.001) end\n"
                   "if n % 7 == 0 then error(data) end\n"
                   "if n % 11 == 0 then return host.reject(data) end\n"
                   "if n % 250 == 3 then while true do end end");
    size_t early = 0;
    int sent = 0;
    while (r.count < 1000) {
        while (sent < 1000 && vm_tasks(r.vm) < 4) {
            char body[16];
            snprintf(body, sizeof body, "%d", sent++);
            rig_send(&r, body);
        }
        vm_turn(r.vm);
        rig_turn(&r);
        if (r.count < 300)
            early = vm_memory_bytes(r.vm);
    }
    int acks = 0;
    for (int i = 0; i < 1000; i++)
        acks += r.verdicts[i]->outcome == OUTCOME_ACK;
    assert_int_equal(acks, 1000 - 143 - 78 - 3); /* errors, rejects, loops */
    assert_int_equal(vm_tasks(r.vm), 0);
    assert_true(vm_memory_bytes(r.vm) < early * 3 + (1 << 20));
    rig_close(&r);
}

/* Memory runs out at every possible place, once the handler is loaded: that message fails. */
static void no_memory_anywhere(void **state)
{
    (void)state;
    int acks = 0;
    int failures = 0;
    for (size_t limit = 50000; limit < 400000 && acks < 10; limit += 97) {
        struct rig r;
        rig_defaults(&r);
        r.options.limit_memory_bytes = limit;
        char source[2048];
        snprintf(source, sizeof source,
                 "%slocal x <close> = setmetatable({}, {__close = function() end})\n"
                 "local a = msg.json.a local t = {}\n"
                 "pcall(coroutine.wrap(function() http.get 'http://127.0.0.1:1/' end))\n"
                 "local r = http.post(U .. '/json', {json = {a = msg.attributes}})\n"
                 "for i = 1, 100 do t[i] = json.encode(r.json()) .. i end\n"
                 "host.sleep(0)\nend}",
                 prelude);
        if (rig_open(&r, source) != 0) {
            rig_close(&r);
            continue;
        }
        vm_begin_init(r.vm);
        struct job *job = rig_one(&r, "{\"a\":[1,2,{}]}");
        if (job->outcome == OUTCOME_ACK)
            acks++;
        else if (strcmp(job->kind, "memory") == 0)
            failures++;
        else
            fail_msg("limit %zu: outcome %d %s %s", limit, job->outcome, job->kind, job->reason);
        rig_close(&r);
    }
    assert_int_equal(acks, 10);
    assert_true(failures > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(no_query_in_words),
        cmocka_unit_test(a_user_needs_an_id),
        cmocka_unit_test(arrives_once),
        cmocka_unit_test(refusals),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(the_trace_goes_on),
        cmocka_unit_test(allow_list),
        cmocka_unit_test(target_verdicts),
        cmocka_unit_test(timeout_capped),
        cmocka_unit_test(cancel_unsent),
        cmocka_unit_test(cancel_on_the_wire),
        cmocka_unit_test(cancel_after_sending),
        cmocka_unit_test(fence),
        cmocka_unit_test(fenced_early),
        cmocka_unit_test(freed_in_every_state),
        cmocka_unit_test(a_thousand),
        cmocka_unit_test(no_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
