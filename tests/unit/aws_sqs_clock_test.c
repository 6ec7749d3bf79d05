/* A clock that differs from SQS's: the request is signed again by the server's, once. */
#include "sqs_scene.h"

static void the_endpoints_clock(void **state)
{
    (void)state;
    struct queue_receive r;
    char date[64], stamp[20];
    http_date(date, 3600);
    play.date = date;
    play.answers[0] = "403 {\"__type\":\"com.amazon.coral.service#InvalidSignatureException\"}";
    play.answers[1] = "200 {}";
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_OK);
    assert_int_equal(server.requests, 2);
    time_t then = time(NULL) + 3600;
    struct tm tm;
    gmtime_r(&then, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M", &tm);
    char *head = server_last_head(&server);
    const char *at = strstr(head, "\r\nX-Amz-Date: ");
    assert_non_null(at);
    if (memcmp(at + 14, stamp, 11) != 0) /* to the hour; the minute may just have changed */
        fail_msg("%.30s", at + 2);
    free(head);
    receive(&r); /* kept: one request */
    assert_int_equal(r.result.status, QUEUE_OK);
    assert_int_equal(server.requests, 3);
}

static void refuse_the_first(struct connection *c)
{
    static const char refusal[] = "{\"__type\":\"InvalidSignatureException\"}";
    char head[200], date[64];
    http_date(date, -3600);
    while (server_read(c)) {
        bool first = c->requests == 1;
        snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nDate: %s\r\nContent-Length: %zu\r\n\r\n%s",
                 first ? 403 : 200, date, first ? strlen(refusal) : 2, first ? refusal : "{}");
        server_say(c, head);
    }
}

/* Two calls on the wire when the clock turns out to be wrong: the one that hears it second goes
 * again as well. */
static void the_endpoints_clock_for_two(void **state)
{
    (void)state;
    struct queue_receive r[2];
    server.script = refuse_the_first;
    for (int i = 0; i < 2; i++) {
        r[i] = (struct queue_receive){.max = 1, .wait_s = 3, .visibility_s = 45, .done = received};
        list_init(&r[i].jobs);
        assert_int_equal(queue.ops->receive(queue.self, &r[i]), 0);
    }
    while (r[0].call || r[1].call) {
        finished = false;
        turn_until(&finished, 8000);
        assert_true(finished);
    }
    assert_int_equal(r[0].result.status, QUEUE_OK);
    assert_int_equal(r[1].result.status, QUEUE_OK);
    assert_int_equal(server.requests, 4);
}

static void a_wrong_secret_is_asked_once(void **state)
{
    (void)state;
    struct queue_receive r;
    play.answers[0] = "403 {\"__type\":\"com.amazon.coral.service#InvalidSignatureException\"}";
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_DENIED);
    assert_int_equal(server.requests, 1);
    char date[64];
    http_date(date, -7200); /* off, and still refused: one repeat, then the answer */
    play.date = date;
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_DENIED);
    assert_int_equal(server.requests, 3);
    receive(&r); /* the clock is known now */
    assert_int_equal(server.requests, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_endpoints_clock),
        TEST(the_endpoints_clock_for_two),
        TEST(a_wrong_secret_is_asked_once),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
