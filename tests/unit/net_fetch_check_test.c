/* What fetch refuses before anything is sent, and the origin of a URL. */
#include "fetch_scene.h"

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
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(origins),
        cmocka_unit_test(a_missing_certificate_file),
    };
    return cmocka_run_group_tests(tests, begin, tear_down);
}
