/* host.http against a server in a thread of its own: what comes back, and what is said of it when
 * it fails. */
#include "vm_http.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(no_query_in_words),
        cmocka_unit_test(target_verdicts),
        cmocka_unit_test(timeout_capped),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
