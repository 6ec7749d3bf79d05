/* What host.http sends, how often it arrives, and what it refuses to send. */
#include "vm_http.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_needs_an_id), cmocka_unit_test(arrives_once),
        cmocka_unit_test(refusals),           cmocka_unit_test(what_is_sent),
        cmocka_unit_test(the_trace_goes_on),  cmocka_unit_test(allow_list),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
