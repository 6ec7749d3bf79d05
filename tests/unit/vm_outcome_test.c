#include "vm_harness.h"

static void outcomes(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum outcome outcome;
        const char *kind;
        const char *at;
        const char *reason;
        int64_t after_ms;
    } cases[] = {
        {"", OUTCOME_ACK, "", "", NULL, -1},
        {"return nil", OUTCOME_ACK, "", "", NULL, -1},
        {"return true", OUTCOME_ACK, "", "", NULL, -1},
        {"return nil, nil", OUTCOME_ACK, "", "", NULL, -1},
        {"return host.retry{after=30, reason='busy'}", OUTCOME_RETRY, "", "register.lua:5", "busy",
         30000},
        {"return host.retry()", OUTCOME_RETRY, "", "register.lua:5", NULL, -1},
        {"return host.retry{after=0.5}", OUTCOME_RETRY, "", "register.lua:5", NULL, 500},
        {"return host.reject 'no email'", OUTCOME_REJECT, "", "register.lua:5", "no email", -1},
        {"return host.reject()", OUTCOME_REJECT, "", "register.lua:5", NULL, -1},
        {"local no = host.reject 'a'\nhost.retry()\nreturn no", OUTCOME_REJECT, "", "", "a", -1},
        {"local ok, no = pcall(host.reject, 'a')\nreturn no", OUTCOME_REJECT, "", "register.lua:5",
         "a", -1},
        {"local function no()\n  return host.reject 'a'\nend\nreturn no()", OUTCOME_REJECT, "",
         "register.lua:6", "a", -1},
        {"return coroutine.wrap(function()\n  return (host.reject 'a')\nend)()", OUTCOME_REJECT, "",
         "register.lua:6", "a", -1},
        {"return M.never", OUTCOME_REJECT, "", "", "made before", -1},
        {"return false", OUTCOME_RETRY, "contract", "register.lua:4", "returned false", -1},
        {"return nil, 'oops'", OUTCOME_RETRY, "contract", "register.lua:4",
         "nil and the string \"oops\"", -1},
        {"return 'done'", OUTCOME_RETRY, "contract", "register.lua:4", "the string \"done\"", -1},
        {"return {}", OUTCOME_RETRY, "contract", "register.lua:4", "a table", -1},
        {"return true, 1", OUTCOME_RETRY, "contract", "register.lua:4", "true and a number", -1},
        {"host.reject 'x'", OUTCOME_RETRY, "contract", "register.lua:4", "did not return", -1},
        {"coroutine.yield(1)", OUTCOME_RETRY, "contract", "register.lua:5", "coroutine.yield", -1},
        {"return coroutine.yield(1)", OUTCOME_RETRY, "contract", "register.lua:5",
         "coroutine.yield", -1},
        {"pcall(coroutine.yield) while true do pcall(coroutine.yield) end", OUTCOME_RETRY,
         "contract", "register.lua:5", "coroutine.yield", -1},
        {"error('boom')", OUTCOME_RETRY, "lua", "register.lua:5", "register.lua:5: boom", -1},
        {"local t = nil\nt.x = 1", OUTCOME_RETRY, "lua", "register.lua:6", "nil value", -1},
        {"error({})", OUTCOME_RETRY, "lua", "register.lua:5", "{}", -1},
        {"error({code = 3})", OUTCOME_RETRY, "lua", "register.lua:5", "{code = 3}", -1},
        {"error({'no', 'user', at = 1.5, ok = false, [7] = print})", OUTCOME_RETRY, "lua",
         "register.lua:5", "{\"no\", \"user\", [7] = function, at = 1.5, ok = false}", -1},
        {"error({b = {c = 1}, a = 'x', ['not a name'] = math.mininteger})", OUTCOME_RETRY, "lua",
         "register.lua:5", "{[\"not a name\"] = -9223372036854775808, a = \"x\", b = {...}}", -1},
        {"error({password = 'hunter2', Access_Token = 'abc', email = 'a@b.test', code = 1})",
         OUTCOME_RETRY, "lua", "register.lua:5",
         "{Access_Token = ***, code = 1, email = ***, password = ***}", -1},
        {"local t, x = {}, ('x'):rep(300) for i = 1, 10000 do t[i] = x end t.t = t error(t)",
         OUTCOME_RETRY, "lua", "register.lua:5", ", ...}", -1},
        {"error(setmetatable({code = 4}, {__name = 'My', __index = error, __pairs = error}))",
         OUTCOME_RETRY, "lua", "register.lua:5", "{code = 4}", -1},
        {"error(setmetatable({}, {__tostring=function() while true do end end}))", OUTCOME_RETRY,
         "cpu", "register.lua:5", "used more CPU", -1},
        {"error()", OUTCOME_RETRY, "lua", "register.lua:5", "nil", -1},
        {"error(setmetatable({}, {__tostring=function() return 'mine' end}))", OUTCOME_RETRY, "lua",
         "register.lua:5", "mine", -1},
        {"error(setmetatable({}, {__tostring=function() error('x') end}))", OUTCOME_RETRY, "lua",
         "register.lua:5", "error without a message", -1},
        {"host.error{kind='busy', message='later', after=3}", OUTCOME_RETRY, "busy",
         "register.lua:5", "later", 3000},
        {"host.error{kind='bad', message='never', retryable=false}", OUTCOME_REJECT, "bad",
         "register.lua:5", "never", -1},
        {"error({kind='k', message='m', retryable=false})", OUTCOME_REJECT, "k", "register.lua:5",
         "m", -1},
        {"host.error 'words'", OUTCOME_RETRY, "error", "register.lua:5", "words", -1},
        {"return msg.json.x", OUTCOME_REJECT, "json", "register.lua:5", "line 1 column", -1},
        {"msg.id = 1", OUTCOME_RETRY, "contract", "register.lua:5", "cannot be assigned", -1},
        {"x = 1", OUTCOME_RETRY, "lua", "register.lua:5", "global 'x' cannot be assigned", -1},
        {"print(undefined_thing == nil)", OUTCOME_ACK, "", "", NULL, -1},
        {"require 'other'", OUTCOME_RETRY, "lua", "register.lua:5", "only while the handler loads",
         -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        char source[1024];
        rig_defaults(&r);
        snprintf(source, sizeof source,
                 "local host = require 'host'\nlocal M = {}\nM.never = host.reject 'made before'\n"
                 "function M.handle(msg)\n%s\nend\n"
                 "return M",
                 cases[i].body);
        rig_must_open(&r, source);
        struct job *job = rig_one(&r, i % 2 ? "" : "not json");
        if (job->outcome != cases[i].outcome || strcmp(job->kind, cases[i].kind) != 0 ||
            strcmp(job->at, cases[i].at) != 0 || job->after_ms != cases[i].after_ms)
            fail_msg("%s: outcome %d kind '%s' at '%s' after %ld reason %s", cases[i].body,
                     job->outcome, job->kind, job->at, (long)job->after_ms, job->reason);
        if (cases[i].reason)
            assert_has(job->reason, cases[i].reason);
        else
            assert_null(job->reason);
        /* host.retry names the time, an error only the least of it */
        assert_int_equal(job->after_least, job->after_ms >= 0 && *job->kind);
        assert_true(job->ran);
        assert_int_equal(job->generation, 3);
        assert_true(job->started_us > 0 && job->duration_us >= 0);
        assert_int_equal(vm_tasks(r.vm), 0);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(outcomes)};
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
