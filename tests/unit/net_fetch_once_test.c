/* A request is sent at most once, whatever becomes of its connection, except where its caller says
 * that it may be repeated. */
#include "fetch_scene.h"

/* The first connection answers one request, and dies after having read the second one. */
static void die_in_the_middle(struct connection *c)
{
    while (server_read(c)) {
        if (c->number == 0 && c->requests == 2) {
            if (c->server->arg)
                server_reset(c);
            return;
        }
        server_say(c, HELLO);
    }
}

static void never_twice(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        size_t body_len;
    } cases[] = {{"POST", 1}, {"POST", 100000}, {"POST", 0},   {"PUT", 0},
                 {"PUT", 10}, {"GET", 0},       {"DELETE", 0}, {"HEAD", 0}};
    char *body = calloc(1, 100000);
    for (size_t i = 0; i < 4 * (sizeof cases / sizeof *cases); i++) {
        bool repeatable = i & 1, reset = i & 2;
        struct server s;
        struct answer a;
        server_start(&s, die_in_the_middle, reset ? &s : NULL);
        struct fetch_request q = request("GET", s.url, NULL);
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        answer_free(&a);
        q.method = cases[i / 4].method;
        q.body = body;
        q.body_len = cases[i / 4].body_len;
        q.repeatable = repeatable;
        run(&q, &a);
        assert_int_equal(a.result, repeatable ? FETCH_OK : FETCH_CUT);
        assert_true(a.sent);
        assert_int_equal(a.repeated, repeatable);
        assert_int_equal(s.requests, repeatable ? 3 : 2);
        answer_free(&a);
        q.method = "GET"; /* the client is none the worse for it */
        q.body_len = 0;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        assert_false(a.repeated);
        answer_free(&a);
        tear_down(NULL);
        server_stop(&s);
        set_up(NULL);
    }
    free(body);
}

/* The same, and the whole server dies with it. */
static void die_for_good(struct connection *c)
{
    while (server_read(c)) {
        if (c->requests == 2) {
            shutdown(c->server->fd, SHUT_RDWR);
            if (c->server->arg)
                server_reset(c);
            return;
        }
        server_say(c, HELLO);
    }
}

/* libcurl's last words are then about the connection that it opened for its repeat. */
static void a_server_that_dies_with_the_request(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct server s;
        struct answer a;
        server_start(&s, die_for_good, i & 2 ? &s : NULL);
        struct fetch_request q = request("GET", s.url, NULL);
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        answer_free(&a);
        q.method = "POST";
        q.body = "x";
        q.body_len = 1;
        q.repeatable = i & 1;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_CUT);
        assert_true(a.sent);
        assert_int_equal(s.requests, 2);
        answer_free(&a);
        run(&q, &a); /* nothing of this one was sent */
        assert_int_equal(a.result, FETCH_NO_CONNECTION);
        assert_false(a.sent);
        answer_free(&a);
        tear_down(NULL);
        server_stop(&s);
        set_up(NULL);
    }
}

static void answer_once(struct connection *c)
{
    if (server_read(c))
        server_say(c, HELLO);
}

static void a_connection_that_died_idle_costs_nothing(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    static const struct {
        const char *method;
        size_t body_len;
    } cases[] = {{"POST", 1}, {"POST", 0}, {"PUT", 1}, {"PUT", 0}, {"DELETE", 0}, {"GET", 0}};
    int count = sizeof cases / sizeof *cases;
    server_start(&s, answer_once, NULL);
    for (int i = 0; i < count; i++) {
        struct fetch_request q = request(cases[i].method, s.url, NULL);
        q.body = "x";
        q.body_len = cases[i].body_len;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        answer_free(&a);
        nap_ms(20);
    }
    assert_int_equal(s.requests, count);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_twice),
        cmocka_unit_test(a_server_that_dies_with_the_request),
        cmocka_unit_test(a_connection_that_died_idle_costs_nothing),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
