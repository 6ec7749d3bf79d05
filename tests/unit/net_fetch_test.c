/* fetch against servers of our own that behave and misbehave. What a server counted is what
 * went over the wire. */
#include "net/fetch.h"

#include "base/clock.h"

#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

#include "capture_server.h"

static struct ev_loop *loop;
static struct fetch *client;

struct answer {
    bool done;
    enum fetch_result result;
    bool sent;
    int status;
    struct buf body;
    struct buf head;
    char error[1024];
    int64_t first_byte_ms;
    int64_t elapsed_us;
};

static void nap_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void take(void *arg, const struct fetch_response *r)
{
    struct answer *a = arg;
    assert_false(a->done);
    a->done = true;
    a->result = r->result;
    a->sent = r->sent;
    a->status = r->status;
    buf_add(&a->body, r->body, r->body_len);
    buf_add(&a->head, r->head->data, r->head->len);
    snprintf(a->error, sizeof a->error, "%s", r->error);
    a->first_byte_ms = r->first_byte_ms;
    a->elapsed_us = r->elapsed_us;
    assert_int_equal(r->body[r->body_len], 0);
}

static void on_guard(struct ev_loop *l, ev_timer *w, int events)
{
    (void)l;
    (void)events;
    *(bool *)w->data = true;
}

static void turn_until(bool *flag, int limit_ms)
{
    bool late = false;
    ev_timer guard;
    ev_timer_init(&guard, on_guard, limit_ms / 1000.0, 0.);
    guard.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &guard);
    while (!*flag && !late) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(client);
    }
    ev_timer_stop(loop, &guard);
}

static void turn_for(int ms)
{
    bool never = false;
    turn_until(&never, ms);
}

static int set_up(void **state)
{
    (void)state;
    static const struct fetch_options options = {
        .connect_timeout_ms = 2000, .idle_connection_s = 20, .max_connections = 16};
    struct err e;
    loop = ev_loop_new(EVFLAG_AUTO);
    client = fetch_new(loop, &options, &e);
    return client ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    fetch_free(client);
    ev_loop_destroy(loop);
    return 0;
}

static void answer_init(struct answer *a)
{
    memset(a, 0, sizeof *a);
    buf_init(&a->body);
    buf_init(&a->head);
}

static void answer_free(struct answer *a)
{
    buf_free(&a->body);
    buf_free(&a->head);
}

static struct fetch_request request(const char *method, const char *url, struct answer *a)
{
    return (struct fetch_request){
        .method = method, .url = url, .timeout_ms = 5000, .done = take, .arg = a};
}

static void run(struct fetch_request *q, struct answer *a)
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

/* ---- what goes right ---- */

