#include "pool/pool.h"

#include "base/clock.h"
#include "pool/worker.h"
#include "vm/cache.h"

#include <stdlib.h>

enum { JOIN_MS = 3000, CACHE_BYTES = 64 << 20 };

struct pool {
    struct pool_options options;
    struct pool_events events;
    struct ev_loop *loop;
    struct mailbox verdicts;
    struct mailbox tokens;
    ev_async state_changed;
    struct cache *cache; /* host.cache, of all workers */
    struct worker *workers;
    int started;
};

static void on_state(struct ev_loop *loop, ev_async *a, int events)
{
    (void)loop;
    (void)a;
    (void)events;
}

static void release(struct pool *p)
{
    ev_async_stop(p->loop, &p->state_changed);
    mailbox_free(&p->verdicts);
    mailbox_free(&p->tokens);
    cache_free(p->cache);
    free(p->workers);
    free(p);
}

static int start(struct pool *p, int index, struct err *e)
{
    struct worker *w = &p->workers[index];
    w->index = index;
    w->vm_options = &p->options.vm;
    w->fetch_options = p->options.fetch;
    w->cache = p->cache;
    w->metrics = p->options.metrics;
    w->home = (struct worker_home){.verdicts = &p->verdicts,
                                   .tokens = &p->tokens,
                                   .loop = p->loop,
                                   .state_changed = &p->state_changed};
    return worker_start(w, e);
}

struct pool *pool_new(struct ev_loop *loop, const struct pool_options *options,
                      const struct pool_events *events, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    struct worker *workers = calloc((size_t)options->workers, sizeof *workers);
    struct cache *cache = cache_new(CACHE_BYTES);
    if (!p || !workers || !cache) {
        free(p);
        cache_free(cache);
        free(workers);
        err_set(e, 0, "no memory for %d workers", options->workers);
        return NULL;
    }
    p->options = *options;
    p->events = *events;
    p->loop = loop;
    p->workers = workers;
    p->cache = cache;
    mailbox_init(&p->verdicts, loop);
    mailbox_init(&p->tokens, loop);
    ev_async_init(&p->state_changed, on_state);
    ev_async_start(loop, &p->state_changed);
    for (; p->started < options->workers; p->started++) {
        if (start(p, p->started, e) != 0) {
            pool_free(p);
            return NULL;
        }
    }
    return p;
}

void pool_turn(struct pool *p)
{
    struct list mail, *node;
    list_init(&mail);
    mailbox_take(&p->tokens, &mail);
    while ((node = list_pop(&mail)))
        p->events.ask_token(p->events.arg, list_entry(node, struct token_request, node));
    if (mailbox_take(&p->verdicts, &mail))
        p->events.verdicts(p->events.arg, &mail);
}

enum pool_state pool_state(struct pool *p, struct err *e)
{
    enum pool_state state = POOL_READY;
    for (int i = 0; i < p->started; i++) {
        int s = atomic_load(&p->workers[i].state);
        if (s == WORKER_FAILED) {
            *e = p->workers[i].error;
            return POOL_FAILED;
        }
        if (s == WORKER_STARTING)
            state = POOL_STARTING;
    }
    return state;
}

bool pool_look(const struct pool *p, int worker, struct worker_view *view)
{
    static const char *const names[] = {
        [WORKER_STARTING] = "starting", [WORKER_READY] = "ready", [WORKER_FAILED] = "failed"};
    if (worker < 0 || worker >= p->started)
        return false;
    const struct worker *w = &p->workers[worker];
    int64_t since_ms = atomic_load(&w->busy_since_ms);
    view->state = names[atomic_load(&w->state)];
    view->in_one_turn_ms = since_ms ? clock_boot_ms() - since_ms : 0;
    return true;
}

static void seam_run(void *self, int worker, struct list *jobs)
{
    struct pool *p = self;
    mailbox_post(&p->workers[worker].jobs, jobs);
}

static void seam_cancel(void *self, struct job *job)
{
    struct pool *p = self;
    struct worker *w = &p->workers[job->worker];
    atomic_store(&w->cancels, true);
    worker_nudge(w);
}

struct workers pool_seam(struct pool *p)
{
    static const struct pool_ops ops = {.run = seam_run, .cancel = seam_cancel};
    return (struct workers){
        .ops = &ops, .self = p, .count = p->started, .slots = p->options.vm.slots};
}

void pool_token_answer(struct pool *p, struct token_request *request)
{
    mailbox_post_one(&p->workers[request->worker].tokens, &request->node);
}

/* Questions that nobody will answer any more. */
static void drop_questions(struct pool *p)
{
    struct list left, *node;
    list_init(&left);
    mailbox_take(&p->tokens, &left);
    while ((node = list_pop(&left)))
        free(list_entry(node, struct token_request, node));
}

bool pool_free(struct pool *p)
{
    if (!p)
        return true;
    bool all = true;
    for (int i = 0; i < p->started; i++) {
        atomic_store(&p->workers[i].stop, true);
        worker_nudge(&p->workers[i]);
    }
    for (int i = 0; i < p->started; i++)
        all = worker_join(&p->workers[i], JOIN_MS) && all;
    struct list jobs;
    list_init(&jobs);
    if (mailbox_take(&p->verdicts, &jobs))
        p->events.verdicts(p->events.arg, &jobs);
    drop_questions(p);
    if (all)
        release(p);
    return all;
}
