/* The SQS client's requests, signed and as SQS wants them, and the answers that it reads. */
#include "sqs_scene.h"

static void a_receive(void **state)
{
    (void)state;
    struct queue_receive r;
    play.answers[0] = ONE;
    int64_t before_ms = clock_boot_ms(), before_us = clock_mono_us();
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_OK);
    assert_int_equal(r.result.http_status, 200);
    assert_string_equal(r.result.text, "");
    assert_in_range(r.first_byte_ms, before_ms, clock_boot_ms());
    struct job *job = list_entry(list_first(&r.jobs), struct job, node);
    assert_string_equal(job->id, "m");
    assert_in_range(job->received_us, before_us, clock_mono_us());
    check_head("ReceiveMessage", "content-type;host;x-amz-date;x-amz-target");
    check_body("{\"QueueUrl\":\"%s\",\"MaxNumberOfMessages\":7,\"WaitTimeSeconds\":3,"
               "\"VisibilityTimeout\":45,\"MessageAttributeNames\":[\"All\"],"
               "\"MessageSystemAttributeNames\":[\"All\"],\"AttributeNames\":[\"All\"]}",
               queue_url);
    free_jobs(&r.jobs);
}

static void a_session_token_is_signed(void **state)
{
    (void)state;
    struct err e = {0};
    struct queue_receive r;
    char token[1500], line[1600];
    memset(token, 't', sizeof token);
    token[sizeof token - 1] = '\0';
    creds_free(credentials);
    setenv("AWS_SESSION_TOKEN", token, 1);
    credentials = creds_new(&e);
    unsetenv("AWS_SESSION_TOKEN");
    sqs_free(sqs);
    struct sqs_options o = {.region = "eu-west-1", .queue_url = queue_url};
    sqs = sqs_new(&o, client, credentials, &e);
    queue = sqs_queue(sqs);
    play.answers[0] = "200 {}";
    receive(&r);
    assert_int_equal(r.result.status, QUEUE_OK);
    assert_true(list_empty(&r.jobs));
    check_head("ReceiveMessage", "content-type;host;x-amz-date;x-amz-security-token;x-amz-target");
    char *head = server_last_head(&server);
    snprintf(line, sizeof line, "\r\nX-Amz-Security-Token: %s\r\n", token);
    assert_non_null(strstr(head, line));
    free(head);
}

static void a_delete(void **state)
{
    (void)state;
    struct queue_batch b;
    int64_t before_ms = clock_boot_ms();
    play.answers[0] = "200 {\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"1\","
                      "\"SenderFault\":true,\"Code\":\"ReceiptHandleIsInvalid\","
                      "\"Message\":\"The handle is bad\"}]}";
    batch(&b, QUEUE_DELETE, 3);
    assert_int_equal(b.result.status, QUEUE_OK);
    assert_in_range(b.sent_ms, before_ms, clock_boot_ms());
    assert_true(b.entries[0].ok);
    assert_string_equal(b.entries[0].code, "");
    assert_false(b.entries[1].ok);
    assert_true(b.entries[1].sender_fault);
    assert_string_equal(b.entries[1].code, "ReceiptHandleIsInvalid");
    assert_string_equal(b.entries[1].text, "The handle is bad");
    assert_false(b.entries[2].ok);
    assert_false(b.entries[2].sender_fault);
    assert_string_equal(b.entries[2].code, "Missing");
    assert_ptr_equal(b.entries[2].tag, &b.entries[2]);
    check_head("DeleteMessageBatch", "content-type;host;x-amz-date;x-amz-target");
    check_body("{\"QueueUrl\":\"%s\",\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0\"},"
               "{\"Id\":\"1\",\"ReceiptHandle\":\"h\\\"1\"},{\"Id\":\"2\",\"ReceiptHandle\":"
               "\"h2\"}]}",
               queue_url);
}

static void a_change(void **state)
{
    (void)state;
    struct queue_batch b;
    play.answers[0] = "200 {}";
    batch(&b, QUEUE_CHANGE, 2);
    check_head("ChangeMessageVisibilityBatch", "content-type;host;x-amz-date;x-amz-target");
    check_body("{\"QueueUrl\":\"%s\",\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0\","
               "\"VisibilityTimeout\":30},{\"Id\":\"1\",\"ReceiptHandle\":\"h\\\"1\","
               "\"VisibilityTimeout\":31}]}",
               queue_url);
    batch(&b, QUEUE_DELETE, 10);
    char *body = server_last_body(&server);
    assert_non_null(strstr(body, "{\"Id\":\"9\",\"ReceiptHandle\":\"h9\"}]}"));
    free(body);
}

static void any_operation(void **state)
{
    (void)state;
    struct err e = {0};
    char body[] = "{\"QueueName\":\"q\"}";
    struct sqs_question question = {.operation = "GetQueueUrl", .body = body, .timeout_ms = 3000};
    play.answers[0] = "200 {\"QueueUrl\":\"http://x/1/q\"}";
    finished = false;
    assert_int_equal(sqs_ask(sqs, &question, on_asked, &asked, &e), 0);
    memset(body, 'x', sizeof body - 1); /* it was copied */
    turn_until(&finished, 5000);
    assert_int_equal(asked.status, QUEUE_OK);
    assert_string_equal(asked_url, "http://x/1/q");
    check_head("GetQueueUrl", "content-type;host;x-amz-date;x-amz-target");
    check_body("{\"QueueName\":\"q\"}");
}

/* What is wrong with another queue than ours is said of that one. */
static void words_about_another_queue(void **state)
{
    (void)state;
    struct err e = {0};
    struct sqs_question question = {
        .operation = "GetQueueUrl", .body = "{}", .about = "dead", .timeout_ms = 3000};
    play.answers[0] = "403 {\"__type\":\"AccessDenied\",\"message\":\"no\"}";
    finished = false;
    assert_int_equal(sqs_ask(sqs, &question, on_asked, &asked, &e), 0);
    turn_until(&finished, 5000);
    assert_int_equal(asked.status, QUEUE_DENIED);
    assert_string_equal(asked.text, "SQS GetQueueUrl dead: 403 AccessDenied: no: check the AWS "
                                    "credentials, and that their policy allows sqs:GetQueueUrl on "
                                    "this queue");
}

static void refused_options(void **state)
{
    (void)state;
    static const struct sqs_options cases[] = {
        {.queue_url = "not a URL"},
        {.queue_url = "http://127.0.0.1:9324/"},
        {.endpoint = "nowhere", .queue_url = "http://127.0.0.1:9324/0/q"},
        {0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        assert_null(sqs_new(&cases[i], client, credentials, &e));
        assert_int_equal(e.code, 78);
        assert_true(strlen(e.text) > 20);
    }
    struct err e = {0};
    assert_int_equal(sqs_set_queue_url(sqs, "http://127.0.0.1/", &e), -1);
    assert_string_equal(sqs_queue_url(sqs), queue_url); /* the old one stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_receive),     TEST(a_session_token_is_signed), TEST(a_delete),        TEST(a_change),
        TEST(any_operation), TEST(words_about_another_queue), TEST(refused_options),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