static const char HELLO[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello";

static void say_hello(struct connection *c)
{
    while (server_read(c))
        server_say(c, HELLO);
}

static void answers_and_reuses(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, say_hello, NULL);
    for (int i = 0; i < 5; i++) {
        int64_t before = clock_boot_ms();
        struct fetch_request q = request("GET", s.url, NULL);
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        assert_int_equal(a.status, 200);
        assert_true(a.sent);
        assert_string_equal(a.body.data, "hello");
        assert_string_equal(a.error, "");
        assert_in_range(a.first_byte_ms, before, clock_boot_ms());
        assert_in_range(a.elapsed_us, 1, 5000000);
        answer_free(&a);
    }
    assert_int_equal(s.connections, 1);
    assert_int_equal(s.requests, 5);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

struct wire_case {
    const char *method;
    const char *body;
    const char *starts; /* the request begins so */
    const char *length; /* the Content-Length line, or NULL: there is none */
};

static void methods_on_the_wire(void **state)
{
    (void)state;
    static const struct wire_case cases[] = {
        {"GET", NULL, "GET /p?q=1 HTTP/1.1\r\n", NULL},
        {"HEAD", NULL, "HEAD /p?q=1 HTTP/1.1\r\n", NULL},
        {"POST", "{}", "POST /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 2\r\n"},
        {"POST", NULL, "POST /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 0\r\n"},
        {"PUT", "ab", "PUT /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 2\r\n"},
        {"PUT", NULL, "PUT /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 0\r\n"},
        {"PATCH", "ab", "PATCH /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 2\r\n"},
        {"DELETE", NULL, "DELETE /p?q=1 HTTP/1.1\r\n", NULL},
        {"DELETE", "[]", "DELETE /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 2\r\n"},
        {"OPTIONS", NULL, "OPTIONS /p?q=1 HTTP/1.1\r\n", NULL},
        {"GET", "{\"q\":1}", "GET /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 7\r\n"},
        {"GET", NULL, "GET /p?q=1 HTTP/1.1\r\n", NULL},
        {"HEAD", NULL, "HEAD /p?q=1 HTTP/1.1\r\n", NULL},
        {"DELETE", NULL, "DELETE /p?q=1 HTTP/1.1\r\n", NULL},
        {"POST", "x", "POST /p?q=1 HTTP/1.1\r\n", "\r\nContent-Length: 1\r\n"},
    };
    static const char *const headers[] = {"X-A: b", "X-Empty:", "Accept: text/plain", NULL};
    struct server s;
    struct answer a;
    char url[100];
    server_start(&s, say_hello, NULL);
    snprintf(url, sizeof url, "%s/p?q=1#frag", s.url);
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        const struct wire_case *w = &cases[i / 2];
        struct fetch_request q = request(w->method, url, NULL);
        q.headers = headers;
        q.body = w->body;
        q.body_len = w->body ? strlen(w->body) : 0;
        q.repeatable = i % 2;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        if (strcmp(w->method, "HEAD") == 0) { /* our server sends one all the same */
            assert_int_equal(a.body.len, 0);
            tear_down(NULL);
            set_up(NULL);
        } else {
            assert_string_equal(a.body.data, "hello");
        }
        char *head = server_last_head(&s), *body = server_last_body(&s);
        assert_memory_equal(head, w->starts, strlen(w->starts));
        assert_non_null(strstr(head, "\r\nX-A: b\r\n"));
        assert_non_null(strstr(head, "\r\nX-Empty:\r\n"));
        assert_non_null(strstr(head, "\r\nAccept: text/plain\r\n"));
        assert_null(strstr(head, "Accept: */*"));
        assert_null(strcasestr(head, "Content-Type"));
        assert_null(strcasestr(head, "Expect"));
        assert_string_equal(body, w->body ? w->body : "");
        if (w->length)
            assert_non_null(strstr(head, w->length));
        else
            assert_null(strcasestr(head, "Content-Length"));
        free(head);
        free(body);
        answer_free(&a);
    }
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void say_chunked(struct connection *c)
{
    while (server_read(c)) {
        server_say(c, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
                      "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n"
                      "Location:   http://x/y  \r\nSet-Thing: a\r\nset-thing: b\r\nEmpty:\r\n\r\n");
        server_say(c, "3\r\nabc\r\n");
        nap_ms(20);
        server_say(c, "4\r\ndefg\r\n0\r\nLocation: trailer\r\nX-Late: 1\r\n\r\n");
    }
}

static void chunks_headers_trailers(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, say_chunked, NULL);
    struct fetch_request q = request("POST", s.url, NULL);
    q.body = "x";
    q.body_len = 1;
    run(&q, &a);
    assert_int_equal(a.result, FETCH_OK);
    assert_int_equal(a.status, 201);
    assert_string_equal(a.body.data, "abcdefg");
    struct fetch_response r = {.head = &a.head};
    char value[32], tiny[4];
    assert_true(fetch_header(&r, "location", value, sizeof value));
    assert_string_equal(value, "http://x/y");
    assert_false(fetch_header(&r, "location", tiny, sizeof tiny)); /* does not fit */
    assert_true(fetch_header(&r, "EMPTY", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(fetch_header(&r, "X-Early", value, sizeof value));
    assert_false(fetch_header(&r, "X-Late", value, sizeof value));
    size_t at = 0, name_len, value_len;
    const char *name, *v;
    char seen[200] = "";
    while (fetch_next_header(&r, &at, &name, &name_len, &v, &value_len)) {
        strncat(seen, name, name_len);
        strcat(seen, "=");
        strncat(seen, v, value_len);
        strcat(seen, ";");
    }
    assert_string_equal(seen, "Transfer-Encoding=chunked;Location=http://x/y;Set-Thing=a;"
                              "set-thing=b;Empty=;");
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void header_walk_survives_anything(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *seen;
    } cases[] = {
        {"", ""},
        {"HTTP/1.1 200 OK\r\n", ""},
        {"A: 1", "A=1;"},
        {"A:1\n B: folded\nC : x\n:no\nnothing\nD:\t 2 \t\r\n", "A=1;D=2;"},
        {"\n\n\r\nA::\r\n", "A=:;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf head;
        buf_init(&head);
        buf_str(&head, cases[i].head);
        struct fetch_response r = {.head = &head};
        size_t at = 0, name_len, value_len;
        const char *name, *v;
        char seen[200] = "";
        while (fetch_next_header(&r, &at, &name, &name_len, &v, &value_len)) {
            strncat(seen, name, name_len);
            strcat(seen, "=");
            strncat(seen, v, value_len);
            strcat(seen, ";");
        }
        assert_string_equal(seen, cases[i].seen);
        buf_free(&head);
    }
}

static void retry_after(void **state)
{
    (void)state;
    static const char now[] = "Date: Tue, 15 Nov 1994 08:12:00 GMT\r\n";
    static const struct {
        const char *value;
        int64_t ms;
    } cases[] = {
        {"120", 120000},
        {" 7 ", 7000},
        {"0", -1},
        {"-5", -1},
        {"1.5", -1},
        {"1e3", -1},
        {"", -1},
        {"soon", -1},
        {"12 monkeys", -1},
        {"Mon", -1},
        {"604800", 86400000},
        {"99999999999999999999", 86400000},
        {"-99999999999999999999", -1},
        {"Tue, 15 Nov 1994 08:12:31 GMT", 31000},
        {"Tuesday, 15-Nov-94 08:12:31 GMT", 31000},
        {"Tue Nov 15 08:12:31 1994", 31000},
        {"Tue, 15 Nov 1994 08:12:00 GMT", -1},
        {"Tue, 15 Nov 1994 08:11:59 GMT", -1},
        {"Tue, 22 Nov 1994 08:12:00 GMT", 86400000},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 86400000},
        {"19941115 08:13:00", -1},
        {"1994-11-15T08:12:31Z", -1},
        {"Tue, 15 Nov 1994 08:12:31 GMT or so", -1},
        {"Tue, 45 Nov 1994 08:12:31 GMT", -1},
    };
    struct buf head;
    struct fetch_response r = {.head = &head};
    buf_init(&head);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&head);
        buf_printf(&head, "HTTP/1.1 429 X\r\n%sRetry-After: %s\r\n", now, cases[i].value);
        if (fetch_retry_after_ms(&r) != cases[i].ms)
            fail_msg("'%s': %lld ms", cases[i].value, (long long)fetch_retry_after_ms(&r));
    }
    buf_clear(&head); /* without a Date our own clock counts */
    time_t later = time(NULL) + 100;
    char text[64];
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
    buf_printf(&head, "HTTP/1.1 503 X\r\nRetry-After: %s\r\n", text);
    assert_in_range(fetch_retry_after_ms(&r), 98000, 100000);
    buf_clear(&head);
    buf_printf(&head, "HTTP/1.1 503 X\r\n%s", now);
    assert_int_equal(fetch_retry_after_ms(&r), -1);
    buf_free(&head);
}

