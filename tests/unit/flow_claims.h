/* The small world of flow_world.h with a shared store, whose calls wait for the test's answers. */
#ifndef TESTS_FLOW_CLAIMS_H
#define TESTS_FLOW_CLAIMS_H

#include "flow_world.h"

#include <cmocka.h>

enum { CALLS = 32, CLAIM_MS = 58000 };

static struct world w;
static struct shared_call *calls[CALLS];
static int call_count;

static inline void start_calls(void *self, struct list *list)
{
    struct list *node;
    (void)self;
    while ((node = list_pop(list))) {
        struct shared_call *c = list_entry(node, struct shared_call, node);
        c->sent_ms = w.now_ms;
        calls[call_count++] = c;
    }
}

static inline struct flow_options claims_options(bool closed)
{
    struct flow_options o = world_options();
    o.key = "/k";
    o.claim_ms = CLAIM_MS;
    o.remember_ms = 3600000;
    o.claims_closed = closed;
    return o;
}

static inline void begin_as(const struct flow_options *o, int workers, int slots)
{
    static const struct shared_ops ops = {start_calls};
    call_count = 0;
    world_begin_shared(&w, o, workers, slots, (struct shared){&ops, NULL, 5000});
}

static inline void begin_at(bool closed, int slots, int max_receives)
{
    struct flow_options o = claims_options(closed);
    o.max_receives = max_receives;
    o.dead_letters = max_receives > 0;
    begin_as(&o, 1, slots);
}

static inline void begin_with(bool closed, int slots)
{
    begin_at(closed, slots, 0);
}

static inline void begin(bool closed)
{
    begin_with(closed, 10);
}

static inline void answer_at(int i, enum shared_op op, enum shared_answer with)
{
    assert_true(call_count > i);
    struct shared_call *c = calls[i];
    memmove(calls + i, calls + i + 1, sizeof *calls * (size_t)(--call_count - i));
    assert_int_equal(c->op, op);
    c->answer = with;
    c->wait_ms = with == SHARED_HELD ? 20000 : -1;
    c->done(c);
}

/* Answers the oldest call, which is of that kind. */
static inline void answer(enum shared_op op, enum shared_answer with)
{
    answer_at(0, op, with);
}

/* Answers the claim of that key. */
static inline void answer_claim_of(const char *key, enum shared_answer with)
{
    int i = 0;
    while (i < call_count && strcmp(calls[i]->key, key) != 0)
        i++;
    answer_at(i, SHARED_CLAIM, with);
}

/* So many messages a, b, c, with the keys 1, 2, 3. */
static inline void bring_some(int count)
{
    struct queue_receive *r = world_take_answer(&w);
    for (int i = 0; i < count; i++) {
        char body[20];
        snprintf(body, sizeof body, "{\"k\":%d}", i + 1);
        list_append(&r->jobs,
                    &world_job_with((const char *[]){"a", "b", "c"}[i], body, NULL)->node);
    }
    r->done(r);
}

/* Leases go on meanwhile. */
static inline void pass_extended(int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += 1000) {
        world_answer_all(&w);
        world_pass(&w, ms - passed < 1000 ? ms - passed : 1000);
    }
    world_answer_all(&w);
}

static inline void bring(void)
{
    bring_some(1);
}

#endif
