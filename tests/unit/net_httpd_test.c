/* The server on a loop of this thread, its clients on threads with plain blocking sockets. */
#include "net/httpd.h"

#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <ev.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { MEBIBYTE = 1 << 20, CLIENTS_MAX = 16 };

struct server {
    struct ev_loop *loop;
    struct httpd *httpd;
    int port;
    ev_async wake;
    ev_timer tick;
    int requests, gone;
    struct httpd_request *held; /* GET /hold: answered when the test says so */
    int hold_ms;                /* more than 0: answered after that many */
    bool release;
};

static void on_wake(struct ev_loop *loop, ev_async *w, int events)
{
    (void)loop;
    (void)w;
    (void)events;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ((struct server *)w->data)->release = true;
}

static void echo(struct httpd_request *r)
{
    size_t len;
    const char *body = httpd_body(r, &len);
    const struct httpd_header headers[] = {{"X-Path", httpd_path(r)},
                                           {"X-Raw", httpd_raw_path(r)},
                                           {"X-Query", httpd_query(r)},
                                           {"X-Method", httpd_method(r)},
                                           {NULL, NULL}};
    httpd_reply(r, 200, headers, body, len);
}

static void on_request(void *arg, struct httpd_request *r)
{
    struct server *s = arg;
    const char *path = httpd_path(r);
    s->requests++;
    if (strcmp(path, "/hold") == 0) {
        assert_null(s->held);
        s->held = r;
        if (s->hold_ms > 0) {
            ev_timer_set(&s->tick, s->hold_ms / 1000.0, 0.0);
            ev_timer_start(s->loop, &s->tick);
        }
    } else if (strcmp(path, "/bad-header") == 0) {
        const struct httpd_header headers[] = {{"X-Split", "a\r\nX-Other: b"}, {NULL, NULL}};
        httpd_reply(r, 200, headers, "secret", 6);
    } else if (strcmp(path, "/cut") == 0) {
        httpd_cut(r);
    } else if (strcmp(path, "/part") == 0) {
        httpd_reply_part(r, 201, NULL, "0123456789", 10, (size_t)atoi(httpd_query(r)));
    } else if (strcmp(path, "/large") == 0) {
        char *large = calloc(64, MEBIBYTE);
        assert_non_null(large);
        httpd_reply(r, 200, NULL, large, 64 * (size_t)MEBIBYTE);
        free(large);
    } else {
        echo(r);
    }
}

static void on_gone(void *arg, struct httpd_request *r)
{
    struct server *s = arg;
    assert_ptr_equal(r, s->held);
    assert_false(httpd_client_here(r));
    s->held = NULL;
    s->gone++;
}

static void server_start(struct server *s, const struct httpd_options *wanted)
{
    struct httpd_options options = {.listen = "127.0.0.1:0",
                                    .max_body_bytes = MEBIBYTE,
                                    .max_connections = 100,
                                    .idle_s = 10,
                                    .exchange_s = 10};
    if (wanted)
        options = *wanted;
    memset(s, 0, sizeof *s);
    s->loop = ev_loop_new(EVFLAG_AUTO);
    ev_async_init(&s->wake, on_wake);
    ev_async_start(s->loop, &s->wake);
    ev_init(&s->tick, on_tick);
    s->tick.data = s;
    struct err e;
    const struct httpd_owner owner = {s, on_request, on_gone};
    s->httpd = httpd_new(s->loop, &options, &owner, &e);
    assert_non_null(s->httpd);
    s->port = atoi(strrchr(httpd_name(s->httpd), ':') + 1);
    assert_int_not_equal(s->port, 0);
}

static void server_stop(struct server *s)
{
    httpd_free(s->httpd);
    ev_timer_stop(s->loop, &s->tick);
    ev_async_stop(s->loop, &s->wake);
    ev_loop_destroy(s->loop);
}

