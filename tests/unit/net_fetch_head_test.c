/* The heads of answers: what is found in them, however they are written, and what Retry-After
 * says. */
#include "fetch_scene.h"

/* All of its headers, as "name=value;" each. */
static void walk(const struct fetch_response *r, char seen[200])
{
    size_t at = 0, name_len, value_len;
    const char *name, *v;
    *seen = '\0';
    while (fetch_next_header(r, &at, &name, &name_len, &v, &value_len)) {
        strncat(seen, name, name_len);
        strcat(seen, "=");
        strncat(seen, v, value_len);
        strcat(seen, ";");
    }
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
    char seen[200];
    walk(&r, seen);
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
        char seen[200];
        walk(&r, seen);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_headers_trailers),
        cmocka_unit_test(header_walk_survives_anything),
        cmocka_unit_test(retry_after),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
