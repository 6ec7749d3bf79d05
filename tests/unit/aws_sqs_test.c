/* The SQS client against a server that records requests and plays answers. */
#include "aws/sqs.h"

#include "base/clock.h"
#include "base/log.h"

#include <ev.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

#include "capture_server.h"

/* What the server plays, one after the other; the last one again and again. */
struct play {
    const char *answers[4];
    const char *date; /* of the Date header; NULL: now */
};

static struct ev_loop *loop;
static struct fetch *client;
static struct creds *credentials;
static struct server server;
static struct play play;
static struct sqs *sqs;
static struct queue queue;
static char queue_url[100];

static void http_date(char out[64], int64_t ahead_s)
{
    time_t t = (time_t)(clock_wall_ms() / 1000 + ahead_s);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 64, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void player(struct connection *c)
{
    struct play *p = c->server->arg;
    while (server_read(c)) {
        int n = atomic_load(&c->server->requests) - 1;
        const char *answer = NULL;
        for (int i = 0; i <= n && i < 4 && p->answers[i]; i++)
            answer = p->answers[i];
        if (!answer)
            return; /* cut */
        char head[300], date[64];
        http_date(date, 0);
        /* "403 {…}": the status, then the body */
        const char *body = strchr(answer, ' ') + 1;
        snprintf(head, sizeof head,
                 "HTTP/1.1 %.3s X\r\nDate: %s\r\nContent-Length: %zu\r\nContent-Type: "
                 "application/x-amz-json-1.0\r\n\r\n",
                 answer, p->date ? p->date : date, strlen(body));
        server_say(c, head);
        server_say(c, body);
    }
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    struct fetch_options options = {.max_connections = 8};
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "geheim", 1);
    unsetenv("AWS_SESSION_TOKEN");
    memset(&play, 0, sizeof play);
    server_start(&server, player, &play);
    snprintf(queue_url, sizeof queue_url, "%s/000000000000/q", server.url);
    loop = ev_loop_new(EVFLAG_AUTO);
    client = fetch_new(loop, &options, &e);
    credentials = creds_new(&e);
    struct sqs_options o = {.region = "eu-west-1", .queue_url = queue_url};
    sqs = sqs_new(&o, client, credentials, &e);
    if (!sqs)
        return -1;
    queue = sqs_queue(sqs);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sqs_free(sqs);
    fetch_free(client);
    creds_free(credentials);
    ev_loop_destroy(loop);
    server_stop(&server);
    return 0;
}

static bool finished;

static void on_guard(struct ev_loop *l, ev_timer *w, int events)
{
    (void)l;
    (void)events;
    *(bool *)w->data = true;
}

static void turn_until(bool *flag, int limit_ms)
{
    bool late = false;
    ev_timer guard;
    ev_timer_init(&guard, on_guard, limit_ms / 1000.0, 0.);
    guard.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &guard);
    while (!*flag && !late) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(client);
    }
    ev_timer_stop(loop, &guard);
}

static void received(struct queue_receive *r)
{
    (void)r;
    finished = true;
}

static void batched(struct queue_batch *b)
{
    (void)b;
    finished = true;
}

static void receive(struct queue_receive *r)
{
    *r = (struct queue_receive){.max = 7, .wait_s = 3, .visibility_s = 45, .done = received};
    list_init(&r->jobs);
    finished = false;
    assert_int_equal(queue.ops->receive(queue.self, r), 0);
    assert_non_null(r->call);
    assert_false(finished); /* never from inside the start */
    turn_until(&finished, 8000);
    assert_true(finished);
    assert_null(r->call);
}

static void assert_line(const char *head, const char *line)
{
    char whole[400];
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    if (!strstr(head, whole))
        fail_msg("no \"%s\" in:\n%s", line, head);
}

static void check_head(const char *operation, const char *signed_headers)
{
    char line[200], scope[300], today[9], *head = server_last_head(&server);
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(today, sizeof today, "%Y%m%d", &tm);
    assert_memory_equal(head, "POST / HTTP/1.1\r\n", 17);
    assert_line(head, "Content-Type: application/x-amz-json-1.0");
    assert_line(head, "x-amzn-query-mode: true");
    snprintf(line, sizeof line, "Host: %.60s", server.url + 7);
    assert_line(head, line);
    snprintf(line, sizeof line, "X-Amz-Target: AmazonSQS.%s", operation);
    assert_line(head, line);
    snprintf(scope, sizeof scope,
             "\r\nAuthorization: AWS4-HMAC-SHA256 "
             "Credential=AKIDEXAMPLE/%s/eu-west-1/sqs/aws4_request, SignedHeaders=%s, Signature=",
             today, signed_headers);
    if (!strstr(head, scope))
        fail_msg("no \"%s\" in:\n%s", scope, head);
    const char *date = strstr(head, "\r\nX-Amz-Date: ");
    assert_non_null(date);
    assert_memory_equal(date + 14, today, 8);
    assert_null(strstr(head, "geheim"));
    free(head);
}

static void check_body(const char *format, ...)
{
    char want[1000], *body = server_last_body(&server);
    va_list args;
    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    assert_string_equal(body, want);
    free(body);
}

static void free_jobs(struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs)))
        job_free(list_entry(node, struct job, node));
}

static const char ONE[] =
    "200 {\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\"}]}";

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

static void batch(struct queue_batch *b, enum queue_op op, int count)
{
    static const char *const handles[] = {"h0", "h\"1", "h2", "h3", "h4",
                                          "h5", "h6",   "h7", "h8", "h9"};
    *b = (struct queue_batch){.op = op, .count = count, .done = batched};
    for (int i = 0; i < count; i++) {
        b->entries[i].handle = handles[i];
        b->entries[i].visibility_s = 30 + i;
        b->entries[i].tag = &b->entries[i];
    }
    finished = false;
    assert_int_equal(queue.ops->batch(queue.self, b), 0);
    turn_until(&finished, 8000);
    assert_true(finished);
    assert_null(b->call);
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

static struct queue_result asked;
static char asked_url[100];

static void on_asked(void *arg, const struct queue_result *result, struct json_object *answer)
{
    assert_ptr_equal(arg, &asked);
    asked = *result;
    struct json_object *url;
    if (json_object_object_get_ex(answer, "QueueUrl", &url))
        snprintf(asked_url, sizeof asked_url, "%s", json_object_get_string(url));
    finished = true;
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_receive),
        TEST(a_session_token_is_signed),
        TEST(a_delete),
        TEST(a_change),
        TEST(failures),
        TEST(a_cancelled_receive),
        TEST(the_endpoints_clock),
        TEST(the_endpoints_clock_for_two),
        TEST(a_wrong_secret_is_asked_once),
        TEST(any_operation),
        TEST(words_about_another_queue),
        TEST(a_send_goes_out_once),
        TEST(free_with_open_calls),
        TEST(refused_options),
    };
    struct err e;
    if (fetch_global_init(&e) != 0)
        return 1;
    log_setup(LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
