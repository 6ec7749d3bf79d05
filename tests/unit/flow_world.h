/* A small world for the tests of flow/: virtual time, a queue whose calls wait to be answered
 * by the test, workers that keep what they are given, a memory store. */
#ifndef TESTS_FLOW_WORLD_H
#define TESTS_FLOW_WORLD_H

#include "flow/flow.h"
#include "policy/dedupe.h"
#include "seam.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORLD_CALLS = 64, WORLD_TIMERS = 64 };

struct world {
    int64_t now_ms;
    struct timer *timers[WORLD_TIMERS];
    int64_t due_ms[WORLD_TIMERS];
    struct queue_receive *receives[WORLD_CALLS];
    int receive_count;
    bool no_receives; /* they fail before they have begun */
    int refused;      /* these */
    int cancelled;
    struct queue_batch *batches[WORLD_CALLS];
    int batch_count;
    bool no_batches; /* they fail before they have begun */
    struct queue_copy *copies[WORLD_CALLS];
    int copy_count;
    enum queue_status no_copies; /* unless it is QUEUE_OK: they fail so before they have begun */
    int copies_refused;          /* these */
    struct list running;
    int cancels;
    bool varied; /* random numbers differ */
    uint64_t draws;
    bool random_set; /* each is `random` */
    uint64_t random;
    struct dedupe *dedupe;
    struct seam seam;
    struct flow *flow;
    bool ready, ended;
    enum flow_end end;
    char end_text[200];
};

static void world_arm(void *self, struct timer *t, int64_t delay_ms)
{
    struct world *w = self;
    int place = -1;
    for (int i = 0; i < WORLD_TIMERS; i++) {
        if (w->timers[i] == t) {
            place = i;
            break;
        }
        if (!w->timers[i] && place < 0)
            place = i;
    }
    w->timers[place] = t;
    w->due_ms[place] = w->now_ms + delay_ms;
    t->armed = true;
}

static void world_stop(void *self, struct timer *t)
{
    struct world *w = self;
    for (int i = 0; i < WORLD_TIMERS; i++)
        if (w->timers[i] == t)
            w->timers[i] = NULL;
    t->armed = false;
}

static inline int world_timers(const struct world *w)
{
    int n = 0;
    for (int i = 0; i < WORLD_TIMERS; i++)
        n += w->timers[i] != NULL;
    return n;
}

/* Lets time pass, firing what is due in order. */
static void world_pass(struct world *w, int64_t ms)
{
    int64_t end = w->now_ms + ms;
    for (;;) {
        int first = -1;
        for (int i = 0; i < WORLD_TIMERS; i++)
            if (w->timers[i] && w->due_ms[i] <= end && !w->ended &&
                (first < 0 || w->due_ms[i] < w->due_ms[first]))
                first = i;
        if (first < 0)
            break;
        struct timer *t = w->timers[first];
        if (w->due_ms[first] > w->now_ms)
            w->now_ms = w->due_ms[first];
        world_stop(w, t);
        t->fire(t);
    }
    w->now_ms = end;
}

static int world_receive(void *self, struct queue_receive *r)
{
    struct world *w = self;
    if (w->no_receives) {
        w->refused++;
        r->result = (struct queue_result){.status = QUEUE_BUSY, .retry_after_ms = -1};
        return -1;
    }
    w->receives[w->receive_count++] = r;
    return 0;
}

static void world_cancel_receive(void *self, struct queue_receive *r)
{
    struct world *w = self;
    for (int i = 0; i < w->receive_count; i++)
        if (w->receives[i] == r)
            w->receives[i] = w->receives[--w->receive_count];
    w->cancelled++;
}

static int world_batch(void *self, struct queue_batch *b)
{
    struct world *w = self;
    b->sent_ms = w->now_ms;
    if (w->no_batches) {
        b->result = (struct queue_result){.status = QUEUE_BUSY, .retry_after_ms = -1};
        return -1;
    }
    w->batches[w->batch_count++] = b;
    return 0;
}

static int world_copy(void *self, struct queue_copy *c)
{
    struct world *w = self;
    if (w->no_copies != QUEUE_OK) {
        w->copies_refused++;
        c->result = (struct queue_result){.status = w->no_copies, .retry_after_ms = -1};
        return -1;
    }
    w->copies[w->copy_count++] = c;
    return 0;
}

static void world_run(void *self, int worker, struct list *jobs)
{
    struct world *w = self;
    (void)worker;
    list_splice(&w->running, jobs);
}

static void world_cancel_job(void *self, struct job *job)
{
    struct world *w = self;
    (void)job;
    w->cancels++;
}