static void server_turn(struct server *s)
{
    ev_run(s->loop, EVRUN_ONCE);
    httpd_turn(s->httpd);
    if (s->release && s->held) {
        struct httpd_request *r = s->held;
        s->held = NULL;
        httpd_reply(r, 200, NULL, "late", 4);
    }
}

/* ---- clients ----------------------------------------------------------------------------- */

struct client {
    struct server *server;
    void (*work)(struct client *);
    int fd;
    int number;
    struct buf in;
    atomic_bool done;
    int64_t took_ms;
    int answers;
    char first_line[128];
    struct buf body; /* of the last answer */
    struct buf head;
    pthread_t thread;
};

static void client_connect(struct client *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)c->server->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    buf_clear(&c->in);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa) != 0)
        abort();
}

static bool client_send(struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool client_read(struct client *c)
{
    char chunk[65536];
    ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);
    if (n <= 0)
        return false;
    buf_add(&c->in, chunk, (size_t)n);
    return true;
}

static void client_consume(struct client *c, size_t len)
{
    memmove(c->in.data, c->in.data + len, c->in.len - len);
    c->in.len -= len;
    c->in.data[c->in.len] = '\0';
}

/* One whole answer; false when the connection ended before. */
static bool client_answer(struct client *c)
{
    char *end;
    while (!(end = strstr(c->in.data, "\r\n\r\n")))
        if (!client_read(c))
            return false;
    size_t head = (size_t)(end - c->in.data) + 4;
    buf_clear(&c->head);
    buf_add(&c->head, c->in.data, head);
    snprintf(c->first_line, sizeof c->first_line, "%.*s", (int)strcspn(c->in.data, "\r"),
             c->in.data);
    const char *length = strcasestr(c->head.data, "\r\ncontent-length:");
    size_t body = length ? strtoull(length + 17, NULL, 10) : 0;
    client_consume(c, head);
    while (c->in.len < body)
        if (!client_read(c))
            return false;
    buf_clear(&c->body);
    buf_add(&c->body, c->in.data, body);
    client_consume(c, body);
    c->answers++;
    return true;
}

static bool client_says(struct client *c, const char *text)
{
    return client_send(c, text, strlen(text)) && client_answer(c);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    int64_t start = clock_boot_ms();
    client_connect(c);
    c->work(c);
    close(c->fd);
    c->took_ms = clock_boot_ms() - start;
    atomic_store(&c->done, true);
    ev_async_send(c->server->loop, &c->server->wake);
    return NULL;
}

static void clients_start(struct server *s, struct client *clients, int count,
                          void (*work)(struct client *))
{
    for (int i = 0; i < count; i++) {
        struct client *c = &clients[i];
        memset(c, 0, sizeof *c);
        c->server = s;
        c->work = work;
        c->number = i;
        buf_init(&c->in);
        buf_init(&c->body);
        buf_init(&c->head);
        assert_int_equal(pthread_create(&c->thread, NULL, client_main, c), 0);
    }
}

static void clients_finish(struct server *s, struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        while (!atomic_load(&clients[i].done))
            server_turn(s);
        pthread_join(clients[i].thread, NULL);
    }
}

static void client_free(struct client *c)
{
    buf_free(&c->in);
    buf_free(&c->body);
    buf_free(&c->head);
}

