/* What the tests of net/fetch.h share: a loop, a client on it and what came of its call, and what
 * several of the servers do. What a server counted is what went over the wire. */
#ifndef TESTS_FETCH_SCENE_H
#define TESTS_FETCH_SCENE_H

#include "net/fetch.h"

#include "base/clock.h"

#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

#include "capture_server.h"
#include "fetch_loop.h"

struct answer {
    bool done;
    enum fetch_result result;
    bool sent;
    bool repeated;
    int status;
    struct buf body;
    struct buf head;
    char error[1024];
    int64_t first_byte_ms;
    int64_t elapsed_us;
};

static inline void nap_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static inline void take(void *arg, const struct fetch_response *r)
{
    struct answer *a = arg;
    assert_false(a->done);
    a->done = true;
    a->result = r->result;
    a->sent = r->sent;
    a->repeated = r->repeated;
    a->status = r->status;
    buf_add(&a->body, r->body, r->body_len);
    buf_add(&a->head, r->head->data, r->head->len);
    snprintf(a->error, sizeof a->error, "%s", r->error);
    a->first_byte_ms = r->first_byte_ms;
    a->elapsed_us = r->elapsed_us;
    assert_int_equal(r->body[r->body_len], 0);
}

static inline void turn_for(int ms)
{
    bool never = false;
    turn_until(&never, ms);
}

static inline int set_up(void **state)
{
    (void)state;
    static const struct fetch_options options = {
        .connect_timeout_ms = 2000, .idle_connection_s = 20, .max_connections = 16};
    struct err e;
    loop = ev_loop_new(EVFLAG_AUTO);
    client = fetch_new(loop, &options, &e);
    return client ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    fetch_free(client);
    ev_loop_destroy(loop);
    return 0;
}

/* Before all the tests of a file. */
static inline int begin(void **state)
{
    struct err e;
    return fetch_global_init(&e) == 0 ? set_up(state) : -1;
}

static inline void answer_init(struct answer *a)
{
    memset(a, 0, sizeof *a);
    buf_init(&a->body);
    buf_init(&a->head);
}

static inline void answer_free(struct answer *a)
{
    buf_free(&a->body);
    buf_free(&a->head);
}

static inline struct fetch_request request(const char *method, const char *url, struct answer *a)
{
    return (struct fetch_request){
        .method = method, .url = url, .timeout_ms = 5000, .done = take, .arg = a};
}

static inline void run(struct fetch_request *q, struct answer *a)
{
    struct err e = {0};
    answer_init(a);
    q->arg = a;
    struct fetch_call *call = fetch_start(client, q, &e);
    if (!call)
        fail_msg("%s", e.text);
    turn_until(&a->done, 10000);
    assert_true(a->done);
}

static const char HELLO[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello";

static inline void say_hello(struct connection *c)
{
    while (server_read(c))
        server_say(c, HELLO);
}

static inline void swallow(struct connection *c)
{
    while (server_read(c))
        ;
}

static inline void answer_later(struct connection *c)
{
    while (server_read(c)) {
        nap_ms(400);
        server_say(c, HELLO);
    }
}

#endif
