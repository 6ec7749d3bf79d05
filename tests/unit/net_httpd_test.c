/* What the server takes from a request and how it answers; heads that it refuses, as they may mean
 * two things or come from elsewhere. */
#include "httpd_scene.h"

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
        cmocka_unit_test(refuses_doubtful_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
