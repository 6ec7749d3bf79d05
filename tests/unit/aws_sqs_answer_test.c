/* Answers as SQS and its stand-ins give them, and as they must not be. */
#include "aws/sqs_answer.h"

#include "aws/answer.h"
#include "base/log.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct sqs_context context = {
    .operation = "ReceiveMessage", .where = "http://sqs/1/q", .region = "eu-west-1"};

struct made {
    struct fetch_response r;
    struct buf head;
};

static struct made answer(int status, const char *head, const char *body)
{
    struct made m = {.r = {.status = status, .body = body, .body_len = strlen(body), .error = ""}};
    buf_init(&m.head);
    buf_str(&m.head, head ? head : "");
    return m;
}

static struct json_object *read_one(struct made *m, struct queue_result *result)
{
    m->r.head = &m->head;
    struct json_object *o = sqs_read_answer(&m->r, &context, result);
    buf_free(&m->head);
    return o;
}

static void codes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"com.amazonaws.sqs#QueueDoesNotExist", "QueueDoesNotExist"},
        {"QueueDoesNotExist", "QueueDoesNotExist"},
        {"AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue"},
        {"com.amazon.coral.service#AccessDeniedException", "AccessDenied"},
        {"com.amazonaws.sqs#QueueDoesNotExist:http://x/", "QueueDoesNotExist"},
        {"a#b#InvalidSignatureException", "InvalidSignature"},
        {"KMS.AccessDeniedException", "KmsAccessDenied"},
        {"KmsThrottled", "KmsThrottled"},
        {"Exception", "Exception"},
        {"Line\nbreak", "Line?break"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        sqs_normalise_code(cases[i][0], out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
}

struct error_case {
    int http;
    const char *head, *body;
    enum queue_status status;
    const char *code;
    const char *words; /* in the text */
    int64_t after_ms;
};

static void errors(void **state)
{
    (void)state;
    static const struct error_case cases[] = {
        {400, "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
         "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"The specified queue "
         "does not exist.\"}",
         QUEUE_MISSING, "QueueDoesNotExist", "queue.url", -1},
        {400, NULL, /* ElasticMQ */
         "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"Message\":\"nothing here\"}",
         QUEUE_MISSING, "QueueDoesNotExist", "nothing here", -1},
        {404, NULL, "{\"__type\":\"AWS.SimpleQueueService.NonExistentQueue\"}", QUEUE_MISSING,
         "NonExistentQueue", "queue.name", -1},
        {403, NULL, "{\"__type\":\"com.amazon.coral.service#AccessDeniedException\"}", QUEUE_DENIED,
         "AccessDenied", "sqs:ReceiveMessage", -1},
        {403, NULL,
         "{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\",\"message\":\"It does "
         "not match.\\n\\nThe Canonical String was\\nx-amz-security-token:geheim\"}",
         QUEUE_DENIED, "InvalidSignature", "AWS_SECRET_ACCESS_KEY", -1},
        {400, NULL, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"unknown token\"}",
         QUEUE_DENIED, "UnrecognizedClient", "AWS_ACCESS_KEY_ID", -1},
        {400, NULL, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}", QUEUE_DENIED,
         "ExpiredToken", "session token", -1},
        {400, NULL, "{\"__type\":\"com.amazonaws.sqs#KmsAccessDenied\"}", QUEUE_DENIED,
         "KmsAccessDenied", "kms:Decrypt", -1},
        {403, NULL, "{\"__type\":\"RequestThrottled\"}", QUEUE_BUSY, "RequestThrottled", "403", -1},
        {400, "x-amz-retry-after: 1500\r\nRetry-After: 9\r\n",
         "{\"__type\":\"com.amazonaws.sqs#ThrottlingException\"}", QUEUE_BUSY, "Throttling", "400",
         1500},
        {403, "Retry-After: 3\r\n", "{\"__type\":\"OverLimit\"}", QUEUE_BUSY, "OverLimit", "403",
         3000},
        {503,
         "Date: Wed, 21 Oct 2026 07:27:18 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n",
         "<html>\nbusy</html>", QUEUE_BUSY, "503", "<html>", 42000},
        {503, "Retry-After: 99999999999999999999\r\n", "", QUEUE_BUSY, "503", "503", 3600 * 1000},
        {500, "x-amz-retry-after: -5\r\n", "{", QUEUE_BUSY, "500", "500", -1},
        {429, NULL, "", QUEUE_BUSY, "429", "429", -1},
        {400, NULL, "{\"__type\":\"com.amazonaws.sqs#InvalidParameterValue\",\"message\":\"bad\"}",
         QUEUE_FAULT, "InvalidParameterValue", "bad", -1},
        {403, NULL, "Forbidden by the proxy", QUEUE_FAULT, "403", "Forbidden by the proxy", -1},
        {302, NULL, "", QUEUE_FAULT, "302", "302", -1},
        {400, "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n", "{}",
         QUEUE_MISSING, "NonExistentQueue", "queue.url", -1},
        {400, "x-amzn-query-error: com.amazonaws.sqs#QueueDoesNotExist\r\n", "{}", QUEUE_FAULT,
         "400", "400", -1}, /* not two parts */
        {400, NULL, "{\"__type\":\"RequestExpired\"}", QUEUE_FAULT, "RequestExpired", "clock", -1},
        {400, NULL, "[]", QUEUE_FAULT, "400", "400", -1},
        {400, NULL, "{\"__type\":7,\"message\":{}}", QUEUE_FAULT, "400", "400", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct error_case *c = &cases[i];
        struct queue_result result;
        struct made m = answer(c->http, c->head, c->body);
        assert_null(read_one(&m, &result));
        if (result.status != c->status || strcmp(result.code, c->code) != 0 ||
            !strstr(result.text, c->words))
            fail_msg("case %zu: status %d, code %s, text %s", i, result.status, result.code,
                     result.text);
        assert_int_equal(result.http_status, c->http);
        assert_int_equal(result.unheard, c->http >= 500);
        assert_int_equal(result.retry_after_ms, c->after_ms);
        assert_non_null(strstr(result.text, "ReceiveMessage http://sqs/1/q"));
        assert_null(strpbrk(result.text, "\r\n"));
        assert_null(strstr(result.text, "geheim"));
    }
}

static void an_errors_words_are_cut_at_a_character(void **state)
{
    (void)state;
    struct buf body;
    struct queue_result result;
    buf_init(&body);
    buf_str(&body, "{\"__type\":\"X\",\"message\":\"a");
    for (int i = 0; i < 400; i++)
        buf_str(&body, "\xc3\xbc");
    buf_str(&body, "\"}");
    struct made m = answer(400, NULL, body.data);
    assert_null(read_one(&m, &result));
    size_t len = strlen(result.text);
    assert_in_range(len, 150, 300);
    assert_int_equal((unsigned char)result.text[len - 1], 0xbc);
    buf_free(&body);
}

static void no_answers(void **state)
{
    (void)state;
    static const struct {
        enum fetch_result result;
        enum queue_status status;
    } cases[] = {
        {FETCH_NO_CONNECTION, QUEUE_UNREACHABLE},
        {FETCH_TIMEOUT, QUEUE_UNREACHABLE},
        {FETCH_CUT, QUEUE_UNREACHABLE},
        {FETCH_FAILED, QUEUE_UNREACHABLE},
        {FETCH_TOO_BIG, QUEUE_FAULT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue_result result;
        struct made m = answer(0, NULL, "{\"Messages\":[");
        m.r.result = cases[i].result;
        m.r.error = "the wire is cut";
        assert_null(read_one(&m, &result));
        assert_int_equal(result.status, cases[i].status);
        assert_int_equal(result.http_status, 0);
        assert_false(result.unheard);
        assert_non_null(strstr(result.text, "the wire is cut"));
        for (int k = 1; k <= 2; k++) {
            m.r.sent = k & 1;
            m.r.repeated = k & 2;
            assert_null(read_one(&m, &result));
            assert_true(result.unheard);
        }
    }
}

static void bad_successes(void **state)
{
    (void)state;
    static const char *const cases[] = {"{\"Messages\":[{\"Body\":\"a",
                                        "<html></html>",
                                        "[]",
                                        "\"x\"",
                                        "{}x",
                                        "{} {}",
                                        "null",
                                        " "};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue_result result;
        struct made m = answer(200, NULL, cases[i]);
        if (read_one(&m, &result) || result.status != QUEUE_UNREACHABLE || !result.unheard)
            fail_msg("case %zu", i);
        assert_non_null(strstr(result.text, "SQS endpoint"));
    }
}

/* ---- messages ---- */

#define FULL                                                                                       \
    "{\"MessageId\":\"m1\",\"ReceiptHandle\":\"h1\",\"Body\":\"{\\\"n\\\":1}\","                   \
    "\"Attributes\":{\"ApproximateReceiveCount\":\"3\",\"SentTimestamp\":\"1700000000123\","       \
    "\"MessageGroupId\":\"g\"},"                                                                   \
    "\"MessageAttributes\":{\"a\":{\"DataType\":\"String\",\"StringValue\":\"v\"}}}"
#define BARE "{\"MessageId\":\"m2\",\"ReceiptHandle\":\"h2\",\"Body\":\"\"}"

static int take_jobs_of(const char *body, bool in_order, struct list *jobs)
{
    struct queue_result result;
    struct made m = answer(200, NULL, body);
    struct json_object *o = read_one(&m, &result);
    assert_int_equal(result.status, QUEUE_OK);
    list_init(jobs);
    sqs_read_messages(o, 0, in_order, jobs);
    json_object_put(o);
    int count = 0;
    list_for_each (node, jobs)
        count++;
    return count;
}

static int take_jobs(const char *body, struct list *jobs)
{
    return take_jobs_of(body, false, jobs);
}

static void free_jobs(struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs)))
        job_free(list_entry(node, struct job, node));
}

