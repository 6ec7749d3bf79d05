/* What becomes of tasks around a request: cancelled, fenced, freed with the vm, a thousand of them,
 * and without memory. */
#include "vm_http.h"

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
        cmocka_unit_test(cancel_unsent),        cmocka_unit_test(cancel_on_the_wire),
        cmocka_unit_test(cancel_after_sending), cmocka_unit_test(fence),
        cmocka_unit_test(fenced_early),         cmocka_unit_test(freed_in_every_state),
        cmocka_unit_test(a_thousand),           cmocka_unit_test(no_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
