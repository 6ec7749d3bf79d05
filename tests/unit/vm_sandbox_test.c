/* The stand-in servers on a loop of this thread, a client on another one. The rules of the
 * queue are compared with other servers' in tests/e2e; here it is about leases in time, clients
 * that leave, and what the C around the Lua code has to do. */
#include "vm/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <json.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define URL "http://127.0.0.1/000000000000/people"

static struct ev_loop *loop;
static struct sandbox *sandbox;
static int port;
static ev_async wake;

static void on_wake(struct ev_loop *l, ev_async *w, int events)
{
    (void)l;
    (void)w;
    (void)events;
}

static const char *const queues[] = {"people", NULL};

static struct sandbox_options options(void)
{
    return (struct sandbox_options){.listen = "127.0.0.1:0",
                                    .queues = queues,
                                    .realm = "demo",
                                    .client_id = "luahost",
                                    .client_secret = "a&b+c"};
}

static int start(void **state)
{
    (void)state;
    struct sandbox_options o = options();
    struct err e;
    loop = ev_loop_new(EVFLAG_AUTO);
    ev_async_init(&wake, on_wake);
    ev_async_start(loop, &wake);
    sandbox = sandbox_new(loop, &o, &e);
    if (!sandbox) {
        print_error("%s\n", e.text);
        return -1;
    }
    port = atoi(strrchr(sandbox_name(sandbox), ':') + 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    sandbox_free(sandbox);
    ev_async_stop(loop, &wake);
    ev_loop_destroy(loop);
    return 0;
}

/* ---- the client ------------------------------------------------------------------------- */

struct answer {
    int status;
    char head[2048];
    struct json_object *json; /* NULL: an empty body, or no JSON */
};

static int dial(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0)
        abort();
    return fd;
}

static void post(int fd, const char *path, const char *headers, const char *body)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b,
               "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s"
               "Content-Length: %zu\r\n\r\n%s",
               path, headers, strlen(body), body);
    if (send(fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len)
        abort();
    buf_free(&b);
}

static struct answer read_answer(int fd)
{
    struct answer a = {0};
    struct buf b;
    char chunk[4096];
    ssize_t n;
    buf_init(&b);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        buf_add(&b, chunk, (size_t)n);
    char *end = strstr(b.data, "\r\n\r\n");
    if (end) {
        snprintf(a.head, sizeof a.head, "%.*s", (int)(end - b.data), b.data);
        a.status = atoi(b.data + strlen("HTTP/1.1 "));
        a.json = json_tokener_parse(end + 4);
    }
    buf_free(&b);
    return a;
}

static void post_sqs(int fd, const char *operation, const char *body)
{
    char headers[256];
    snprintf(headers, sizeof headers,
             "X-Amz-Target: AmazonSQS.%s\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n", operation);
    post(fd, "/", headers, body);
}

static struct answer sqs(const char *operation, const char *body)
{
    int fd = dial();
    post_sqs(fd, operation, body);
    struct answer a = read_answer(fd);
    close(fd);
    return a;
}

static const char *text_at(struct json_object *o, const char *name)
{
    struct json_object *member = NULL;
    json_object_object_get_ex(o, name, &member);
    return member ? json_object_get_string(member) : "";
}

static int status_of(const char *operation, const char *body)
{
    struct answer a = sqs(operation, body);
    json_object_put(a.json);
    return a.status;
}

/* The error's name without its name space; "" if it was none. */
static void error_of(const char *operation, const char *body, char out[64])
{
    struct answer a = sqs(operation, body);
    const char *type = text_at(a.json, "__type"), *hash = strrchr(type, '#');
    snprintf(out, 64, "%s", hash ? hash + 1 : type);
    json_object_put(a.json);
}

/* Receives one message; false if none came. */
static bool receive(const char *more, char handle[128], int *receives)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"" URL "\","
             "\"MessageSystemAttributeNames\":[\"All\"]%s}",
             more);
    struct answer a = sqs("ReceiveMessage", body);
    struct json_object *list = NULL, *system = NULL;
    bool any = json_object_object_get_ex(a.json, "Messages", &list);
    if (any) {
        struct json_object *message = json_object_array_get_idx(list, 0);
        json_object_object_get_ex(message, "Attributes", &system);
        snprintf(handle, 128, "%s", text_at(message, "ReceiptHandle"));
        *receives = atoi(text_at(system, "ApproximateReceiveCount"));
    }
    json_object_put(a.json);
    return any;
}

