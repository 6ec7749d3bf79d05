#include "aws/sqs_endpoint.h"

#include "base/exit.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *region, *queue_url;
        const char *url, *host, *in; /* in: the region */
    } cases[] = {
        {NULL, NULL, "https://sqs.eu-west-1.amazonaws.com/1/q",
         "https://sqs.eu-west-1.amazonaws.com:443/", "sqs.eu-west-1.amazonaws.com", "eu-west-1"},
        {NULL, "us-east-2", "https://sqs.eu-west-1.amazonaws.com/1/q",
         "https://sqs.eu-west-1.amazonaws.com:443/", "sqs.eu-west-1.amazonaws.com", "eu-west-1"},
        {NULL, NULL, "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
         "https://sqs.cn-north-1.amazonaws.com.cn:443/", "sqs.cn-north-1.amazonaws.com.cn",
         "cn-north-1"},
        {NULL, NULL, "https://sqs-fips.us-gov-west-1.amazonaws.com/1/q",
         "https://sqs-fips.us-gov-west-1.amazonaws.com:443/",
         "sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
        {NULL, NULL, "https://sqs.eu-west-1.api.aws/1/q", "https://sqs.eu-west-1.api.aws:443/",
         "sqs.eu-west-1.api.aws", "eu-west-1"},
        {NULL, NULL, "https://vpce-1-2.sqs.us-east-1.vpce.amazonaws.com/1/q",
         "https://vpce-1-2.sqs.us-east-1.vpce.amazonaws.com:443/",
         "vpce-1-2.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"},
        {NULL, NULL, "https://eu-west-1.queue.amazonaws.com/1/q",
         "https://sqs.eu-west-1.amazonaws.com:443/", "sqs.eu-west-1.amazonaws.com", "eu-west-1"},
        {NULL, NULL, "https://queue.amazonaws.com/1/q", "https://sqs.us-east-1.amazonaws.com:443/",
         "sqs.us-east-1.amazonaws.com", "us-east-1"},
        {NULL, "eu-central-1", NULL, "https://sqs.eu-central-1.amazonaws.com:443/",
         "sqs.eu-central-1.amazonaws.com", "eu-central-1"},
        {NULL, "cn-north-1", NULL, "https://sqs.cn-north-1.amazonaws.com.cn:443/",
         "sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"},
        {NULL, "eusc-de-east-1", NULL, "https://sqs.eusc-de-east-1.amazonaws.eu:443/",
         "sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
        {NULL, NULL, "http://127.0.0.1:9324/0/q", "http://127.0.0.1:9324/", "127.0.0.1:9324",
         "us-east-1"},
        {NULL, "eu-west-3", "http://127.0.0.1:9324/0/q", "http://127.0.0.1:9324/", "127.0.0.1:9324",
         "eu-west-3"},
        {"http://LocalHost:4566", NULL, "https://sqs.eu-west-1.amazonaws.com/1/q",
         "http://localhost:4566/", "localhost:4566", "eu-west-1"},
        {"http://[::1]:80/", "eu-west-1", NULL, "http://[::1]:80/", "[::1]", "eu-west-1"},
        {"https://sqs.eu-west-1.amazonaws.com", NULL, NULL,
         "https://sqs.eu-west-1.amazonaws.com:443/", "sqs.eu-west-1.amazonaws.com", "eu-west-1"},
        {"http://10.0.0.1:9324", NULL, NULL, "http://10.0.0.1:9324/", "10.0.0.1:9324", "us-east-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_place p;
        struct err e = {0};
        if (sqs_find_place(&p, cases[i].endpoint, cases[i].region, cases[i].queue_url, &e) != 0)
            fail_msg("case %zu: %s", i, e.text);
        assert_string_equal(p.url, cases[i].url);
        assert_string_equal(p.host, cases[i].host);
        assert_string_equal(p.region, cases[i].in);
    }
}

static void no_places(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *region, *queue_url, *words;
    } cases[] = {
        {NULL, NULL, NULL, "region"},
        {NULL, NULL, "https://sqs.amazonaws.com/1/q", "region"},
        {NULL, NULL, "https://example.amazonaws.com/1/q", "region"},
        {NULL, "Eu West", NULL, "queue.region"},
        {NULL, "eu-west-1\r\nX: y", NULL, "queue.region"},
        {NULL, "", NULL, "queue.region"},
        {NULL, "a-region-name-that-goes-on-and-on-and-on-1", NULL, "queue.region"},
        {"localhost:9324", NULL, NULL, "queue.endpoint"},
        {NULL, NULL, "registrations", "queue.url"},
        {"http://x", NULL, "ftp://x/q", "queue.url"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_place p;
        struct err e = {0};
        assert_int_equal(
            sqs_find_place(&p, cases[i].endpoint, cases[i].region, cases[i].queue_url, &e), -1);
        assert_int_equal(e.code, EXIT_CONFIG);
        if (!strstr(e.text, cases[i].words))
            fail_msg("case %zu: %s", i, e.text);
    }
}

static void queue_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } cases[] = {
        {"https://sqs.eu-west-1.amazonaws.com/123456789012/q", true},
        {"http://localhost:9324/000000000000/q", true},
        {"http://localhost:9324/queue/q", true},
        {"http://localhost:9324/q", true},
        {"http://localhost:9324", false},
        {"http://localhost:9324/", false},
        {"http://localhost:9324/1/", false},
        {"http://localhost:9324/1/q?Action=x", false},
        {"http://localhost:9324/1/a b", false},
        {"localhost:9324/1/q", false},
        {"arn:aws:sqs:eu-west-1:123456789012:q", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        assert_int_equal(sqs_check_queue_url(cases[i].url, &e), cases[i].good ? 0 : -1);
        if (!cases[i].good) {
            assert_int_equal(e.code, EXIT_CONFIG);
            assert_non_null(strstr(e.text, "queue.url"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(no_places),
        cmocka_unit_test(queue_urls),
    };
    log_setup(LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
