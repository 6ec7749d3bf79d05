/* Memory runs out at the nth allocation that our own code makes, for every n. Each time the call
 * must end in one of the ways its header names, and the client must work on afterwards. The
 * libraries are spared, since they do not survive it: libev aborts, json-c 0.16 copies a key to
 * NULL, libcurl 7.88 divides by zero in a hash table it could not grow. Sanitizers bring their
 * own malloc: there nothing fails, and the calls are only made. */
#include "aws/claim_table.h"
#include "aws/sqs.h"

#include "base/log.h"

#include <errno.h>
#include <ev.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "capture_server.h"

static __thread long fail_at; /* 0: never; counts down in the thread that set it */
static __thread bool failed;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
extern char __executable_start, etext; /* the linker's: where our code begins and ends */

static bool fails(const void *caller)
{
    bool ours = (const char *)caller >= &__executable_start && (const char *)caller < &etext;
    if (fail_at == 0 || !ours || --fail_at > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
#endif

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 178\r\n\r\n"
    "{\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\",\"Attributes\":"
    "{\"MessageGroupId\":\"g\"}}],\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"1\","
    "\"SenderFault\":false,\"Code\":\"X\"}]}";

static void say(struct connection *c)
{
    while (server_read(c))
        server_say(c, ANSWER);
}

struct scene {
    struct server server;
    struct ev_loop *loop;
    struct fetch *fetch;
    struct creds *creds;
    struct sqs *sqs;
    struct queue queue;
    struct dynamodb *table;
    struct claim_table *claims;
};

static bool finished;

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

/* A timer that is armed fires in the next turn. */
static struct timer *armed;

static void arm(void *self, struct timer *t, int64_t delay_ms)
{
    (void)self, (void)delay_ms;
    armed = t;
}

static void stop(void *self, struct timer *t)
{
    (void)self, (void)t;
    armed = NULL;
}

static uint64_t zero(void *self)
{
    (void)self;
    return 0;
}

static void on_guard(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)w;
    (void)events;
}

static void turn(struct scene *s)
{
    ev_timer guard;
    ev_timer_init(&guard, on_guard, 15., 0.);
    ev_now_update(s->loop);
    ev_timer_start(s->loop, &guard);
    while (!finished && ev_is_active(&guard)) {
        struct timer *t = armed;
        armed = NULL;
        if (t)
            t->fire(t);
        ev_run(s->loop, armed ? EVRUN_NOWAIT : EVRUN_ONCE);
        fetch_turn(s->fetch);
    }
    ev_timer_stop(s->loop, &guard);
    fail_at = 0;
    assert_true(finished);
}

static int free_jobs(struct list *jobs)
{
    int count = 0;
    struct list *node;
    while ((node = list_pop(jobs))) {
        job_free(list_entry(node, struct job, node));
        count++;
    }
    return count;
}

static void receive(struct scene *s, long nth)
{
    struct queue_receive r = {.max = 1, .wait_s = 0, .visibility_s = 30, .done = received};
    list_init(&r.jobs);
    finished = failed = false;
    fail_at = nth;
    int rc = s->queue.ops->receive(s->queue.self, &r);
    if (rc == 0)
        turn(s);
    fail_at = 0;
    int jobs = free_jobs(&r.jobs);
    if (r.result.status == QUEUE_OK)
        assert_in_range(jobs, failed ? 0 : 1, 1);
    else
        assert_true(failed && jobs == 0 && strlen(r.result.text) > 0);
    if (rc != 0)
        assert_int_equal(r.result.status, QUEUE_BUSY);
    assert_null(r.call);
}

static void settle(struct scene *s, long nth)
{
    struct queue_batch b = {.op = QUEUE_DELETE, .count = 2, .done = batched};
    b.entries[0].handle = b.entries[1].handle = "h";
    finished = failed = false;
    fail_at = nth;
    if (s->queue.ops->batch(s->queue.self, &b) == 0)
        turn(s);
    fail_at = 0;
    if (b.result.status == QUEUE_OK)
        assert_true(b.entries[0].ok);
    else
        assert_true(failed && !b.entries[0].ok && strlen(b.result.text) > 0);
    assert_false(b.entries[1].ok);
    assert_null(b.call);
}

static void claimed(struct shared_call *call)
{
    (void)call;
    finished = true;
}

static void claim(struct scene *s, long nth)
{
    struct shared_call call = {.op = SHARED_DONE,
                               .key = "k",
                               .body = "b",
                               .body_len = 1,
                               .token = "t",
                               .for_ms = 1000,
                               .done = claimed};
    struct list calls;
    struct shared store = claim_table_seam(s->claims);
    list_init(&calls);
    list_append(&calls, &call.node);
    finished = failed = false;
    fail_at = nth;
    store.ops->start(store.self, &calls);
    if (list_empty(&calls))
        turn(s);
    fail_at = 0;
    if (call.answer != SHARED_OK)
        assert_true(failed && strlen(call.text) > 0);
    assert_null(call.call);
}

static void make_claims(struct scene *s, struct err *e)
{
    static const struct timer_ops timer_ops = {.arm = arm, .stop = stop};
    struct timers timers = {.ops = &timer_ops};
    static const struct random_ops random_ops = {.next = zero};
    struct random random = {.ops = &random_ops};
    struct dynamodb_options where = {
        .table = "claims", .endpoint = s->server.url, .region = "eu-west-1"};
    struct claim_table_options o = {.scope = "e/0/q", .remember_ms = 1000};
    s->table = dynamodb_new(&where, s->fetch, s->creds, e);
    if (s->table)
        s->claims = claim_table_new(&o, s->table, &timers, &random);
    if (s->table && !s->claims)
        err_set(e, 0, "no memory");
}

static void scene_free(struct scene *s)
{
    claim_table_free(s->claims);
    dynamodb_free(s->table);
    sqs_free(s->sqs);
    fetch_free(s->fetch);
    creds_free(s->creds);
    s->claims = NULL;
    s->table = NULL;
    s->sqs = NULL;
    s->fetch = NULL;
    s->creds = NULL;
}

/* False: some part could not be made. */
static bool scene_new(struct scene *s, struct err *e)
{
    char url[100];
    struct fetch_options options = {.max_connections = 4};
    snprintf(url, sizeof url, "%.60s/0/q", s->server.url);
    struct sqs_options o = {.queue_url = url};
    s->sqs = NULL;
    s->fetch = fetch_new(s->loop, &options, e);
    s->creds = s->fetch ? creds_new(e) : NULL;
    if (s->creds)
        s->sqs = sqs_new(&o, s->fetch, s->creds, e);
    if (!s->sqs)
        return false;
    s->queue = sqs_queue(s->sqs);
    make_claims(s, e);
    return s->claims != NULL;
}

/* A client that has made calls before, and one whose buffers and pools are still empty. */
static void at_every_allocation(void **state)
{
    struct scene *s = *state;
    struct err e = {0};
    for (int warm = 0; warm < 2; warm++) {
        bool any = true;
        for (long n = 1; any; n++) {
            assert_true(n < 500);
            if (!s->sqs)
                assert_true(scene_new(s, &e));
            receive(s, n);
            any = failed;
            settle(s, n);
            any |= failed;
            claim(s, n);
            any |= failed;
            receive(s, 0);
            settle(s, 0);
            claim(s, 0);
            if (!warm)
                scene_free(s);
        }
    }
    scene_free(s);
}

static void while_being_made(void **state)
{
    struct scene *s = *state;
    struct err e = {0};
    for (long n = 1; n < 3000; n++) {
        failed = false;
        fail_at = n;
        bool made = scene_new(s, &e);
        fail_at = 0;
        assert_true(made || failed);
        if (!made)
            assert_true(strlen(e.text) > 0);
        else
            receive(s, 0);
        scene_free(s);
        if (!failed)
            return;
    }
    fail_msg("it never needs fewer");
}

static int set_up(void **state)
{
    static struct scene s;
    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    server_start(&s.server, say, NULL);
    s.loop = ev_loop_new(EVFLAG_AUTO);
    *state = &s;
    return s.loop ? 0 : -1;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    ev_loop_destroy(s->loop);
    server_stop(&s->server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(at_every_allocation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_being_made, set_up, tear_down),
    };
    struct err e;
    if (fetch_global_init(&e) != 0)
        return 1;
    log_setup(LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