static void messages_become_jobs(void **state)
{
    (void)state;
    struct list jobs;
    assert_int_equal(take_jobs("{\"Messages\":[" FULL "," BARE "]}", &jobs), 2);
    struct job *a = list_entry(jobs.next, struct job, node);
    struct job *b = list_entry(jobs.next->next, struct job, node);
    assert_string_equal(a->id, "m1");
    assert_string_equal(a->handle, "h1");
    assert_string_equal(a->body, "{\"n\":1}");
    assert_int_equal(a->body_len, 7);
    assert_string_equal(a->group, "g");
    assert_int_equal(a->receive_count, 3);
    assert_int_equal(a->attempt, 3);
    assert_true(a->sent_at_ms == 1700000000123);
    assert_non_null(a->attributes);
    assert_non_null(a->system);
    assert_true(a->received_us > 0);
    assert_string_equal(b->id, "m2");
    assert_int_equal(b->body_len, 0);
    assert_null(b->group);
    assert_null(b->attributes);
    assert_int_equal(b->receive_count, 1);
    free_jobs(&jobs);
}

/* The answer is gone when the job leaves, and nothing but the job holds its message: two
 * threads would otherwise count references of one object. */
static void a_job_owns_its_message_alone(void **state)
{
    (void)state;
    struct list jobs;
    assert_int_equal(take_jobs("{\"Messages\":[" FULL "," BARE "]}", &jobs), 2);
    list_for_each (node, &jobs) {
        struct job *job = list_entry(node, struct job, node);
        struct json_object *message = job->message;
        assert_int_equal(json_object_put(message), 1); /* 1: that was the last reference */
        job->message = NULL;
    }
    free_jobs(&jobs);
}

