/* Calls to SQS that fail: refused, cut, cancelled, freed with the client; none goes out twice. */
#include "sqs_scene.h"

static void failures(void **state)
{
    (void)state;
    struct queue_batch b;
    struct queue_receive r;
    play.answers[0] = "400 {\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"no\"}";
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_MISSING);
    assert_int_equal(r.result.http_status, 400);
    assert_true(list_empty(&r.jobs));
    assert_non_null(strstr(r.result.text, queue_url));
    play.answers[0] = "503 busy";
    batch(&b, QUEUE_DELETE, 2);
    assert_int_equal(b.result.status, QUEUE_BUSY);
    assert_false(b.entries[0].ok);
    play.answers[0] = "200 {\"Successful\":[{\"Id\":\"0\"}";
    batch(&b, QUEUE_DELETE, 2);
    assert_int_equal(b.result.status, QUEUE_UNREACHABLE);
    assert_false(b.entries[0].ok);
    play.answers[0] = NULL;
    batch(&b, QUEUE_DELETE, 2);
    assert_int_equal(b.result.status, QUEUE_UNREACHABLE);
    assert_int_equal(b.result.http_status, 0);
}

static void a_cancelled_receive(void **state)
{
    (void)state;
    struct queue_receive r = {.max = 1, .wait_s = 20, .visibility_s = 30, .done = received};
    play.answers[0] = ONE;
    for (int i = 0; i < 3; i++) {
        list_init(&r.jobs);
        finished = false;
        assert_int_equal(queue.ops->receive(queue.self, &r), 0);
        /* 0: only started; 1: connecting; 2: answered, but not delivered */
        if (i == 1)
            ev_run(loop, EVRUN_ONCE);
        for (int64_t until_ms = clock_boot_ms() + 200; i == 2 && clock_boot_ms() < until_ms;)
            ev_run(loop, EVRUN_NOWAIT);
        queue.ops->cancel(queue.self, &r);
        assert_null(r.call);
        queue.ops->cancel(queue.self, &r); /* again: nothing */
        turn_until(&finished, 60);
        assert_false(finished);
    }
    receive(&r); /* works on */
    assert_int_equal(r.result.status, QUEUE_OK);
    free_jobs(&r.jobs);
}

/* A kept connection that dies under a request: libcurl would send it again by itself. */
static void die_under_the_second(struct connection *c)
{
    while (server_read(c)) {
        if (c->number == 0 && c->requests == 2)
            return;
        server_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    }
}

static void a_send_goes_out_once(void **state)
{
    (void)state;
    struct err e = {0};
    struct sqs_question question = {
        .operation = "SendMessageBatch", .body = "{}", .timeout_ms = 3000};
    server.script = die_under_the_second;
    for (int i = 0; i < 2; i++) {
        finished = false;
        assert_int_equal(sqs_ask(sqs, &question, on_asked, &asked, &e), 0);
        turn_until(&finished, 5000);
        assert_int_equal(asked.status, i == 0 ? QUEUE_OK : QUEUE_UNREACHABLE);
    }
    assert_int_equal(server.requests, 2);
}

static void free_with_open_calls(void **state)
{
    (void)state;
    struct err e = {0};
    struct queue_receive r = {.max = 1, .wait_s = 20, .visibility_s = 30, .done = received};
    struct queue_batch b = {.op = QUEUE_DELETE, .count = 1, .done = batched};
    struct sqs_question question = {.operation = "GetQueueUrl", .body = "{}", .timeout_ms = 3000};
    b.entries[0].handle = "h";
    list_init(&r.jobs);
    play.answers[0] = ONE;
    finished = false;
    assert_int_equal(queue.ops->receive(queue.self, &r), 0);
    assert_int_equal(queue.ops->batch(queue.self, &b), 0);
    assert_int_equal(sqs_ask(sqs, &question, on_asked, &asked, &e), 0);
    ev_run(loop, EVRUN_ONCE);
    sqs_free(sqs);
    sqs = NULL;
    turn_until(&finished, 100);
    assert_false(finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failures),
        TEST(a_cancelled_receive),
        TEST(a_send_goes_out_once),
        TEST(free_with_open_calls),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
