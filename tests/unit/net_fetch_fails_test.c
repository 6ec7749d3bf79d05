/* fetch against servers that misbehave: late, away, cut off, no HTTP, too much. */
#include "fetch_scene.h"

static void timeout_after_sending(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, swallow, NULL);
    struct fetch_request q = request("POST", s.url, NULL);
    q.body = "x";
    q.body_len = 1;
    q.timeout_ms = 150;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_TIMEOUT);
    assert_true(a.sent);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.first_byte_ms, 0);
    assert_in_range(a.elapsed_us, 140000, 4000000);
    assert_non_null(strstr(a.error, "nothing came back"));
    assert_non_null(strstr(a.error, "150 ms"));
    assert_non_null(strstr(a.error, s.url));
    assert_int_equal(s.requests, 1);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void a_waiting_answer_goes_before_its_timeout(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    struct err e;
    server_start(&s, answer_later, NULL);
    struct fetch_request q = request("GET", s.url, NULL);
    run(&q, &a); /* a kept connection */
    answer_free(&a);
    answer_init(&a);
    q.timeout_ms = 1000;
    assert_non_null(fetch_start(client, &q, &e));
    turn_for(50);
    assert_false(a.done);
    nap_ms(1500); /* Lua has the thread; the answer comes and its time runs out meanwhile */
    turn_until(&a.done, 2000);
    assert_int_equal(a.result, FETCH_OK);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void a_short_timeout_after_a_long_slice(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, answer_later, NULL);
    ev_now_update(loop);
    nap_ms(1400); /* libev's cached time is old now */
    struct fetch_request q = request("GET", s.url, NULL);
    q.timeout_ms = 1300;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_OK);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, swallow, NULL);
    char url[64];
    snprintf(url, sizeof url, "%s", s.url);
    server_stop(&s);
    struct fetch_request q = request("POST", url, NULL);
    q.body = "x";
    q.body_len = 1;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_NO_CONNECTION);
    assert_false(a.sent);
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.error, url));
    answer_free(&a);
}

static void connecting_takes_too_long(void **state)
{
    (void)state;
    /* A listening socket whose backlog is full answers no further SYN. */
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[3];
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    for (int i = 0; i < 3; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&in, sizeof in);
    }
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(in.sin_port));
    struct answer a;
    struct fetch_request q = request("GET", url, NULL);
    q.connect_timeout_ms = 150;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_NO_CONNECTION);
    assert_false(a.sent);
    answer_free(&a);
    q.connect_timeout_ms = 2000;
    q.timeout_ms = 150;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_TIMEOUT);
    assert_false(a.sent);
    answer_free(&a);
    for (int i = 0; i < 3; i++)
        close(fill[i]);
    close(fd);
}

static void hang_up(struct connection *c)
{
    (void)c;
}

static void read_and_hang_up(struct connection *c)
{
    server_read(c);
}

static void read_and_reset(struct connection *c)
{
    server_read(c);
    server_reset(c);
}

static void half_an_answer(struct connection *c)
{
    server_read(c);
    server_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
}

static void half_a_chunk(struct connection *c)
{
    server_read(c);
    server_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhello");
}

static void half_a_head(struct connection *c)
{
    server_read(c);
    server_say(c, "HTTP/1.1 200 OK\r\nContent-");
}

static void cut_connections(void **state)
{
    (void)state;
    static const struct {
        void (*script)(struct connection *);
        int status;
        int requests; /* -1: the request may or may not have arrived */
    } cases[] = {
        {hang_up, 0, 0},          {read_and_hang_up, 0, 1}, {read_and_reset, 0, 1},
        {half_an_answer, 200, 1}, {half_a_chunk, 200, 1},   {half_a_head, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server s;
        struct answer a;
        server_start(&s, cases[i].script, NULL);
        struct fetch_request q = request("POST", s.url, NULL);
        q.body = "x";
        q.body_len = 1;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_CUT);
        assert_int_equal(a.status, cases[i].status);
        if (cases[i].requests > 0)
            assert_true(a.sent);
        assert_int_equal(s.requests, cases[i].requests);
        assert_int_equal(s.connections, 1);
        assert_true(strlen(a.error) > 20);
        answer_free(&a);
        tear_down(NULL);
        server_stop(&s);
        set_up(NULL);
    }
}

static void talk_nonsense(struct connection *c)
{
    server_read(c);
    server_say(c, "220 smtp.example.org ESMTP\r\n");
}

static void no_http(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, talk_nonsense, NULL);
    struct fetch_request q = request("GET", s.url, NULL);
    run(&q, &a);
    assert_int_equal(a.result, FETCH_FAILED);
    assert_true(a.sent);
    assert_int_equal(a.status, 0);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void flood(struct connection *c)
{
    bool chunked = c->server->arg != NULL;
    char block[8192];
    memset(block, 'a', sizeof block);
    if (!server_read(c))
        return;
    server_say(c, chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nContent-Length: 819200\r\n\r\n");
    for (int i = 0; i < 100; i++) {
        if (chunked)
            server_say(c, "2000\r\n");
        server_write(c, block, sizeof block);
        if (chunked)
            server_say(c, "\r\n");
    }
    if (chunked)
        server_say(c, "0\r\n\r\n");
}

static void answers_over_the_limit(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct server s;
        struct answer a;
        server_start(&s, flood, chunked ? &s : NULL);
        struct fetch_request q = request("GET", s.url, NULL);
        q.max_body_bytes = 819199;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_TOO_BIG);
        assert_in_range(a.body.len, 0, 819199);
        answer_free(&a);
        q.max_body_bytes = 819200;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        assert_int_equal(a.body.len, 819200);
        answer_free(&a);
        tear_down(NULL);
        server_stop(&s);
        set_up(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeout_after_sending),
        cmocka_unit_test(a_waiting_answer_goes_before_its_timeout),
        cmocka_unit_test(a_short_timeout_after_a_long_slice),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(connecting_takes_too_long),
        cmocka_unit_test(cut_connections),
        cmocka_unit_test(no_http),
        cmocka_unit_test(answers_over_the_limit),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
