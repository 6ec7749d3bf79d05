/* What a run hears of its lease, and what the core hears of the server that a run is to try. */
#include "vm_harness.h"

static void open_handler(struct rig *r, const char *body)
{
    char source[2048];
    snprintf(source, sizeof source,
             "local host = require 'host'\nlocal http = require 'host.http'\n"
             "local U = 'http://127.0.0.1:PORT'\nreturn {handle = function(msg)\n%s\nend}",
             body);
    rig_must_open(r, source);
}

static struct job *run_lost(struct rig *r, const char *body)
{
    rig_defaults(r);
    open_handler(r, body);
    struct job *job = make_job("");
    atomic_store(&job->lease_lost, true);
    vm_run(r->vm, job);
    rig_until(r, 1);
    return job;
}

static void the_next_binding_raises(void **state)
{
    static const char *const calls[] = {"http.post(U .. '/x', {body = 'a'})", "host.sleep(0.01)"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        int before = atomic_load(&server.requests);
        struct job *job = run_lost(&r, calls[i]);
        assert_int_equal(job->outcome, OUTCOME_RETRY);
        assert_string_equal(job->kind, "lease_lost");
        assert_false(job->target_failed);
        assert_has(job->reason, "lease has lapsed");
        assert_int_equal(atomic_load(&server.requests), before);
        rig_close(&r);
    }
}

/* It can be caught, like any typed error, and says nothing of a message that needs no binding. */
static void it_is_an_error_like_others(void **state)
{
    (void)state;
    struct rig r;
    struct job *job = run_lost(&r, "local ok, e = pcall(host.sleep, 0.01)\n"
                                   "if ok or e.kind ~= 'lease_lost' or not e.retryable then "
                                   "host.reject(tostring(e)) end");
    assert_int_equal(job->outcome, OUTCOME_ACK);
    rig_close(&r);
    job = run_lost(&r, "return nil");
    assert_int_equal(job->outcome, OUTCOME_ACK);
    rig_close(&r);
}

/* Lost while a request is on the wire: that one finishes, the next is refused. */
static void lost_between_two_requests(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    open_handler(&r, "http.get(U .. '/slow/100') http.get(U .. '/x')");
    int before = atomic_load(&server.requests);
    struct job *job = rig_send(&r, "");
    rig_for(&r, 50);
    atomic_store(&job->lease_lost, true);
    rig_until(&r, 1);
    assert_string_equal(job->kind, "lease_lost");
    assert_int_equal(atomic_load(&server.requests), before + 1);
    rig_close(&r);
}

static void only_the_tried_server_answers_for_itself(void **state)
{
    static const struct {
        const char *probes, *call;
        bool answered;
    } cases[] = {
        {"http://127.0.0.1:PORT", "http.get(U .. '/x')", true},
        {"http://127.0.0.1:PORT", "http.get(U .. '/status/404')", true},
        {"http://127.0.0.1:PORT", "http.get(U .. '/status/503')", false},
        {"http://127.0.0.1:PORT", "http.get(U .. '/cut')", false},
        {"http://127.0.0.1:PORT", "return nil", false},
        {"http://127.0.0.1:1", "http.get(U .. '/x')", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        rig_defaults(&r);
        open_handler(&r, cases[i].call);
        char *origin = with_port(cases[i].probes);
        struct job *job = make_job("");
        job->probes = origin;
        vm_run(r.vm, job);
        rig_until(&r, 1);
        assert_int_equal(job->probe_answered, cases[i].answered);
        rig_close(&r);
        free(origin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_binding_raises),
        cmocka_unit_test(it_is_an_error_like_others),
        cmocka_unit_test(lost_between_two_requests),
        cmocka_unit_test(only_the_tried_server_answers_for_itself),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