static enum claim world_claim(void *self, const struct job *job, const char *key, uint64_t hash)
{
    struct world *w = self;
    (void)job;
    enum dedupe_answer a = dedupe_claim(w->dedupe, key, hash, w->now_ms);
    return a == DEDUPE_NEW ? CLAIM_NEW : a == DEDUPE_DONE ? CLAIM_DONE : CLAIM_NO_MEMORY;
}

static void world_done(void *self, const struct job *job, const char *key, uint64_t hash)
{
    struct world *w = self;
    (void)job;
    dedupe_done(w->dedupe, key, hash, w->now_ms);
}

static void world_forget(void *self, const struct job *job)
{
    struct world *w = self;
    (void)job;
    dedupe_forget(w->dedupe);
}

static int64_t world_now(void *self)
{
    return ((struct world *)self)->now_ms;
}

static uint64_t world_random(void *self)
{
    struct world *w = self;
    if (w->random_set)
        return w->random;
    return w->varied ? UINT64_MAX / 2 + ++w->draws : UINT64_MAX / 2;
}

static void world_ready(void *arg)
{
    ((struct world *)arg)->ready = true;
}

static void world_ended(void *arg, enum flow_end end, const char *text)
{
    struct world *w = arg;
    if (w->ended)
        abort(); /* it ends once */
    w->ended = true;
    w->end = end;
    snprintf(w->end_text, sizeof w->end_text, "%s", text);
}

static inline struct flow_options world_options(void)
{
    return (struct flow_options){.queue_name = "q",
                                 .wait_s = 20,
                                 .batch = 10,
                                 .visibility_s = 30,
                                 .retry_base_s = 5,
                                 .retry_cap_s = 900,
                                 .hold_ms = 300000,
                                 .probe_ms = 2000,
                                 .drain_ms = 65000,
                                 .unreachable_ms = 60000,
                                 .log_settled = 1,
                                 .patience_ms = 60000};
}

static inline void world_begin_shared(struct world *w, const struct flow_options *options,
                                      int workers, int slots, struct shared shared)
{
    static const struct queue_ops queue = {world_receive, world_cancel_receive, world_batch,
                                           world_copy};
    static const struct pool_ops pool = {world_run, world_cancel_job};
    static const struct store_ops store = {world_claim, world_done, world_forget};
    static const struct timer_ops timers = {world_arm, world_stop};
    static const struct clock_ops clock = {world_now, world_now};
    static const struct random_ops random_numbers = {world_random};
    memset(w, 0, sizeof *w);
    w->now_ms = 1000000;
    list_init(&w->running);
    w->dedupe = dedupe_new(3600000, 1000);
    w->seam = (struct seam){.queue = {&queue, w},
                            .workers = {&pool, w, workers, slots},
                            .store = {&store, w},
                            .shared = shared,
                            .timers = {&timers, w},
                            .clock = {&clock, w},
                            .random = {&random_numbers, w}};
    struct flow_events events = {w, world_ready, world_ended};
    w->flow = flow_new(options, &w->seam, &events);
    flow_start(w->flow);
}

static inline void world_begin(struct world *w, const struct flow_options *options, int workers,
                               int slots)
{
    world_begin_shared(w, options, workers, slots, (struct shared){0});
}

static inline void world_end(struct world *w)
{
    struct list *node;
    flow_free(w->flow);
    for (int i = 0; i < WORLD_TIMERS; i++)
        if (w->timers[i]) /* it would fire into memory that is gone */
            abort();
    while ((node = list_pop(&w->running)))
        job_free(list_entry(node, struct job, node));
    dedupe_free(w->dedupe);
}

/* Handle h-ID; `deduplication_id` may be NULL. */
static inline struct job *world_job_with(const char *id, const char *body,
                                         const char *deduplication_id)
{
    struct json_object *m = json_object_new_object(), *system = json_object_new_object();
    char handle[40];
    snprintf(handle, sizeof handle, "h-%s", id);
    json_object_object_add(m, "MessageId", json_object_new_string(id));
    json_object_object_add(m, "ReceiptHandle", json_object_new_string(handle));
    json_object_object_add(m, "Body", json_object_new_string(body));
    json_object_object_add(m, "Attributes", system);
    if (deduplication_id)
        json_object_object_add(system, "MessageDeduplicationId",
                               json_object_new_string(deduplication_id));
    return job_new(m);
}

static inline struct job *world_job(const char *id, const char *handle, int receives)
{
    char text[400];
    snprintf(text, sizeof text,
             "{\"MessageId\":\"%s\",\"ReceiptHandle\":\"%s\",\"Body\":\"body of %s\","
             "\"Attributes\":{\"ApproximateReceiveCount\":\"%d\"}}",
             id, handle, id, receives);
    return job_new(json_tokener_parse(text));
}