/* Of a FIFO queue, what is behind one that cannot be read must not run before it. */
static void in_order_nothing_is_skipped(void **state)
{
    (void)state;
    static const char body[] = "{\"Messages\":[" FULL ",{\"MessageId\":\"x\"}," BARE "]}";
    struct list jobs;
    assert_int_equal(take_jobs_of(body, true, &jobs), 1);
    free_jobs(&jobs);
    assert_int_equal(take_jobs_of(body, false, &jobs), 2);
    free_jobs(&jobs);
}

static void empty_receives(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "{}", "{\"Messages\":[]}", "{\"Messages\":null}", "{\"Messages\":{}}", " {} \n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct list jobs;
        assert_int_equal(take_jobs(cases[i], &jobs), 0);
    }
}

static void what_is_no_message_is_left_out(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "null",
        "7",
        "[]",
        "\"x\"",
        "{}",
        "{\"ReceiptHandle\":\"h\",\"Body\":\"b\"}",
        "{\"MessageId\":\"m\",\"Body\":\"b\"}",
        "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\"}",
        "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":null}",
        "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":{}}",
        "{\"MessageId\":1,\"ReceiptHandle\":\"h\",\"Body\":\"b\"}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct list jobs;
        struct buf body;
        buf_init(&body);
        buf_printf(&body, "{\"Messages\":[%s," FULL ",%s]}", cases[i], cases[i]);
        assert_int_equal(take_jobs(body.data, &jobs), 1);
        free_jobs(&jobs);
        buf_free(&body);
    }
}