static void one_client(struct server *s, struct client *c, void (*work)(struct client *))
{
    clients_start(s, c, 1, work);
    clients_finish(s, c, 1);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void many_posts(struct client *c)
{
    for (int i = 0; i < 200; i++) {
        char text[256], body[32];
        int len = snprintf(body, sizeof body, "%d-%d", c->number, i);
        snprintf(text, sizeof text,
                 "POST /p%%2Fq/%d?a=%%31 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 c->number, len, body);
        if (!client_says(c, text) || strcmp(c->body.data, body) != 0)
            return;
    }
}

static void answers_many_at_once(void **state)
{
    (void)state;
    struct server s;
    struct client clients[CLIENTS_MAX];
    server_start(&s, NULL);
    clients_start(&s, clients, CLIENTS_MAX, many_posts);
    clients_finish(&s, clients, CLIENTS_MAX);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        assert_int_equal(clients[i].answers, 200);
        assert_string_equal(clients[i].first_line, "HTTP/1.1 200 OK");
        client_free(&clients[i]);
    }
    assert_int_equal(s.requests, 200 * CLIENTS_MAX);
    server_stop(&s);
}

static void what_was_asked(struct client *c)
{
    client_says(c, "DELETE /a%2Fb%20c?x=1&y=%20 HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void gives_method_path_and_query(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, what_was_asked);
    assert_non_null(strstr(c.head.data, "X-Path: /a/b c\r\n"));
    assert_non_null(strstr(c.head.data, "X-Raw: /a%2Fb%20c\r\n"));
    assert_non_null(strstr(c.head.data, "X-Query: x=1&y=%20\r\n"));
    assert_non_null(strstr(c.head.data, "X-Method: DELETE\r\n"));
    client_free(&c);
    server_stop(&s);
}

static void be_cut(struct client *c)
{
    client_says(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client_says(c, "GET /cut HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void cuts_without_an_answer(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, be_cut);
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.in.len, 0);
    assert_int_equal(s.requests, 2);
    client_free(&c);
    server_stop(&s);
}

static void ask_for_a_part(struct client *c)
{
    client_says(c, "GET /part?10 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client_says(c, "GET /part?4 HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void ends_in_the_body(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);
    one_client(&s, &c, ask_for_a_part);
    assert_string_equal(c.first_line, "HTTP/1.1 201 Created");
    assert_non_null(strcasestr(c.head.data, "\r\nContent-Length: 10\r\n"));
    assert_int_equal(c.answers, 1);
    assert_string_equal(c.body.data, "0123456789"); /* of the whole one before */
    assert_string_equal(c.in.data, "0123");
    client_free(&c);
    server_stop(&s);
}

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

static const char *asked;

static void ask(struct client *c)
{
    client_says(c, asked);
}

static void refuses_doubtful_heads(void **state)
{
    (void)state;
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 "},
        {"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n\r\n", " 403 "},
        {"GET / HTTP/1.1\r\nHost: notlocalhost\r\n\r\n", " 403 "},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", " 200 "},
        {"GET / HTTP/1.1\r\nHost: sqs.localhost:80\r\n\r\n", " 200 "},
        {"GET / HTTP/1.1\r\nHost: 192.168.0.1\r\n\r\n", " 200 "},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
         " 400 "},
        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         " 400 "},
        {"GET /a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", " 400 "},
        {"GET /a%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", " 400 "},
        {"GET /a%2 HTTP/1.1\r\nHost: localhost\r\n\r\n", " 400 "},
        {"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", " 400 "},
        {"GET /bad-header HTTP/1.1\r\nHost: localhost\r\n\r\n", " 500 "},
    };
    struct server s;
    struct client c;
    server_start(&s, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asked = cases[i].text;
        one_client(&s, &c, ask);
        if (!strstr(c.first_line, cases[i].status))
            fail_msg("%s: %s", cases[i].text, c.first_line);
        assert_null(strstr(c.head.data, "X-Other"));
        client_free(&c);
    }
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_method_path_and_query),
        cmocka_unit_test(cuts_without_an_answer),
        cmocka_unit_test(ends_in_the_body),
        cmocka_unit_test(answers_many_at_once),
        cmocka_unit_test(takes_a_mebibyte),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(refuses_doubtful_heads),
        cmocka_unit_test(answers_later),
        cmocka_unit_test(tells_of_a_client_that_left),
        cmocka_unit_test(bytes_of_a_next_request_are_no_departure),
        cmocka_unit_test(stops_with_requests_open),
        cmocka_unit_test(cuts_who_is_slow),
        cmocka_unit_test(cuts_who_does_not_take_the_answer),
        cmocka_unit_test(lets_the_next_in_when_one_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
