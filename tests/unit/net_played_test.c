/* fetch without a network: a function answers (options.play). */
#include "net/fetch.h"

#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct ev_loop *loop;
static struct fetch *client;
static struct fetch_played script; /* what play answers; head and body stay empty */
static const char *script_body, *script_head;
static int played, delivered;

static void play(void *arg, const struct fetch_request *q, struct fetch_played *answer)
{
    assert_ptr_equal(arg, &script);
    assert_string_equal(q->url, "http://x.test/a");
    played++;
    answer->result = script.result;
    answer->sent = script.sent;
    answer->status = script.status;
    buf_str(&answer->head, script_head);
    buf_str(&answer->body, script_body);
    strcpy(answer->words, script.words);
}

static void on_done(void *arg, const struct fetch_response *r)
{
    char value[16];
    delivered++;
    assert_null(arg);
    assert_int_equal(r->result, script.result);
    if (r->result != FETCH_OK) {
        assert_non_null(strstr(r->error, "by the test"));
        assert_int_equal(r->sent, script.sent);
        assert_int_equal(r->status, 0);
        return;
    }
    assert_true(r->sent);
    assert_int_equal(r->status, 201);
    assert_string_equal(r->body, script_body);
    assert_true(fetch_header(r, "x-n", value, sizeof value));
    assert_string_equal(value, "5");
}

static struct fetch_call *start(const char *url)
{
    struct err e = {0};
    struct fetch_request q = {.method = "GET", .url = url, .timeout_ms = 1000, .done = on_done};
    return fetch_start(client, &q, &e);
}

static void an_answer_comes_with_the_next_turn(void **state)
{
    (void)state;
    script = (struct fetch_played){.result = FETCH_OK, .status = 201};
    script_body = "hello";
    script_head = "X-N: 5\r\n";
    for (int i = 1; i <= 3; i++) { /* the pooled call starts clean */
        assert_non_null(start("http://x.test/a"));
        assert_int_equal(played, i);
        assert_int_equal(delivered, i - 1);
        fetch_turn(client);
        assert_int_equal(delivered, i);
    }
}

static void failures_are_told_as_on_the_wire(void **state)
{
    (void)state;
    static const enum fetch_result kinds[] = {FETCH_NO_CONNECTION, FETCH_TIMEOUT, FETCH_CUT,
                                              FETCH_FAILED};
    script_body = script_head = "";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int before = delivered;
        script = (struct fetch_played){.result = kinds[i],
                                       .sent = kinds[i] != FETCH_NO_CONNECTION,
                                       .words = "made by the test"};
        assert_non_null(start("http://x.test/a"));
        fetch_turn(client);
        assert_int_equal(delivered, before + 1);
    }
}

static void a_cancelled_one_is_not_delivered(void **state)
{
    (void)state;
    int before = delivered;
    fetch_cancel(start("http://x.test/a"));
    fetch_turn(client);
    assert_int_equal(delivered, before);
}

static void what_could_not_be_sent_is_not_played(void **state)
{
    (void)state;
    int before = played;
    assert_null(start("ftp://x.test/a"));
    assert_int_equal(played, before);
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    struct fetch_options o = {.play = play, .play_arg = &script};
    loop = ev_loop_new(EVFLAG_AUTO);
    client = fetch_global_init(&e) == 0 ? fetch_new(loop, &o, &e) : NULL;
    return client ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    assert_non_null(start("http://x.test/a")); /* undelivered: freed with the client */
    fetch_free(client);
    ev_loop_destroy(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_the_next_turn),
        cmocka_unit_test(failures_are_told_as_on_the_wire),
        cmocka_unit_test(a_cancelled_one_is_not_delivered),
        cmocka_unit_test(what_could_not_be_sent_is_not_played),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
