/* The small world of flow_world.h with limits, a board and messages that call targets. */
#ifndef TESTS_FLOW_LIMITS_H
#define TESTS_FLOW_LIMITS_H

#include "board.h"
#include "flow_world.h"

#include <cmocka.h>

#define KC "http://kc:80"
#define MAIL "http://mail:25"

static struct world w;
static struct board board;
static int next_id;

static inline struct flow_options options(void)
{
    struct flow_options o = world_options();
    memset(&board, 0, sizeof board);
    o.limit.on = true;
    o.breaker_failures = 5;
    o.breaker_window_ms = 10000;
    o.board = &board;
    o.log_settled = 0;
    return o;
}

static inline void begin(const struct flow_options *o, int workers, int slots)
{
    next_id = 1;
    world_begin(&w, o, workers, slots);
}

/* The limit of each target is given, not found. */
static inline void begin_fixed(int limit, int workers, int slots)
{
    struct flow_options o = options();
    o.limit.fixed = limit;
    begin(&o, workers, slots);
}

/* Answers receives with as much as they ask for, and settlements, for so long; what runs stays. */
static inline void backlog(int64_t ms)
{
    for (int64_t end = w.now_ms + ms; w.now_ms < end; world_pass(&w, 10)) {
        world_answer_all(&w);
        while (w.receive_count > 0) {
            int max = w.receives[0]->max;
            world_bring(&w, next_id, max);
            next_id += max;
        }
    }
}

static inline void called(struct job *job, const char *target, enum call_end end, int64_t rtt_ms,
                          int64_t retry_after_ms)
{
    struct target_call *c = job_add_call(job);
    assert_non_null(c);
    snprintf(c->target, sizeof c->target, "%s", target);
    snprintf(c->name, sizeof c->name, "GET /");
    c->end = end;
    c->rtt_us = rtt_ms * 1000;
    c->started_ms = w.now_ms - rtt_ms;
    c->retry_after_ms = retry_after_ms;
}

static inline struct job *oldest(void)
{
    return list_entry(list_first(&w.running), struct job, node);
}

static inline void home(struct job *job, int64_t took_ms)
{
    char id[40];
    snprintf(id, sizeof id, "%s", job->id);
    job->duration_us = took_ms * 1000;
    world_verdict(&w, id, OUTCOME_ACK);
}

/* The oldest runs come home, each with one answered call that took a share of its time. */
static inline void come_home(int count, int64_t took_ms, double share)
{
    while (count-- > 0 && !list_empty(&w.running)) {
        called(oldest(), KC, CALL_ANSWERED, (int64_t)((double)took_ms * share), -1);
        home(oldest(), took_ms);
    }
}

static inline struct flow_view look(void)
{
    struct flow_view v;
    flow_look(w.flow, &v);
    return v;
}

static inline void see_limit(void *arg, const struct target_view *t)
{
    *(int *)arg = t->limit;
}

/* Of the only target there is. */
static inline int limit_now(void)
{
    int limit = 0;
    flow_each_target(w.flow, see_limit, &limit);
    return limit;
}

#endif
