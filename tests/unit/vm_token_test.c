/* host.token: one question per realm and worker, whoever waits for it. */
#include "vm_harness.h"

static const char handler[] =
    "local token = require 'host.token'\nlocal host = require 'host'\n"
    "return {handle = function(msg)\n"
    "  local text, number = token.get(msg.body == 'other' and 'b' or 'a')\n"
    "  if msg.body == 'drop' then token.drop('a', number) text, number = token.get 'a' end\n"
    "  if msg.body == 'old' then token.drop('a', 1) end\n"
    "  return host.reject(text .. ' ' .. number)\nend}";

static void answer(struct rig *r, int index, const char *text, uint64_t number, int64_t life_ms)
{
    struct token_request *q = r->asked[index];
    q->token = token_new(text, number, clock_boot_ms() + life_ms);
    vm_token_answer(r->vm, q);
    vm_turn(r->vm);
}

static void shared_wait(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, handler);
    for (int i = 0; i < 3; i++)
        rig_send(&r, "");
    rig_send(&r, "other");
    vm_turn(r.vm);
    assert_int_equal(r.asked_count, 2);
    assert_string_equal(r.asked[0]->realm, "a");
    assert_int_equal(r.asked[0]->stale, 0);
    assert_non_null(r.asked[0]->task);
    assert_string_equal(r.asked[1]->realm, "b");
    answer(&r, 0, "T", 5, 60000);
    assert_int_equal(r.count, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(r.verdicts[i]->reason, "T 5");
    answer(&r, 1, "U", 6, 60000);
    assert_string_equal(r.verdicts[3]->reason, "U 6");
    assert_string_equal(rig_one(&r, "")->reason, "T 5"); /* kept */
    assert_int_equal(r.asked_count, 2);
    rig_close(&r);
}

static void expiry_and_drop(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, handler);
    rig_send(&r, "");
    vm_turn(r.vm);
    answer(&r, 0, "T", 1, -1); /* to be renewed at once: used, not kept */
    assert_string_equal(r.verdicts[0]->reason, "T 1");
    rig_send(&r, "drop");
    vm_turn(r.vm);
    assert_int_equal(r.asked_count, 2);
    assert_int_equal(r.asked[1]->stale, 0);
    answer(&r, 1, "U", 2, 60000);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.asked_count, 3);
    assert_int_equal(r.asked[2]->stale, 2);
    answer(&r, 2, "V", 3, 60000);
    assert_string_equal(r.verdicts[1]->reason, "V 3");
    assert_string_equal(rig_one(&r, "old")->reason, "V 3"); /* an older number drops nothing */
    assert_string_equal(rig_one(&r, "")->reason, "V 3");
    assert_int_equal(r.asked_count, 3);
    rig_close(&r);
}

/* One task asks; meanwhile a server refuses that very token to another: it is asked for again. */
static void refused_while_asked(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, "local token = require 'host.token'\nlocal host = require 'host'\n"
                      "return {handle = function(msg)\n"
                      "  if msg.body == 'refused' then token.drop('a', 1) return end\n"
                      "  local text, number = token.get 'a'\n"
                      "  return host.reject(text .. ' ' .. number)\nend}");
    rig_send(&r, "");
    vm_turn(r.vm);
    rig_send(&r, "refused");
    vm_turn(r.vm);
    answer(&r, 0, "T", 1, 60000);
    assert_int_equal(r.asked_count, 2);
    assert_int_equal(r.asked[1]->stale, 1);
    answer(&r, 1, "T", 1, 60000); /* the core insists: it knows best, but it is not kept */
    assert_int_equal(r.count, 2);
    assert_string_equal(r.verdicts[1]->reason, "T 1");
    rig_close(&r);
}

static void failure(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, handler);
    rig_send(&r, "");
    rig_send(&r, "");
    vm_turn(r.vm);
    struct token_request *q = r.asked[0];
    err_set(&q->error, 0, "token: no answer from Keycloak");
    q->target_failed = true;
    strcpy(q->target, "http://kc:80");
    vm_token_answer(r.vm, q);
    vm_turn(r.vm);
    assert_int_equal(r.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r.verdicts[i]->outcome, OUTCOME_RETRY);
        assert_string_equal(r.verdicts[i]->kind, "token");
        assert_string_equal(r.verdicts[i]->reason, "token: no answer from Keycloak");
        assert_string_equal(r.verdicts[i]->target, "http://kc:80");
        assert_string_equal(r.verdicts[i]->at, "register.lua:4");
        assert_true(r.verdicts[i]->target_failed);
    }
    rig_send(&r, "");
    vm_turn(r.vm);
    assert_int_equal(r.asked_count, 2); /* asked anew */
    answer(&r, 1, "T", 1, 60000);
    assert_string_equal(r.verdicts[2]->reason, "T 1");
    rig_close(&r);
}

/* The asker dies; the answer is good for those who wait with it and for those who come. */
static void late_answer(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    r.options.limit_time_s = 1;
    rig_must_open(&r, handler);
    struct job *asker = rig_send(&r, "");
    vm_turn(r.vm);
    rig_send(&r, "");
    vm_turn(r.vm);
    vm_cancel(r.vm, asker);
    vm_turn(r.vm);
    assert_int_equal(r.count, 1);
    assert_int_equal(asker->outcome, OUTCOME_RELEASE);
    rig_until(&r, 2); /* the other one's time is up */
    assert_string_equal(r.verdicts[1]->kind, "time");
    answer(&r, 0, "T", 1, 60000);
    assert_string_equal(rig_one(&r, "")->reason, "T 1");
    rig_close(&r);
}

/* An answer that another vm of this worker asked for is freed, and changes nothing. */
static void foreign_answer(void **state)
{
    (void)state;
    struct rig a;
    struct rig b;
    rig_defaults(&a);
    rig_defaults(&b);
    rig_must_open(&a, handler);
    rig_must_open(&b, handler);
    rig_send(&a, "");
    rig_send(&b, "");
    vm_turn(a.vm);
    vm_turn(b.vm);
    struct token_request *q = a.asked[0];
    q->token = token_new("X", 9, clock_boot_ms() + 60000);
    vm_token_answer(b.vm, q);
    vm_turn(b.vm);
    assert_int_equal(b.count, 0);
    answer(&b, 0, "T", 1, 60000);
    assert_string_equal(b.verdicts[0]->reason, "T 1");
    rig_close(&b);
    rig_close(&a);
}

static void config(void **state)
{
    (void)state;
    struct rig r;
    rig_defaults(&r);
    rig_must_open(&r, "local c = require('host.token').config()\n"
                      "function handle() assert(c.url == 'http://127.0.0.1:1/auth')\n"
                      "assert(c.realm == 'customers' and c.auth_realm == 'customers') end");
    struct job *job = rig_one(&r, "");
    if (job->outcome != OUTCOME_ACK)
        fail_msg("%s", job->reason);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_wait),
        cmocka_unit_test(expiry_and_drop),
        cmocka_unit_test(refused_while_asked),
        cmocka_unit_test(failure),
        cmocka_unit_test(late_answer),
        cmocka_unit_test(foreign_answer),
        cmocka_unit_test(config),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
