/* fetch against servers of our own that answer: what is on the wire either way, and connections
 * that are used again. */
#include "fetch_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_reuses),   cmocka_unit_test(methods_on_the_wire),
        cmocka_unit_test(a_mebibyte_both_ways), cmocka_unit_test(redirects_are_answers),
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