static void echo(struct connection *c)
{
    while (server_read(c)) {
        struct server *s = c->server;
        pthread_mutex_lock(&s->lock);
        char head[100];
        size_t len = s->last.len - s->last_head_len;
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
        char *copy = malloc(len);
        memcpy(copy, s->last.data + s->last_head_len, len);
        pthread_mutex_unlock(&s->lock);
        server_say(c, head);
        server_write(c, copy, len);
        free(copy);
    }
}

static void a_mebibyte_both_ways(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    size_t len = 1024 * 1024 + 7;
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    server_start(&s, echo, NULL);
    for (int i = 0; i < 4; i++) {
        struct fetch_request q = request(i % 2 ? "PUT" : "POST", s.url, NULL);
        q.body = bytes;
        q.body_len = len;
        q.repeatable = i < 2;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
        assert_int_equal(a.body.len, len);
        assert_memory_equal(a.body.data, bytes, len);
        answer_free(&a);
    }
    assert_int_equal(s.connections, 1);
    free(bytes);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

static void redirect(struct connection *c)
{
    while (server_read(c)) {
        char text[200];
        snprintf(text, sizeof text,
                 "HTTP/1.1 302 Found\r\nLocation: %s/other\r\nContent-Length: 0\r\n\r\n",
                 c->server->url);
        server_say(c, text);
    }
}

static void redirects_are_answers(void **state)
{
    (void)state;
    struct server s;
    struct answer a;
    server_start(&s, redirect, NULL);
    struct fetch_request q = request("GET", s.url, NULL);
    run(&q, &a);
    assert_int_equal(a.result, FETCH_OK);
    assert_int_equal(a.status, 302);
    assert_int_equal(s.requests, 1);
    answer_free(&a);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

/* ---- what goes wrong ---- */

static void swallow(struct connection *c)
{
    while (server_read(c))
        ;
}

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

static void answer_later(struct connection *c)
{
    while (server_read(c)) {
        nap_ms(400);
        server_say(c, HELLO);
    }
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

/* ---- at most once ---- */

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
        assert_int_equal(s.requests, repeatable ? 3 : 2);
        answer_free(&a);
        q.method = "GET"; /* the client is none the worse for it */
        q.body_len = 0;
        run(&q, &a);
        assert_int_equal(a.result, FETCH_OK);
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

/* ---- cancel and teardown ---- */

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

static void many_at_once(void **state)
{
    (void)state;
    enum { N = 100 };
    struct server s;
    struct err e;
    static struct answer a[N];
    server_start(&s, answer_later, NULL);
    struct fetch_request q = request("GET", s.url, NULL);
    for (int i = 0; i < N; i++) {
        answer_init(&a[i]);
        q.arg = &a[i];
        assert_non_null(fetch_start(client, &q, &e));
    }
    for (int i = 0; i < N; i++) {
        turn_until(&a[i].done, 5000);
        assert_int_equal(a[i].result, FETCH_OK);
        answer_free(&a[i]);
    }
    assert_int_equal(s.requests, N); /* each at once: nothing waited inside libcurl */
    assert_int_equal(s.connections, N);
    tear_down(NULL);
    server_stop(&s);
    set_up(NULL);
}

/* ---- what is refused ---- */

static void bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *method, *url, *header, *words;
    } cases[] = {
        {"GET", "ftp://x/", NULL, "http://"},
        {"GET", "", NULL, "http://"},
        {"GET", "http:/x", NULL, "http://"},
        {"GET", "http://", NULL, "host"},
        {"GET", "http:///x", NULL, "host"},
        {"GET", "http://x:0/", NULL, "host"},
        {"GET", "http://x:65536/", NULL, "host"},
        {"GET", "http://x:8a/", NULL, "host"},
        {"GET", "http://x\\@y/", NULL, "user name"},
        {"GET", "http://a\\b/", NULL, "host"},
        {"GET", "http://user:geheim@x/", NULL, "Authorization"},
        {"GET", "http://[::1/", NULL, "host"},
        {"GET", "http://x/a b", NULL, "percent-encoded"},
        {"GET", "http://x/a\r\nHost: y", NULL, "percent-encoded"},
        {"GET", "http://x/gr\xc3\xbc\xc3\x9f", NULL, "percent-encoded"},
        {"GET", "http://gr\xc3\xbc\xc3\x9f/", NULL, "xn--"},
        {"", "http://x/", NULL, "method"},
        {"GET /x HTTP/1.1\r\nA:", "http://x/", NULL, "method"},
        {"GE\nT", "http://x/", NULL, "method"},
        {"THISMETHODNAMEISLONGERTHANANYONEUSES", "http://x/", NULL, "method"},
        {"GET", "http://x/", "A: b\r\nC: d", "header A has a line break"},
        {"GET", "http://x/", "A: b\nC", "header A has a line break"},
        {"GET", "http://x/", "A: \x01", "control character"},
        {"GET", "http://x/", "A\r\nB: c", "bad header name"},
        {"GET", "http://x/", "A B: c", "bad header name"},
        {"GET", "http://x/", "no colon", "bad header name"},
        {"GET", "http://x/", ": c", "bad header name"},
        {"GET", "http://x/", "", "bad header name"},
        {"POST", "http://x/", "content-length: 5", "leave it out"},
        {"POST", "http://x/", "Transfer-Encoding: chunked", "leave it out"},
        {"POST", "http://x/", "expect: 100-continue", "leave it out"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct answer a;
        const char *headers[] = {cases[i].header, NULL};
        struct fetch_request q = request(cases[i].method, cases[i].url, &a);
        q.headers = headers;
        assert_null(fetch_start(client, &q, &e));
        if (!strstr(e.text, cases[i].words))
            fail_msg("case %zu: \"%s\"", i, e.text);
        assert_null(strstr(e.text, "geheim"));
        assert_null(strpbrk(e.text, "\r\n"));
    }
}

static void origins(void **state)
{
    (void)state;
    static const struct {
        const char *url, *origin;
    } cases[] = {
        {"http://x", "http://x:80"},
        {"HTTPS://Example.COM/a?b", "https://example.com:443"},
        {"http://127.0.0.1:8080/", "http://127.0.0.1:8080"},
        {"https://[::1]:8443?x", "https://[::1]:8443"},
        {"https://[FE80::1]#f", "https://[fe80::1]:443"},
        {"http://a_b-c.d./", "http://a_b-c.d.:80"},
        {"http://x?http://y", "http://x:80"},
        {"mailto:x", NULL},
        {"http://u@x", NULL},
        {"http://x:/", NULL},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = fetch_origin(cases[i].url, out, sizeof out);
        assert_int_equal(rc, cases[i].origin ? 0 : -1);
        if (rc == 0)
            assert_string_equal(out, cases[i].origin);
    }
    assert_int_equal(fetch_origin("http://127.0.0.1:8080/", out, 10), -1);
}

static void a_missing_certificate_file(void **state)
{
    (void)state;
    struct err e = {0};
    struct fetch_options options = {.ca_file = "/nonexistent/ca.pem"};
    assert_null(fetch_new(loop, &options, &e));
    assert_non_null(strstr(e.text, "/nonexistent/ca.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_reuses),
        cmocka_unit_test(methods_on_the_wire),
        cmocka_unit_test(chunks_headers_trailers),
        cmocka_unit_test(header_walk_survives_anything),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(a_mebibyte_both_ways),
        cmocka_unit_test(redirects_are_answers),
        cmocka_unit_test(timeout_after_sending),
        cmocka_unit_test(a_waiting_answer_goes_before_its_timeout),
        cmocka_unit_test(a_short_timeout_after_a_long_slice),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(connecting_takes_too_long),
        cmocka_unit_test(cut_connections),
        cmocka_unit_test(no_http),
        cmocka_unit_test(answers_over_the_limit),
        cmocka_unit_test(never_twice),
        cmocka_unit_test(a_server_that_dies_with_the_request),
        cmocka_unit_test(a_connection_that_died_idle_costs_nothing),
        cmocka_unit_test(cancel_in_every_phase),
        cmocka_unit_test(cancel_when_finished_but_not_delivered),
        cmocka_unit_test(calls_from_done),
        cmocka_unit_test(free_with_open_calls),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(origins),
        cmocka_unit_test(a_missing_certificate_file),
    };
    struct err e;
    if (fetch_global_init(&e) != 0)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