static void odd_members_are_survived(void **state)
{
    (void)state;
    struct list jobs;
    assert_int_equal(
        take_jobs("{\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"a\\u0000b"
                  "\",\"Attributes\":[],\"MessageAttributes\":\"x\"},"
                  "{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\",\"Attributes\":"
                  "{\"ApproximateReceiveCount\":\"many\",\"SentTimestamp\":7}}]}",
                  &jobs),
        2);
    struct job *a = list_entry(jobs.next, struct job, node);
    struct job *b = list_entry(jobs.next->next, struct job, node);
    assert_int_equal(a->body_len, 3);
    assert_null(a->system);
    assert_null(a->attributes);
    assert_int_equal(b->receive_count, 1);
    assert_true(b->sent_at_ms == 0);
    free_jobs(&jobs);
}

/* ---- batches ---- */

static void entries_by_entries(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *marks; /* of entries 0, 1, 2: o(k), s(ender), f(ailed), m(issing) */
    } cases[] = {
        {"{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"},{\"Id\":\"2\"}],\"Failed\":[]}", "ooo"},
        {"{\"Successful\":[{\"Id\":\"2\"},{\"Id\":\"0\"}]}", "omo"},
        {"{\"Failed\":[{\"Id\":\"1\",\"SenderFault\":true,\"Code\":\"ReceiptHandleIsInvalid\"}],"
         "\"Successful\":[{\"Id\":\"0\"}]}",
         "osm"},
        {"{\"Failed\":[{\"Id\":\"0\",\"SenderFault\":false,\"Code\":\"InternalError\"},"
         "{\"Id\":\"1\"},{\"Id\":\"2\",\"SenderFault\":true}]}",
         "ffs"},
        {"{\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"0\"}]}", "fmm"},
        {"", "mmm"},
        {"{}", "mmm"},
        {"{\"Successful\":{},\"Failed\":7}", "mmm"},
        {"{\"Successful\":[null,7,{},{\"Id\":0},{\"Id\":\"3\"},{\"Id\":\"\"},{\"Id\":\"00\"},"
         "{\"Id\":\"-1\"},{\"Id\":\"9\"}]}",
         "mmm"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue_result result;
        struct sqs_entry entries[3];
        struct made m = answer(200, NULL, cases[i].body);
        struct json_object *o = read_one(&m, &result);
        assert_int_equal(result.status, QUEUE_OK);
        sqs_read_entries(o, 3, entries);
        for (int k = 0; k < 3; k++) {
            const struct sqs_entry *e = &entries[k];
            char mark = e->ok                             ? 'o'
                        : e->sender_fault                 ? 's'
                        : strcmp(e->code, "Missing") != 0 ? 'f'
                                                          : 'm';
            if (mark != cases[i].marks[k])
                fail_msg("case %zu, entry %d: %c", i, k, mark);
            assert_non_null(e->text);
        }
        json_object_put(o);
    }
}

