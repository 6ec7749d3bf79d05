/* What the tests of net/httpd.h share: the server on a loop of this thread, its clients on threads
 * with plain blocking sockets. */
#ifndef TESTS_HTTPD_SCENE_H
#define TESTS_HTTPD_SCENE_H

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

static inline void on_wake(struct ev_loop *loop, ev_async *w, int events)
{
    (void)loop;
    (void)w;
    (void)events;
}

static inline void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ((struct server *)w->data)->release = true;
}

static inline void echo(struct httpd_request *r)
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

static inline void on_request(void *arg, struct httpd_request *r)
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

static inline void on_gone(void *arg, struct httpd_request *r)
{
    struct server *s = arg;
    assert_ptr_equal(r, s->held);
    assert_false(httpd_client_here(r));
    s->held = NULL;
    s->gone++;
}

static inline void server_start(struct server *s, const struct httpd_options *wanted)
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

static inline void server_stop(struct server *s)
{
    httpd_free(s->httpd);
    ev_timer_stop(s->loop, &s->tick);
    ev_async_stop(s->loop, &s->wake);
    ev_loop_destroy(s->loop);
}

static inline void server_turn(struct server *s)
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

static inline void client_connect(struct client *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)c->server->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    buf_clear(&c->in);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa) != 0)
        abort();
}

static inline bool client_send(struct client *c, const char *data, size_t len)
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

static inline bool client_read(struct client *c)
{
    char chunk[65536];
    ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);
    if (n <= 0)
        return false;
    buf_add(&c->in, chunk, (size_t)n);
    return true;
}

static inline void client_consume(struct client *c, size_t len)
{
    memmove(c->in.data, c->in.data + len, c->in.len - len);
    c->in.len -= len;
    c->in.data[c->in.len] = '\0';
}

/* One whole answer; false when the connection ended before. */
static inline bool client_answer(struct client *c)
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

static inline bool client_says(struct client *c, const char *text)
{
    return client_send(c, text, strlen(text)) && client_answer(c);
}

static inline void *client_main(void *arg)
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

static inline void clients_start(struct server *s, struct client *clients, int count,
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

static inline void clients_finish(struct server *s, struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        while (!atomic_load(&clients[i].done))
            server_turn(s);
        pthread_join(clients[i].thread, NULL);
    }
}

static inline void client_free(struct client *c)
{
    buf_free(&c->in);
    buf_free(&c->body);
    buf_free(&c->head);
}

static inline void one_client(struct server *s, struct client *c, void (*work)(struct client *))
{
    clients_start(s, c, 1, work);
    clients_finish(s, c, 1);
}

static inline void what_was_asked(struct client *c)
{
    client_says(c, "DELETE /a%2Fb%20c?x=1&y=%20 HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

#endif
