/* A pool of real workers on real loops, for the tests of pool/: jobs are given and come home. Each
 * test has one, between begin and end. */
#ifndef TESTS_POOL_SCENE_H
#define TESTS_POOL_SCENE_H

#include "base/clock.h"
#include "pool/pool.h"
#include "vm/bundle.h"

#include <ev.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { OUT_MAX = 16 };

static struct {
    struct ev_loop *loop;
    struct pool *pool;
    int home;
    int outcomes[8];
    int tokens_asked;
    const char *token_text;    /* NULL: refuse */
    struct job *out[OUT_MAX];  /* the first that were given and have not come home */
    int stuck, back, given_up; /* as the pool has told */
} t;

static struct metrics *counted; /* of the next pool; NULL: nothing is counted */

static inline void on_verdicts(void *arg, struct list *jobs)
{
    (void)arg;
    struct list *node;
    while ((node = list_pop(jobs))) {
        struct job *job = list_entry(node, struct job, node);
        t.home++;
        t.outcomes[job->outcome]++;
        for (int i = 0; i < OUT_MAX; i++)
            if (t.out[i] == job)
                t.out[i] = NULL;
        job_free(job);
    }
}

static inline void on_ask(void *arg, struct token_request *req)
{
    (void)arg;
    t.tokens_asked++;
    if (t.token_text)
        req->token = token_new(t.token_text, 7, clock_boot_ms() + 60000);
    else
        err_set(&req->error, 0, "refused");
    pool_token_answer(t.pool, req);
}

/* As the flow does. */
static inline void on_stuck(void *arg, int worker)
{
    (void)arg;
    t.stuck++;
    for (int i = 0; i < OUT_MAX; i++) {
        if (!t.out[i] || t.out[i]->worker != worker)
            continue;
        atomic_store(&t.out[i]->fence, true);
        pool_seam(t.pool).ops->cancel(t.pool, t.out[i]);
        t.out[i]->worker = JOB_WORKER_STUCK;
        pool_seam(t.pool).ops->cancel(t.pool, t.out[i]); /* a lease that lapses asks again */
    }
}

static inline void on_back(void *arg, int worker)
{
    (void)arg;
    (void)worker;
    t.back++;
}

static inline void on_given_up(void *arg)
{
    (void)arg;
    t.given_up++;
}

static inline void turn(void)
{
    ev_run(t.loop, EVRUN_ONCE | EVRUN_NOWAIT);
    pool_turn(t.pool);
}

static inline void turn_until(bool (*done)(void))
{
    int64_t end = clock_boot_ms() + 20000;
    bool is_done;
    while (!(is_done = done()) && clock_boot_ms() < end)
        turn();
    assert_true(is_done);
}

static struct err failure;

static inline bool is_up(void)
{
    return pool_state(t.pool, &failure) != POOL_STARTING;
}

/* As it comes from the load phase: read, and sealed, or not read yet. */
static inline struct bundle *make_bundle(const char *handler, uint32_t generation)
{
    char folder[] = "/tmp/pool-XXXXXX", path[64];
    size_t len;
    struct err e = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/handler.lua", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(handler, f);
    fclose(f);
    struct bundle *b = bundle_new(path, "{}", generation);
    assert_non_null(bundle_file(b, path, &len, &e));
    unlink(path);
    rmdir(folder);
    if (generation == 1)
        bundle_seal(b);
    return b;
}

static inline void begin_watched(int workers, int slots, const char *handler, int64_t stuck_ms)
{
    memset(&t, 0, sizeof t);
    struct err e = {0};
    assert_int_equal(fetch_global_init(&e), 0);
    t.loop = ev_loop_new(EVFLAG_AUTO);
    struct pool_options o = {
        .workers = workers, .most = 8, .stuck_ms = stuck_ms, .metrics = counted};
    o.bundle = make_bundle(handler, 1);
    o.vm = (struct vm_options){.handler_path = "handler.lua",
                               .queue_name = "q",
                               .handler_json = "{}",
                               .limit_time_s = 10,
                               .limit_cpu_s = 5,
                               .limit_memory_bytes = 64 << 20,
                               .slots = slots,
                               .http_timeout_ms = 5000,
                               .http_connect_timeout_ms = 5000,
                               .http_max_body_bytes = 1 << 20,
                               .keycloak_url = "http://127.0.0.1:1",
                               .keycloak_realm = "demo"};
    o.fetch = (struct fetch_options){
        .connect_timeout_ms = 5000, .idle_connection_s = 20, .max_connections = 8};
    struct pool_events events = {NULL, on_verdicts, on_ask, on_stuck, on_back, on_given_up};
    t.pool = pool_new(t.loop, &o, &events, &e);
    assert_non_null(t.pool);
    bundle_unref(o.bundle);
    turn_until(is_up);
}

static inline void begin(int workers, int slots, const char *handler)
{
    begin_watched(workers, slots, handler, 0);
}

static inline void end(void)
{
    assert_int_equal(pool_free(t.pool), POOL_FREED);
    ev_loop_destroy(t.loop);
}

static inline struct job *make_job(int n)
{
    char text[200];
    snprintf(text, sizeof text,
             "{\"MessageId\":\"m%d\",\"ReceiptHandle\":\"h%d\",\"Body\":\"{\\\"n\\\":%d}\"}", n, n,
             n);
    return job_new(json_tokener_parse(text));
}

static inline void give(int worker, int first, int count)
{
    struct list jobs;
    list_init(&jobs);
    for (int i = 0; i < count; i++) {
        struct job *job = make_job(first + i);
        job->worker = worker;
        for (int k = 0; k < OUT_MAX; k++) {
            if (!t.out[k]) {
                t.out[k] = job;
                break;
            }
        }
        list_append(&jobs, &job->node);
    }
    struct workers seam = pool_seam(t.pool);
    seam.ops->run(seam.self, worker, &jobs);
}

static int wanted;

static inline bool all_home(void)
{
    return t.home >= wanted;
}

static inline int threads(void)
{
    char line[200];
    int n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "Threads: %d", &n);
    if (f)
        fclose(f);
    return n;
}

static int threads_wanted;

static inline bool threads_are_gone(void)
{
    return threads() <= threads_wanted;
}

/* ---- a new generation ---- */

static enum pool_replacing replaced;

static inline bool is_replaced(void)
{
    replaced = pool_replacing(t.pool, &failure);
    return replaced == REPLACING_DONE || replaced == REPLACING_REFUSED;
}

static inline enum pool_replacing replace(const char *handler, uint32_t generation)
{
    struct err e = {0};
    failure = (struct err){0};
    assert_int_equal(pool_replace(t.pool, make_bundle(handler, generation), &e), 0);
    turn_until(is_replaced);
    return replaced;
}

static inline bool is_one(void)
{
    return !pool_two(t.pool);
}

#define HANDLER(body)                                                                              \
    "local host = require 'host'\nreturn { handle = function(msg)\n" body "\nend }"

#endif
