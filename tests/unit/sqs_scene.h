/* What the tests of aws/sqs.h share: the client, against a server that records requests and plays
 * answers. */
#ifndef TESTS_SQS_SCENE_H
#define TESTS_SQS_SCENE_H

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
#include "fetch_loop.h"

/* What the server plays, one after the other; the last one again and again. */
struct play {
    const char *answers[4];
    const char *date; /* of the Date header; NULL: now */
};

static struct creds *credentials;
static struct server server;
static struct play play;
static struct sqs *sqs;
static struct queue queue;
static char queue_url[100];

static inline void http_date(char out[64], int64_t ahead_s)
{
    time_t t = (time_t)(clock_wall_ms() / 1000 + ahead_s);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 64, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static inline void player(struct connection *c)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void received(struct queue_receive *r)
{
    (void)r;
    finished = true;
}

static inline void batched(struct queue_batch *b)
{
    (void)b;
    finished = true;
}

static inline void receive(struct queue_receive *r)
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

static inline void assert_line(const char *head, const char *line)
{
    char whole[400];
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    if (!strstr(head, whole))
        fail_msg("no \"%s\" in:\n%s", line, head);
}

static inline void check_head(const char *operation, const char *signed_headers)
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

static inline void check_body(const char *format, ...)
{
    char want[1000], *body = server_last_body(&server);
    va_list args;
    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    assert_string_equal(body, want);
    free(body);
}

static inline void free_jobs(struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs)))
        job_free(list_entry(node, struct job, node));
}

static const char ONE[] =
    "200 {\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\"}]}";

static inline void batch(struct queue_batch *b, enum queue_op op, int count)
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

static struct queue_result asked;
static char asked_url[100];

static inline void on_asked(void *arg, const struct queue_result *result,
                            struct json_object *answer)
{
    assert_ptr_equal(arg, &asked);
    asked = *result;
    struct json_object *url;
    if (json_object_object_get_ex(answer, "QueueUrl", &url))
        snprintf(asked_url, sizeof asked_url, "%s", json_object_get_string(url));
    finished = true;
}

/* Before all the tests of a file; each of them has a server and a client of its own. */
static inline int begin(void **state)
{
    (void)state;
    struct err e;
    log_setup(LOG_TEXT, LOG_ERROR);
    return fetch_global_init(&e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