struct client {
    void (*work)(void);
};
static atomic_bool client_done;

static void *run_client(void *arg)
{
    ((struct client *)arg)->work();
    atomic_store(&client_done, true);
    ev_async_send(loop, &wake);
    return NULL;
}

/* Checks of the client's are collected: cmocka's must fail on the test's own thread. */
static char trouble[512];
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition) && !*trouble)                                                             \
            snprintf(trouble, sizeof trouble, "line %d: %s", __LINE__, #condition);                \
    } while (0)

static void with_client(void (*work)(void))
{
    pthread_t thread;
    struct client client = {work};
    trouble[0] = '\0';
    atomic_store(&client_done, false);
    assert_int_equal(pthread_create(&thread, NULL, run_client, &client), 0);
    while (!atomic_load(&client_done)) {
        ev_run(loop, EVRUN_ONCE);
        sandbox_turn(sandbox);
    }
    pthread_join(thread, NULL);
    if (*trouble)
        fail_msg("%s", trouble);
}

/* ---- tests --------------------------------------------------------------------------------- */

#define SEND "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"x\"%s}"

static void send_one(const char *more)
{
    char body[512];
    snprintf(body, sizeof body, SEND, more);
    CHECK(status_of("SendMessage", body) == 200);
}

static void lease_client(void)
{
    char first[128], second[128], body[512], code[64];
    int receives = 0;
    send_one("");
    CHECK(receive(",\"VisibilityTimeout\":1", first, &receives) && receives == 1);
    CHECK(!receive("", second, &receives));
    int64_t began = clock_boot_ms();
    CHECK(receive(",\"WaitTimeSeconds\":5", second, &receives) && receives == 2);
    CHECK(clock_boot_ms() - began > 500 && clock_boot_ms() - began < 4500);
    snprintf(body, sizeof body, "{\"QueueUrl\":\"" URL "\",\"ReceiptHandle\":\"%s\"}", first);
    CHECK(status_of("DeleteMessage", body) == 200); /* superseded: nothing happens */
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"" URL "\",\"ReceiptHandle\":\"%s\","
             "\"VisibilityTimeout\":0}",
             first);
    error_of("ChangeMessageVisibility", body, code);
    CHECK(strcmp(code, "InvalidParameterValue") == 0);
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"" URL "\",\"ReceiptHandle\":\"%s\","
             "\"VisibilityTimeout\":0}",
             second);
    CHECK(status_of("ChangeMessageVisibility", body) == 200);
    error_of("ChangeMessageVisibility", body, code);
    CHECK(strcmp(code, "MessageNotInflight") == 0);
    CHECK(receive("", second, &receives) && receives == 3);
    snprintf(body, sizeof body, "{\"QueueUrl\":\"" URL "\",\"ReceiptHandle\":\"%s\"}", second);
    CHECK(status_of("DeleteMessage", body) == 200);
    CHECK(status_of("DeleteMessage", body) == 200); /* again: succeeds */
    second[0] ^= 1;
    snprintf(body, sizeof body, "{\"QueueUrl\":\"" URL "\",\"ReceiptHandle\":\"%s\"}", second);
    error_of("DeleteMessage", body, code);
    CHECK(strcmp(code, "ReceiptHandleIsInvalid") == 0);
    CHECK(!receive("", second, &receives));
}

static void keeps_leases_and_knows_stale_handles(void **state)
{
    (void)state;
    with_client(lease_client);
}

static void leaving_client(void)
{
    char handle[128];
    int receives = 0, fd = dial();
    post_sqs(fd, "ReceiveMessage", "{\"QueueUrl\":\"" URL "\",\"WaitTimeSeconds\":20}");
    usleep(100000);
    close(fd);
    send_one("");
    CHECK(receive("", handle, &receives) && receives == 1);
}

