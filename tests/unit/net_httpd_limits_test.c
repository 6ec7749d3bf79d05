/* What the server bounds: a body's size, the time that a client takes, the number of connections.
 */
#include "httpd_scene.h"

static void post_of(struct client *c, size_t size, bool chunked)
{
    struct buf b;
    buf_init(&b);
    buf_str(&b, "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    if (chunked)
        buf_printf(&b, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", size);
    else
        buf_printf(&b, "Content-Length: %zu\r\n\r\n", size);
    for (size_t i = 0; i < size; i++)
        buf_char(&b, (char)('a' + i % 23));
    if (chunked)
        buf_str(&b, "\r\n0\r\n\r\n");
    /* An early refusal may end the sending; the answer is there all the same. */
    client_send(c, b.data, b.len);
    client_answer(c);
    buf_free(&b);
}

static void largest_posts(struct client *c)
{
    post_of(c, MEBIBYTE, false);
    post_of(c, MEBIBYTE, true);
}

static void takes_a_mebibyte(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, largest_posts);
    assert_int_equal(c.answers, 2);
    assert_int_equal(c.body.len, MEBIBYTE);
    for (size_t i = 0; i < MEBIBYTE; i++)
        if (c.body.data[i] != (char)('a' + i % 23))
            fail_msg("byte %zu differs", i);
    client_free(&c);
    server_stop(&s);
}

static void refused_by_length(struct client *c)
{
    client_says(c, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1048577\r\n\r\n");
}

static void refused_by_count(struct client *c)
{
    post_of(c, MEBIBYTE + 1, true);
}

static void endless(struct client *c)
{
    char chunk[65536 + 9];
    memset(chunk, 'x', sizeof chunk);
    memcpy(chunk, "10000\r\n", 7);
    memcpy(chunk + sizeof chunk - 2, "\r\n", 2);
    client_send(c, "POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n", 60);
    int sent = 0;
    while (sent < 1000 && client_send(c, chunk, sizeof chunk))
        sent++;
    c->answers = sent;
}

static void refuses_what_is_too_large(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, refused_by_length);
    assert_non_null(strstr(c.first_line, " 413 "));
    client_free(&c);
    one_client(&s, &c, refused_by_count);
    assert_non_null(strstr(c.first_line, " 413 "));
    client_free(&c);
    one_client(&s, &c, endless);
    assert_in_range(c.answers, 16, 999); /* 64 KiB each; cut after twice the limit */
    client_free(&c);
    assert_int_equal(s.requests, 0);
    server_stop(&s);
}

static void drip(struct client *c)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n";
    client_send(c, head, sizeof head - 1);
    while (client_send(c, "x", 1))
        usleep(100000);
}

static void drip_a_request_line(struct client *c)
{
    while (client_send(c, "x", 1))
        usleep(100000);
}

static void read_late(struct client *c)
{
    client_send(c, "GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 40);
    usleep(2500000);
    while (client_read(c))
        ;
}

static void cuts_who_is_slow(void **state)
{
    (void)state;
    /* The idle limit alone would not help: none of them is ever silent so long. */
    const struct httpd_options options = {.listen = "127.0.0.1:0",
                                          .max_body_bytes = MEBIBYTE,
                                          .max_connections = 10,
                                          .idle_s = 1,
                                          .exchange_s = 1};
    void (*const slow[])(struct client *) = {drip, drip_a_request_line};
    struct server s;
    struct client c;
    server_start(&s, &options);
    for (size_t i = 0; i < 2; i++) {
        one_client(&s, &c, slow[i]);
        assert_int_equal(c.answers, 0);
        assert_in_range(c.took_ms, 900, 5000);
        client_free(&c);
    }
    assert_int_equal(s.requests, 0);
    server_stop(&s);
}

static void cuts_who_does_not_take_the_answer(void **state)
{
    (void)state;
    const struct httpd_options options = {.listen = "127.0.0.1:0",
                                          .max_body_bytes = MEBIBYTE,
                                          .max_connections = 10,
                                          .idle_s = 60,
                                          .exchange_s = 1};
    struct server s;
    struct client c;
    server_start(&s, &options);
    one_client(&s, &c, read_late);
    assert_int_equal(s.requests, 1);
    assert_in_range(c.in.len, 1, 63 * MEBIBYTE);
    client_free(&c);
    server_stop(&s);
}

static void connect_and_ask(struct client *c)
{
    for (int i = 0; i < 10; i++) {
        if (client_says(c, "GET /x HTTP/1.1\r\nHost: localhost:80\r\n"
                           "Connection: close\r\n\r\n")) {
            close(c->fd);
            client_connect(c);
        }
    }
}

static void lets_the_next_in_when_one_leaves(void **state)
{
    (void)state;
    const struct httpd_options options = {.listen = "127.0.0.1:0",
                                          .max_body_bytes = 1000,
                                          .max_connections = 2,
                                          .idle_s = 30,
                                          .exchange_s = 30};
    struct server s;
    struct client clients[8];
    server_start(&s, &options);
    clients_start(&s, clients, 8, connect_and_ask);
    clients_finish(&s, clients, 8);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(clients[i].answers, 10);
        assert_in_range(clients[i].took_ms, 0, 10000);
        client_free(&clients[i]);
    }
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_mebibyte),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(cuts_who_is_slow),
        cmocka_unit_test(cuts_who_does_not_take_the_answer),
        cmocka_unit_test(lets_the_next_in_when_one_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
