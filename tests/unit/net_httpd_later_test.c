/* Requests that are answered later, and clients that leave, or a server that stops, meanwhile. */
#include "httpd_scene.h"

static void hold(struct client *c)
{
    client_says(c, "GET /hold HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    client_says(c, "GET /after HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
}

static void answers_later(void **state)
{
    (void)state;
    /* Longer than the idle limit and the exchange limit: neither is for the owner's time. */
    const struct httpd_options options = {.listen = "127.0.0.1:0",
                                          .max_body_bytes = MEBIBYTE,
                                          .max_connections = 10,
                                          .idle_s = 1,
                                          .exchange_s = 1};
    struct server s;
    struct client c;
    server_start(&s, &options);
    s.hold_ms = 2500;
    one_client(&s, &c, hold);
    assert_int_equal(c.answers, 2);
    assert_in_range(c.took_ms, 2400, 6000);
    assert_int_equal(s.gone, 0);
    client_free(&c);
    server_stop(&s);
}

static void hold_and_leave(struct client *c)
{
    client_send(c, "GET /hold HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 39);
    usleep(50000);
}

static void tells_of_a_client_that_left(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, hold_and_leave);
    for (int i = 0; i < 20 && s.gone == 0; i++)
        server_turn(&s);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.gone, 1);
    client_free(&c);
    /* The server lives on, and an answer to a request whose client left does no harm. */
    clients_start(&s, &c, 1, hold_and_leave);
    while (!s.held)
        server_turn(&s);
    pthread_join(c.thread, NULL);
    assert_false(httpd_client_here(s.held));
    s.release = true;
    server_turn(&s);
    s.release = false;
    client_free(&c);
    one_client(&s, &c, what_was_asked);
    assert_int_equal(c.answers, 1);
    client_free(&c);
    server_stop(&s);
}

static void pipeline(struct client *c)
{
    client_send(c,
                "GET /hold HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
                "GET /next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                78);
    if (client_answer(c))
        client_answer(c);
}

static void bytes_of_a_next_request_are_no_departure(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    s.hold_ms = 100;
    one_client(&s, &c, pipeline);
    assert_int_equal(c.answers, 2);
    assert_non_null(strstr(c.head.data, "X-Path: /next"));
    assert_int_equal(s.gone, 0);
    client_free(&c);
    server_stop(&s);
}

static void wait_for_the_end(struct client *c)
{
    client_send(c, "GET /hold HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 39);
    client_answer(c);
}

static void stops_with_requests_open(void **state)
{
    (void)state;
    struct server s;
    struct client clients[2];
    server_start(&s, NULL);
    clients_start(&s, clients, 1, wait_for_the_end);
    while (!s.held)
        server_turn(&s);
    /* A second request is whole but was not handed out yet. */
    clients_start(&s, clients + 1, 1, what_was_asked);
    usleep(100000);
    ev_run(s.loop, EVRUN_NOWAIT);
    httpd_free(s.httpd);
    for (int i = 0; i < 2; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].answers, 0);
        client_free(&clients[i]);
    }
    assert_int_equal(s.gone, 0);
    s.httpd = NULL;
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_later),
        cmocka_unit_test(tells_of_a_client_that_left),
        cmocka_unit_test(bytes_of_a_next_request_are_no_departure),
        cmocka_unit_test(stops_with_requests_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