/* ---- the clock ---- */

static void clocks(void **state)
{
    (void)state;
    enum { NOW_S = 1440938160 }; /* Sun, 30 Aug 2015 12:36:00 GMT */
    static const struct {
        const char *code, *date;
        bool skewed;
        int64_t offset_s;
    } cases[] = {
        {"RequestExpired", "Sun, 30 Aug 2015 12:36:00 GMT", true, 0},
        {"RequestTimeTooSkewed", "Sun, 30 Aug 2015 13:36:00 GMT", true, 3600},
        {"RequestInTheFuture", "Sat, 29 Aug 2015 12:36:00 GMT", true, -86400},
        {"InvalidSignature", "Sun, 30 Aug 2015 12:39:59 GMT", false, 0},
        {"InvalidSignature", "Sun, 30 Aug 2015 12:40:01 GMT", true, 241},
        {"SignatureDoesNotMatch", "Sun, 30 Aug 2015 12:30:00 GMT", true, -360},
        {"AccessDenied", "Sun, 30 Aug 2015 13:36:00 GMT", false, 0},
        {"RequestExpired", "yesterday", false, 0},
        {"RequestExpired", NULL, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset_ms = 0;
        struct made m = answer(403, NULL, "");
        if (cases[i].date)
            buf_printf(&m.head, "Date: %s\r\n", cases[i].date);
        m.r.head = &m.head;
        bool skewed = aws_clock_skew(&m.r, cases[i].code, NOW_S * INT64_C(1000), &offset_ms);
        if (skewed != cases[i].skewed)
            fail_msg("case %zu", i);
        if (skewed)
            assert_true(offset_ms == cases[i].offset_s * 1000);
        buf_free(&m.head);
    }
}

/* Another permission, on another queue. */
static void advice_for_a_copy(void **state)
{
    (void)state;
    struct queue_result result;
    struct sqs_context copying = {.operation = "SendMessage",
                                  .where = "http://q/dead",
                                  .server = "http://e:4566",
                                  .region = "eu-west-1"};
    struct made m = answer(403, NULL, "{\"__type\":\"AccessDenied\"}");
    m.r.head = &m.head;
    assert_null(sqs_read_answer(&m.r, &copying, &result));
    buf_free(&m.head);
    assert_int_equal(result.status, QUEUE_DENIED);
    assert_non_null(strstr(result.text, "sqs:SendMessage"));
    assert_non_null(strstr(result.text, "http://q/dead at http://e:4566: 403"));
    assert_null(strstr(result.text, "ReceiveMessage"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(errors),
        cmocka_unit_test(an_errors_words_are_cut_at_a_character),
        cmocka_unit_test(no_answers),
        cmocka_unit_test(bad_successes),
        cmocka_unit_test(messages_become_jobs),
        cmocka_unit_test(a_job_owns_its_message_alone),
        cmocka_unit_test(in_order_nothing_is_skipped),
        cmocka_unit_test(empty_receives),
        cmocka_unit_test(what_is_no_message_is_left_out),
        cmocka_unit_test(odd_members_are_survived),
        cmocka_unit_test(entries_by_entries),
        cmocka_unit_test(clocks),
        cmocka_unit_test(advice_for_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
