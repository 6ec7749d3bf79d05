/* The request that copies a message to its dead-letter queue, read back with json-c. */
#include "aws/sqs_copy.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DLQ "http://127.0.0.1:1/0/dead"

static struct json_object *request;
static struct json_object *failure; /* NULL: the copy has no host.failure */
static int attributes;

static struct json_object *get(struct json_object *o, const char *name)
{
    struct json_object *v = NULL;
    json_object_object_get_ex(o, name, &v);
    return v;
}

static const char *text(struct json_object *o, const char *name)
{
    return json_object_get_string(get(o, name));
}

static struct job *job_with(const char *members, const char *body)
{
    struct json_object *m = json_tokener_parse(members);
    assert_non_null(m);
    json_object_object_add(m, "MessageId", json_object_new_string("id-1"));
    json_object_object_add(m, "ReceiptHandle", json_object_new_string("h"));
    json_object_object_add(m, "Body", json_object_new_string(body));
    struct job *job = job_new(m);
    assert_non_null(job);
    job->attempt = 4;
    job->generation = 2;
    return job;
}

static void forget(void)
{
    json_object_put(request);
    json_object_put(failure);
    request = failure = NULL;
}

/* Writes the copy and reads it back; frees the job. */
static void copy_of(struct job *job, const char *url, struct queue_copy c)
{
    struct buf b;
    c.job = job;
    c.wall_ms = 1700000000123;
    forget();
    buf_init(&b);
    sqs_copy_write(&b, url, &c);
    assert_false(b.failed);
    request = json_tokener_parse(b.data);
    assert_non_null(request);
    struct json_object *a = get(request, "MessageAttributes");
    attributes = json_object_object_length(a);
    if (get(a, "host.failure")) {
        assert_string_equal(text(get(a, "host.failure"), "DataType"), "String");
        failure = json_tokener_parse(text(get(a, "host.failure"), "StringValue"));
        assert_non_null(failure);
    }
    buf_free(&b);
    job_free(job);
}

static void copy(struct job *job, const char *url, bool exhausted)
{
    copy_of(job, url, (struct queue_copy){.exhausted = exhausted});
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    return 0;
}

static void everything_goes_along(void **state)
{
    (void)state;
    struct job *job = job_with(
        "{\"MessageAttributes\":{\"s\":{\"DataType\":\"String\",\"StringValue\":\"v \\u00e9\"},"
        "\"n\":{\"DataType\":\"Number.float\",\"StringValue\":\"-1.50\"},"
        "\"b\":{\"DataType\":\"Binary.x\",\"BinaryValue\":\"AAH/\"},"
        "\"host.failure\":{\"DataType\":\"String\",\"StringValue\":\"an older one\"}},"
        "\"Attributes\":{\"AWSTraceHeader\":\"Root=1\",\"SentTimestamp\":\"1699999999000\","
        "\"ApproximateReceiveCount\":\"3\"}}",
        "body \xe4\xb8\xad");
    job->reason = strdup("no \"email\"");
    job->detail = strdup("trace\x01"
                         "back");
    strcpy(job->kind, "lua");
    strcpy(job->at, "register.lua:14");
    copy(job, DLQ, true);
    assert_string_equal(text(request, "QueueUrl"), DLQ);
    assert_string_equal(text(request, "MessageBody"), "body \xe4\xb8\xad");
    struct json_object *a = get(request, "MessageAttributes");
    assert_int_equal(attributes, 4);
    assert_string_equal(text(get(a, "s"), "StringValue"), "v \xc3\xa9");
    assert_string_equal(text(get(a, "n"), "DataType"), "Number.float");
    assert_string_equal(text(get(a, "b"), "BinaryValue"), "AAH/");
    assert_null(get(get(a, "b"), "StringValue"));
    struct json_object *trace = get(get(request, "MessageSystemAttributes"), "AWSTraceHeader");
    assert_string_equal(text(trace, "StringValue"), "Root=1");
    assert_string_equal(text(failure, "outcome"), "exhausted");
    assert_string_equal(text(failure, "reason"), "no \"email\"");
    assert_string_equal(text(failure, "kind"), "lua");
    assert_string_equal(text(failure, "at"), "register.lua:14");
    assert_string_equal(text(failure, "detail"), "trace\x01"
                                                 "back");
    assert_string_equal(text(failure, "message_id"), "id-1");
    assert_string_equal(text(failure, "time"), "2023-11-14T22:13:20.123Z");
    assert_string_equal(text(failure, "sent_at"), "2023-11-14T22:13:19.000Z");
    assert_int_equal(json_object_get_int(get(failure, "attempts")), 4);
    assert_int_equal(json_object_get_int(get(failure, "receives")), 3);
    assert_null(get(request, "MessageGroupId"));
}

static void ten_attributes_leave_no_room(void **state)
{
    (void)state;
    for (int count = 8; count <= 10; count++) {
        struct json_object *m = json_object_new_object(), *a = json_object_new_object();
        for (int i = 0; i < count; i++) {
            char name[8];
            snprintf(name, sizeof name, "a%d", i);
            json_object_object_add(
                a, name, json_tokener_parse("{\"DataType\":\"String\",\"StringValue\":\"v\"}"));
        }
        json_object_object_add(m, "MessageAttributes", a);
        copy(job_with(json_object_to_json_string(m), "b"), DLQ, false);
        json_object_put(m);
        assert_int_equal(attributes, count < 10 ? count + 1 : 10);
        assert_int_equal(failure != NULL, count < 10);
    }
}