static void gives_nothing_to_a_poll_whose_client_left(void **state)
{
    (void)state;
    with_client(leaving_client);
}

static void woken_client(void)
{
    int fd = dial();
    post_sqs(fd, "ReceiveMessage", "{\"QueueUrl\":\"" URL "\",\"WaitTimeSeconds\":20}");
    usleep(100000);
    int64_t began = clock_boot_ms();
    send_one(",\"MessageAttributes\":{\"attribName1\":{\"DataType\":\"String\","
             "\"StringValue\":\"attribValue 1\"}}");
    struct answer a = read_answer(fd);
    CHECK(a.status == 200 && json_object_object_length(a.json) == 1);
    CHECK(clock_boot_ms() - began < 10000);
    json_object_put(a.json);
    close(fd);
    began = clock_boot_ms();
    send_one(",\"DelaySeconds\":1");
    char handle[128];
    int receives;
    CHECK(receive(",\"WaitTimeSeconds\":10", handle, &receives));
    CHECK(clock_boot_ms() - began > 900 && clock_boot_ms() - began < 9000);
}

static void wakes_a_long_poll_at_once(void **state)
{
    (void)state;
    with_client(woken_client);
}

static void digest_client(void)
{
    struct answer a = sqs("SendMessage", "{\"QueueUrl\":\"" URL
                                         "\",\"MessageBody\":\"hello\",\"MessageAttributes\":"
                                         "{\"attribName1\":{\"DataType\":\"String\","
                                         "\"StringValue\":\"attribValue 1\"}}}");
    CHECK(strcmp(text_at(a.json, "MD5OfMessageBody"), "5d41402abc4b2a76b9719d911017c592") == 0);
    CHECK(strcmp(text_at(a.json, "MD5OfMessageAttributes"), "19e27d4e946b072f3f58da80d94fd778") ==
          0);
    json_object_put(a.json);
    a = sqs("SendMessage", "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"x\",\"MessageAttributes\":"
                           "{\"binaryAttribute\":{\"DataType\":\"Binary\","
                           "\"BinaryValue\":\"SGVsbG8gYmluYXJ5IHdvcmxkIQ==\"}}}");
    CHECK(strcmp(text_at(a.json, "MD5OfMessageAttributes"), "31a92b15d92f8db860eda32aceb656c3") ==
          0);
    json_object_put(a.json);
}

static void digests_as_sdks_check(void **state)
{
    (void)state;
    with_client(digest_client);
}

