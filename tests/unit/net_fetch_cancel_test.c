/* Calls that are cancelled, started or freed at every time: in every phase, when finished, in
 * another one's done, with the client. */
#include "fetch_scene.h"

static void start_headless(struct connection *c)
{
    if (!server_read(c))
        return;
    server_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    swallow(c);
}

static void cancel_in_every_phase(void **state)
{
    (void)state;
    struct server s, half;
    struct err e;
    server_start(&s, answer_later, NULL);
    server_start(&half, start_headless, NULL);
    for (int phase = 0; phase < 6; phase++) {
        struct answer a;
        answer_init(&a);
        struct fetch_request q = request("POST", phase == 3 ? half.url : s.url, &a);
        char *body = strdup("to be freed at once");
        if (phase == 5)
            q.url = "http://no-such-name.invalid/";
        q.body = body;
        q.body_len = strlen(body);
        struct fetch_call *call = fetch_start(client, &q, &e);
        assert_non_null(call);
        if (phase == 1) /* resolving or connecting */
            ev_run(loop, EVRUN_ONCE);
        if (phase == 2 || phase == 3) /* sent; half an answer */
            turn_for(50);
        while (phase == 4 && ev_run(loop, EVRUN_ONCE) != 0 && s.requests < 100)
            if (clock_mono_us() % 7 == 0) /* let it finish without delivering */
                break;
        if (phase == 5)
            ev_run(loop, EVRUN_ONCE);
        bool was_late = a.done; /* the machine stood still meanwhile */
        if (!was_late)
            fetch_cancel(call);
        free(body);
        turn_for(phase == 4 ? 250 : 30);
        assert_int_equal(a.done, was_late);
        answer_free(&a);
    }
    struct answer a;
    struct fetch_request q = request("GET", s.url, NULL);
    run(&q, &a);
    assert_int_equal(a.result, FETCH_OK);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    server_stop(&half);
    set_up(NULL);
}

static void cancel_when_finished_but_not_delivered(void **state)
{
    (void)state;
    struct server s;
    struct err e;
    struct answer a;
    server_start(&s, say_hello, NULL);
    answer_init(&a);
    struct fetch_request q = request("GET", s.url, &a);
    struct fetch_call *call = fetch_start(client, &q, &e);
    bool late = false;
    ev_timer guard;
    ev_timer_init(&guard, on_guard, 0.3, 0.);
    guard.data = &late;
    while (s.requests == 0)
        ev_run(loop, EVRUN_NOWAIT);
    ev_now_update(loop);
    ev_timer_start(loop, &guard);
    while (!late)
        ev_run(loop, EVRUN_ONCE); /* no fetch_turn: it waits in the finished list */
    assert_int_equal(s.requests, 1);
    fetch_cancel(call);
    turn_for(30);
    assert_false(a.done);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

struct chain {
    const char *url;
    int left;
    bool done;
    struct fetch_call *call;
    struct fetch_call *victim;
};

static void link_done(void *arg, const struct fetch_response *r)
{
    struct chain *c = arg;
    struct err e;
    assert_int_equal(r->result, FETCH_OK);
    fetch_cancel(c->call); /* inside its own done: nothing */
    if (c->victim)
        fetch_cancel(c->victim);
    c->victim = NULL;
    if (--c->left == 0) {
        c->done = true;
        return;
    }
    struct fetch_request q = request("GET", c->url, NULL);
    q.done = link_done;
    q.arg = c;
    c->call = fetch_start(client, &q, &e);
    assert_non_null(c->call);
}

static void calls_from_done(void **state)
{
    (void)state;
    struct server s;
    struct err e;
    struct answer never;
    server_start(&s, say_hello, NULL);
    answer_init(&never);
    struct chain chain = {.url = s.url, .left = 20};
    struct fetch_request q = request("GET", s.url, &never);
    chain.victim = fetch_start(client, &q, &e);
    q.done = link_done;
    q.arg = &chain;
    chain.call = fetch_start(client, &q, &e);
    fetch_cancel(chain.victim);
    chain.victim = NULL;
    turn_until(&chain.done, 5000);
    assert_true(chain.done);
    assert_false(never.done);
    answer_free(&never);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void free_with_open_calls(void **state)
{
    (void)state;
    struct server s;
    struct err e;
    struct answer a[8];
    server_start(&s, answer_later, NULL);
    for (int i = 0; i < 8; i++) {
        answer_init(&a[i]);
        struct fetch_request q = request("GET", i == 7 ? "http://slow.invalid/" : s.url, &a[i]);
        assert_non_null(fetch_start(client, &q, &e));
        if (i == 3)
            turn_for(30);
    }
    tear_down(NULL);
    for (int i = 0; i < 8; i++) {
        assert_false(a[i].done);
        answer_free(&a[i]);
    }
    server_stop(&s);
    set_up(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_in_every_phase),
        cmocka_unit_test(cancel_when_finished_but_not_delivered),
        cmocka_unit_test(calls_from_done),
        cmocka_unit_test(free_with_open_calls),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