/* Its job may be written at that moment: nothing of a verdict is told. */
static void of_a_stuck_worker(void **state)
{
    (void)state;
    struct job *job = job_with("{\"Attributes\":{\"ApproximateReceiveCount\":\"3\"}}", "b");
    job->reason = strdup("late");
    job->detail = strdup("late");
    strcpy(job->kind, "late");
    strcpy(job->at, "late");
    copy_of(job, DLQ, (struct queue_copy){.stuck = "it did not come back", .exhausted = true});
    assert_string_equal(text(failure, "outcome"), "exhausted");
    assert_string_equal(text(failure, "reason"), "it did not come back");
    assert_string_equal(text(failure, "kind"), "stuck");
    assert_int_equal(json_object_get_int(get(failure, "receives")), 3);
    assert_null(get(failure, "generation"));
    assert_null(strstr(json_object_to_json_string(request), "late"));
}

static void bare(void **state)
{
    (void)state;
    struct job *job = job_with("{\"MessageAttributes\":{\"s\":{\"DataType\":\"String\","
                               "\"StringValue\":\"v\"}}}",
                               "b");
    struct queue_copy c = {.job = job, .bare = true, .wall_ms = 1};
    struct buf b;
    buf_init(&b);
    sqs_copy_write(&b, DLQ, &c);
    assert_null(strstr(b.data, "host.failure"));
    assert_non_null(strstr(b.data, "\"s\":{\"DataType\":\"String\",\"StringValue\":\"v\"}"));
    buf_free(&b);
    job_free(job);
}

/* A body that leaves `room` bytes of the 1 MiB, and a failure of about 900 with its detail, 700
 * without, 500 with a short reason. */
static void copy_with_room(size_t room)
{
    char *body = malloc(SQS_MESSAGE_MAX_BYTES + 1);
    memset(body, 'x', SQS_MESSAGE_MAX_BYTES);
    body[SQS_MESSAGE_MAX_BYTES - room] = '\0';
    struct job *job = job_with("{}", body);
    job->reason = malloc(501);
    memset(job->reason, 'r', 500);
    job->reason[500] = '\0';
    job->detail = strdup(body + SQS_MESSAGE_MAX_BYTES - room - 200);
    copy(job, DLQ, false);
    assert_int_equal(strlen(text(request, "MessageBody")), SQS_MESSAGE_MAX_BYTES - room);
    free(body);
}

static void a_full_message_shortens_the_failure(void **state)
{
    (void)state;
    copy_with_room(2000);
    assert_int_equal(strlen(text(failure, "detail")), 200);
    assert_int_equal(strlen(text(failure, "reason")), 500);
    copy_with_room(800);
    assert_null(get(failure, "detail"));
    assert_int_equal(strlen(text(failure, "reason")), 500);
    copy_with_room(550);
    assert_int_equal(strlen(text(failure, "reason")), 300);
    copy_with_room(100);
    assert_null(failure);
    assert_int_equal(attributes, 0);
    copy_with_room(0);
    assert_null(failure);
}

static void what_sqs_takes_in_no_text(void **state)
{
    (void)state;
    struct job *job = job_with("{}", "b");
    job->reason = strdup("a\xef\xbf\xbe"
                         "b\xef\xbf\xbf"
                         "c\xef\xbf\xbd"
                         "d\xff"
                         "e");
    copy(job, DLQ, false);
    assert_string_equal(text(failure, "reason"), "a???b???c\xef\xbf\xbd"
                                                 "d\xef\xbf\xbd"
                                                 "e");
    assert_string_equal(text(failure, "outcome"), "rejected");
}

static void a_fifo_queue(void **state)
{
    (void)state;
    copy(job_with("{\"Attributes\":{\"MessageGroupId\":\"g\",\"MessageDeduplicationId\":\"d\"}}",
                  "b"),
         DLQ ".fifo", false);
    assert_string_equal(text(request, "MessageGroupId"), "g");
    assert_string_equal(text(request, "MessageDeduplicationId"), "id-1");
    assert_string_equal(text(failure, "deduplication_id"), "d");
}

static void what_confirms(void **state)
{
    static const struct {
        const char *answer;
        bool confirmed;
    } cases[] = {
        {"{\"MessageId\":\"m\",\"MD5OfMessageBody\":\"5d41402abc4b2a76b9719d911017c592\"}", true},
        {"{\"MessageId\":\"m\",\"MD5OfMessageBody\":\"5d41402abc4b2a76b9719d911017c593\"}", false},
        {"{\"MessageId\":\"m\"}", true},
        {"{\"MessageId\":\"\"}", false},
        {"{\"MessageId\":7}", false},
        {"{}", false},
    };
    (void)state;
    struct job *job = job_with("{}", "hello");
    assert_false(sqs_copy_confirmed(NULL, job));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *answer = json_tokener_parse(cases[i].answer);
        assert_int_equal(sqs_copy_confirmed(answer, job), cases[i].confirmed);
        json_object_put(answer);
    }
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(everything_goes_along, tear_down),
        cmocka_unit_test_teardown(ten_attributes_leave_no_room, tear_down),
        cmocka_unit_test_teardown(of_a_stuck_worker, tear_down),
        cmocka_unit_test_teardown(bare, tear_down),
        cmocka_unit_test_teardown(a_full_message_shortens_the_failure, tear_down),
        cmocka_unit_test_teardown(what_sqs_takes_in_no_text, tear_down),
        cmocka_unit_test_teardown(a_fifo_queue, tear_down),
        cmocka_unit_test(what_confirms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