static void error_client(void)
{
    struct answer a = sqs("GetQueueUrl", "{\"QueueName\":\"nobody\"}");
    CHECK(a.status == 400);
    CHECK(strcasestr(a.head, "x-amzn-query-error: "
                             "AWS.SimpleQueueService.NonExistentQueue;Sender"));
    CHECK(strcasestr(a.head, "Content-Type: application/x-amz-json-1.0"));
    CHECK(strcmp(text_at(a.json, "__type"), "com.amazonaws.sqs#QueueDoesNotExist") == 0);
    json_object_put(a.json);
    static const struct {
        const char *operation, *body, *code;
    } cases[] = {
        {"Nonsense", "{}", "UnknownOperationException"},
        {"ListQueues", "{", "SerializationException"},
        {"ListQueues", "[]", "SerializationException"},
        {"ListQueues", "", "SerializationException"},
        {"SendMessage", "{\"QueueUrl\":\"" URL "\"}", "MissingParameter"},
        {"SendMessage", "{\"QueueUrl\":\"" URL "\",\"MessageBody\":1}", "SerializationException"},
        {"SendMessage", "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"\\u0001\"}",
         "InvalidMessageContents"},
        {"SendMessageBatch", "{\"QueueUrl\":\"" URL "\",\"Entries\":[1]}",
         "SerializationException"},
        {"SendMessageBatch", "{\"QueueUrl\":\"" URL "\"}", "EmptyBatchRequest"},
        {"ReceiveMessage", "{\"QueueUrl\":\"" URL "\",\"MaxNumberOfMessages\":11}",
         "InvalidParameterValue"},
        {"CreateQueue", "{\"QueueName\":\"people.fifo\"}", "InvalidParameterValue"},
        {"TagQueue", "{\"QueueUrl\":\"" URL "\"}", "UnsupportedOperation"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char code[64];
        error_of(cases[i].operation, cases[i].body, code);
        if (strcmp(code, cases[i].code) != 0 && !*trouble)
            snprintf(trouble, sizeof trouble, "%s: '%s', not %s", cases[i].operation, code,
                     cases[i].code);
    }
    int fd = dial();
    post(fd, "/", "X-Amz-Target: AmazonSQS.ListQueues\r\n", "{}");
    a = read_answer(fd);
    CHECK(a.status == 403);
    json_object_put(a.json);
    close(fd);
}

static void errors_have_the_shape_of_aws(void **state)
{
    (void)state;
    with_client(error_client);
}

static int token_status(const char *realm, const char *secret)
{
    char path[128], body[128];
    int fd = dial();
    snprintf(path, sizeof path, "/realms/%s/protocol/openid-connect/token", realm);
    snprintf(body, sizeof body, "grant_type=client_credentials&client_id=luahost&client_secret=%s",
             secret);
    post(fd, path, "Content-Type: application/x-www-form-urlencoded\r\n", body);
    struct answer a = read_answer(fd);
    json_object_put(a.json);
    close(fd);
    return a.status;
}

static void keycloak_client(void)
{
    CHECK(token_status("demo", "a%26b%2Bc") == 200);
    CHECK(token_status("demo", "wrong") == 401);
    CHECK(token_status("nowhere", "x") == 404);
}

static void has_a_realm_to_register_in(void **state)
{
    (void)state;
    with_client(keycloak_client);
}

static int open_poll = -1;

static void start_poll(void)
{
    open_poll = dial();
    post_sqs(open_poll, "ReceiveMessage", "{\"QueueUrl\":\"" URL "\",\"WaitTimeSeconds\":20}");
    usleep(100000);
}

static void stops_with_a_poll_open(void **state)
{
    (void)state;
    with_client(start_poll);
    struct sandbox_options o = options();
    struct err e;
    sandbox_free(sandbox);
    struct answer a = read_answer(open_poll); /* ends, rather than waits */
    close(open_poll);
    assert_int_equal(a.status, 0);
    sandbox = sandbox_new(loop, &o, &e);
    assert_non_null(sandbox);
}

static void says_what_is_wrong_with_options(void **state)
{
    (void)state;
    static const struct {
        const char *queue, *realm, *listen;
        int code;
        const char *words;
    } cases[] = {
        {"a b", NULL, "127.0.0.1:0", EDOM, "\"a b\""},
        {"people", "{", "127.0.0.1:0", EDOM, "own.json is no JSON"},
        {"people", "{\"name\":1}", "127.0.0.1:0", EDOM, "own.json is no realm export"},
        {"people", "[]", "127.0.0.1:0", EDOM, "own.json is no realm export"},
        {"people", "{\"realm\":\"demo\"}", "0.0.0.0:0", EACCES, "other machines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sandbox_options o = options();
        const char *const names[] = {cases[i].queue, NULL};
        const struct sandbox_realm realm = {"own.json", cases[i].realm,
                                            cases[i].realm ? strlen(cases[i].realm) : 0};
        struct err e;
        o.queues = names;
        o.listen = cases[i].listen;
        o.realms = &realm;
        o.realm_count = cases[i].realm != NULL;
        assert_null(sandbox_new(loop, &o, &e));
        assert_int_equal(e.code, cases[i].code);
        assert_non_null(strstr(e.text, cases[i].words));
        assert_null(strstr(e.text, "traceback"));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_leases_and_knows_stale_handles),
        TEST(gives_nothing_to_a_poll_whose_client_left),
        TEST(wakes_a_long_poll_at_once),
        TEST(digests_as_sdks_check),
        TEST(errors_have_the_shape_of_aws),
        TEST(has_a_realm_to_register_in),
        TEST(stops_with_a_poll_open),
        TEST(says_what_is_wrong_with_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