/* The oldest open receive; small polls are spaced, so one may have to be waited for. */
static inline struct queue_receive *world_take_receive(struct world *w)
{
    for (int i = 0; w->receive_count == 0 && i < 100; i++)
        world_pass(w, 30);
    if (w->receive_count == 0)
        abort(); /* the test is wrong: nothing is open */
    struct queue_receive *r = w->receives[0];
    memmove(w->receives, w->receives + 1, sizeof *w->receives * (size_t)--w->receive_count);
    return r;
}

/* The same, for an answer that begins now: its jobs, and `done`, are the test's. */
static inline struct queue_receive *world_take_answer(struct world *w)
{
    struct queue_receive *r = world_take_receive(w);
    r->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
    r->first_byte_ms = w->now_ms;
    return r;
}

/* Answers the oldest open receive with `count` messages: m<first>, m<first+1>, … */
static inline void world_bring(struct world *w, int first, int count)
{
    struct queue_receive *r = world_take_answer(w);
    for (int i = 0; i < count; i++) {
        char id[20], handle[20];
        snprintf(id, sizeof id, "m%d", first + i);
        snprintf(handle, sizeof handle, "h%d", first + i);
        list_append(&r->jobs, &world_job(id, handle, 1)->node);
    }
    r->done(r);
}

static inline void world_bring_one(struct world *w, const char *id, const char *handle,
                                   int receives)
{
    struct queue_receive *r = world_take_answer(w);
    list_append(&r->jobs, &world_job(id, handle, receives)->node);
    r->done(r);
}

static inline void world_refuse(struct world *w, enum queue_status status)
{
    struct queue_receive *r = world_take_receive(w);
    r->result = (struct queue_result){.status = status, .retry_after_ms = -1};
    snprintf(r->result.text, sizeof r->result.text, "words");
    r->done(r);
}

static inline struct job *world_running(struct world *w, const char *id)
{
    list_for_each (node, &w->running) {
        struct job *job = list_entry(node, struct job, node);
        if (strcmp(job->id, id) == 0)
            return job;
    }
    return NULL;
}

static inline int world_running_count(struct world *w)
{
    int n = 0;
    list_for_each (node, &w->running)
        n++;
    return n;
}

static inline void world_home(struct world *w, const char *id, enum outcome outcome, bool ran)
{
    struct job *job = world_running(w, id);
    list_remove(&job->node);
    job->outcome = outcome;
    job->ran = ran;
    struct list jobs;
    list_init(&jobs);
    list_append(&jobs, &job->node);
    flow_verdicts(w->flow, &jobs);
}

static inline void world_verdict(struct world *w, const char *id, enum outcome outcome)
{
    world_home(w, id, outcome, true);
}

/* m1 is a dead letter whose copy is about to be sent; tries of it are far apart. */
static inline void world_begin_copying(struct world *w)
{
    struct flow_options o = world_options();
    o.dead_letters = true;
    world_begin(w, &o, 1, 1);
    w->random_set = true;
    w->random = 10000;
    world_bring(w, 1, 1);
    world_verdict(w, "m1", OUTCOME_REJECT);
}

/* The target's own failure, uncaught. */
static inline void world_target_failure(struct world *w, const char *id, const char *target)
{
    struct job *job = world_running(w, id);
    job->target_failed = true;
    atomic_store(&job->wire_until_ms, WIRE_ANSWERED);
    snprintf(job->target, sizeof job->target, "%s", target);
    world_verdict(w, id, OUTCOME_RETRY);
}

/* Takes the oldest batch off the wire; the caller fills in entries and calls world_answer. */
static inline struct queue_batch *world_take_batch(struct world *w)
{
    if (w->batch_count == 0)
        return NULL;
    struct queue_batch *b = w->batches[0];
    memmove(w->batches, w->batches + 1, sizeof *w->batches * (size_t)--w->batch_count);
    b->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
    for (int i = 0; i < b->count; i++)
        b->entries[i].ok = true;
    return b;
}

/* Answers the oldest copy on the wire. */
static inline void world_copied_with(struct world *w, enum queue_status status, int http_status)
{
    struct queue_copy *c = w->copies[0];
    memmove(w->copies, w->copies + 1, sizeof *w->copies * (size_t)--w->copy_count);
    c->result =
        (struct queue_result){.status = status, .http_status = http_status, .retry_after_ms = -1};
    c->done(c);
}

static inline void world_copied(struct world *w, enum queue_status status)
{
    world_copied_with(w, status, 0);
}

static inline void world_answer_all(struct world *w)
{
    struct queue_batch *b;
    while ((b = world_take_batch(w)))
        b->done(b);
}

#endif
