#include "pool/pool_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "vm/bundle.h"
#include "vm/cache.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    JOIN_MS = 3000,
    CACHE_BYTES = 64 << 20,
    REPLACE_MS = 60000, /* a trial, and as long again for the workers */
    LOADING_MAX = 2,    /* workers that load the next generation at once */
};

static void on_state(struct ev_loop *loop, ev_async *a, int events)
{
    (void)loop;
    (void)a;
    (void)events;
}

static void free_seats(struct worker **workers, int most)
{
    for (int i = 0; workers && i <= most; i++)
        free(workers[i]);
    free(workers);
}

static struct worker **make_seats(int most)
{
    struct worker **workers = calloc((size_t)most + 1, sizeof *workers);
    for (int i = 0; workers && i <= most; i++) {
        workers[i] = calloc(1, sizeof **workers);
        if (!workers[i]) {
            free_seats(workers, most);
            return NULL;
        }
    }
    return workers;
}

static void release(struct pool *p)
{
    ev_async_stop(p->loop, &p->state_changed);
    mailbox_free(&p->verdicts);
    mailbox_free(&p->tokens);
    cache_free(p->cache);
    bundle_unref(p->bundle);
    bundle_unref(p->next);
    ev_timer_stop(p->loop, &p->stuck.watch);
    free_seats(p->workers, p->most);
    free(p);
}

int pool_start(struct pool *p, int index, struct err *e)
{
    struct worker *w = p->workers[index];
    int writer = w->writer ? w->writer : 1 + index;
    memset(w, 0, sizeof *w);
    w->index = index;
    w->writer = writer;
    w->trial = index == p->most;
    w->bundle = bundle_ref(w->trial ? p->next : p->bundle);
    w->vm_options = &p->options.vm;
    w->fetch_options = p->options.fetch;
    w->cache = p->cache;
    w->metrics = p->options.metrics;
    w->home = (struct worker_home){.verdicts = &p->verdicts,
                                   .tokens = &p->tokens,
                                   .loop = p->loop,
                                   .state_changed = &p->state_changed};
    w->live = worker_start(w, e) == 0;
    if (w->live && !w->trial && p->replacing == REPLACING_PREPARING)
        generations_offer(&w->handler, bundle_ref(p->next));
    stuck_watch(p);
    return w->live ? 0 : -1;
}

/* The metrics that its handler has declared. */
static void show_metrics(const struct pool *p)
{
    if (p->options.metrics)
        metrics_show(p->options.metrics, bundle_serial(p->bundle));
}

struct pool *pool_new(struct ev_loop *loop, const struct pool_options *options,
                      const struct pool_events *events, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    int most = options->most > options->workers ? options->most : options->workers;
    struct worker **workers = make_seats(most);
    struct cache *cache = cache_new(CACHE_BYTES);
    if (!p || !workers || !cache) {
        free(p);
        cache_free(cache);
        free_seats(workers, most);
        err_set(e, 0, "no memory for %d workers", options->workers);
        return NULL;
    }
    p->options = *options;
    p->bundle = bundle_ref(options->bundle);
    p->events = *events;
    p->loop = loop;
    p->workers = workers;
    p->most = most;
    p->wanted = options->workers;
    p->cache = cache;
    mailbox_init(&p->verdicts, loop);
    mailbox_init(&p->tokens, loop);
    ev_async_init(&p->state_changed, on_state);
    ev_async_start(loop, &p->state_changed);
    stuck_init(p);
    show_metrics(p);
    for (int i = 0; i < options->workers; i++) {
        if (pool_start(p, i, e) != 0) {
            pool_free(p);
            return NULL;
        }
    }
    return p;
}

/* ---- more and fewer ---- */

void pool_retire(struct worker *w)
{
    if (atomic_exchange(&w->stop, true))
        return;
    worker_nudge(w);
}

/* Threads that have ended: as they were told to, or because their handler's init failed. */
static void reap(struct pool *p)
{
    p->pending = false;
    for (int i = 0; i < p->most; i++) {
        struct worker *w = p->workers[i];
        if (!w->live)
            continue;
        int state = atomic_load(&w->state);
        bool ending = state == WORKER_FAILED || atomic_load(&w->stop);
        if (ending && atomic_load(&w->done) && worker_join(w, JOIN_MS)) {
            w->live = false;
            if (state == WORKER_FAILED)
                log_with(LOG_ERROR, "a worker could not start: its handler failed",
                         LF_INT("worker", i), LF_BLOCK("error", w->error.text));
            malloc_trim(0); /* its Lua state was most of it */
            if (state == WORKER_FAILED || i >= p->wanted)
                continue;
            pool_want(p, p->wanted);
        }
        p->pending |= ending || state == WORKER_STARTING;
    }
}

void pool_want(struct pool *p, int workers)
{
    struct err e = {0};
    p->wanted = workers < p->most ? workers : p->most;
    p->pending = true;
    for (int i = 0; i < p->wanted; i++) {
        if (p->workers[i]->live)
            continue;
        if (pool_start(p, i, &e) == 0)
            continue;
        log_with(LOG_ERROR, "no further worker can be started", LF_TEXT("error", e.text));
        break;
    }
    for (int i = p->wanted; i < p->most; i++)
        if (p->workers[i]->live)
            pool_retire(p->workers[i]);
}

static bool is_usable(const struct worker *w)
{
    return w->live && !atomic_load(&w->stop) && atomic_load(&w->state) == WORKER_READY;
}

int pool_usable(const struct pool *p)
{
    int n = 0;
    while (n < p->most && (n == p->stuck.awaited || is_usable(p->workers[n])))
        n++;
    return n;
}

int64_t pool_cpu_us(const struct pool *p, int worker)
{
    clockid_t clock;
    struct timespec t;
    if (worker >= p->most || !p->workers[worker]->live ||
        pthread_getcpuclockid(p->workers[worker]->thread, &clock) != 0 ||
        clock_gettime(clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- a new generation ---- */

int pool_replace(struct pool *p, struct bundle *b, struct err *e)
{
    p->next = b;
    p->refused = (struct err){0};
    if (pool_start(p, p->most, e) != 0) {
        bundle_unref(p->next);
        p->next = NULL;
        return -1;
    }
    p->replacing = REPLACING_TRIAL;
    p->patience_ends_ms = clock_boot_ms() + REPLACE_MS;
    return 0;
}

/* What workers have prepared is dropped with the next offer, or with them. */
void pool_refuse(struct pool *p, const struct err *why)
{
    p->refused = *why;
    p->replacing = REPLACING_REFUSED;
    bundle_unref(p->next);
    p->next = NULL;
}

/* Those that are ending prepare nothing any more. */
static bool takes_part(struct worker *w)
{
    return w->live && !atomic_load(&w->stop) && atomic_load(&w->state) != WORKER_FAILED;
}

/* A few load at once: that takes milliseconds of CPU, and with more workers than cores all of them
 * would stand still for as long as the slowest. */
static void offer_to_some(struct pool *p)
{
    int loading = 0;
    for (int i = 0; i < p->most; i++)
        loading += takes_part(p->workers[i]) && atomic_load(&p->workers[i]->handler.loading);
    for (int i = 0; i < p->most && loading < LOADING_MAX; i++) {
        struct worker *w = p->workers[i];
        if (!takes_part(w) || w->handler.asked == bundle_serial(p->next))
            continue;
        generations_offer(&w->handler, bundle_ref(p->next));
        worker_nudge(w);
        loading++;
    }
}

static void look_at_trial(struct pool *p)
{
    struct worker *w = p->workers[p->most];
    if (!w->live || !atomic_load(&w->done) || !worker_join(w, JOIN_MS))
        return;
    w->live = false;
    if (p->replacing != REPLACING_TRIAL)
        return; /* it took too long */
    if (atomic_load(&w->state) != WORKER_READY) {
        pool_refuse(p, &w->error);
        return;
    }
    bundle_seal(p->next);
    p->replacing = REPLACING_PREPARING;
    p->patience_ends_ms = clock_boot_ms() + REPLACE_MS;
}

static void go_over(struct pool *p)
{
    uint32_t serial = bundle_serial(p->next);
    bundle_unref(p->bundle);
    p->bundle = p->next;
    p->next = NULL;
    p->replacing = REPLACING_DONE;
    show_metrics(p);
    for (int i = 0; i < p->most; i++) {
        if (!takes_part(p->workers[i]))
            continue;
        generations_want(&p->workers[i]->handler, serial);
        worker_nudge(p->workers[i]);
    }
}

static void look_at_workers(struct pool *p)
{
    uint32_t serial = bundle_serial(p->next);
    for (int i = 0; i < p->most; i++) {
        struct worker *w = p->workers[i];
        if (!takes_part(w))
            continue;
        if (atomic_load(&w->handler.refused) == serial) {
            pool_refuse(p, &w->handler.error);
            return;
        }
        if (atomic_load(&w->handler.prepared) != serial)
            return;
    }
    go_over(p);
}

static void lose_patience(struct pool *p)
{
    struct err e = {0};
    err_set(&e, 0, "%s within %d s",
            p->replacing == REPLACING_TRIAL ? "init and selftest did not end"
                                            : "a worker did not get ready",
            REPLACE_MS / 1000);
    if (p->replacing == REPLACING_TRIAL)
        pool_retire(p->workers[p->most]);
    pool_refuse(p, &e);
}

static void replace_turn(struct pool *p)
{
    look_at_trial(p);
    if (p->replacing == REPLACING_PREPARING) {
        offer_to_some(p);
        look_at_workers(p);
    }
    if ((p->replacing == REPLACING_PREPARING || p->replacing == REPLACING_TRIAL) &&
        clock_boot_ms() >= p->patience_ends_ms)
        lose_patience(p);
}

enum pool_replacing pool_replacing(struct pool *p, struct err *e)
{
    enum pool_replacing r = p->replacing;
    if (r == REPLACING_REFUSED)
        *e = p->refused;
    if (r == REPLACING_DONE || r == REPLACING_REFUSED)
        p->replacing = REPLACING_NONE;
    return r;
}

bool pool_two(const struct pool *p)
{
    for (int i = 0; i <= p->most; i++)
        if (p->workers[i]->live && (i == p->most || atomic_load(&p->workers[i]->handler.two)))
            return true;
    return false;
}

/* ---- */

void pool_turn(struct pool *p)
{
    stuck_turn(p);
    if (p->up && p->pending)
        reap(p);
    replace_turn(p);
    struct list mail, *node;
    list_init(&mail);
    mailbox_take(&p->tokens, &mail);
    while ((node = list_pop(&mail)))
        p->events.ask_token(p->events.arg, list_entry(node, struct token_request, node));
    if (mailbox_take(&p->verdicts, &mail)) {
        p->stuck.out -= list_length(&mail);
        p->events.verdicts(p->events.arg, &mail);
    }
}

enum pool_state pool_state(struct pool *p, struct err *e)
{
    enum pool_state state = POOL_READY;
    for (int i = 0; i < p->most; i++) {
        if (!p->workers[i]->live)
            continue;
        if (p->workers[i]->fenced) {
            err_set(e, 0,
                    "the handler does not come back from C code when it is loaded. Likely: %s",
                    stuck_likely);
            return POOL_FAILED;
        }
        int s = atomic_load(&p->workers[i]->state);
        if (s == WORKER_FAILED) {
            *e = p->workers[i]->error;
            return POOL_FAILED;
        }
        if (s == WORKER_STARTING)
            state = POOL_STARTING;
    }
    p->up |= state == POOL_READY;
    return state;
}

bool pool_look(const struct pool *p, int worker, struct worker_view *view)
{
    static const char *const names[] = {
        [WORKER_STARTING] = "starting", [WORKER_READY] = "ready", [WORKER_FAILED] = "failed"};
    if (worker < 0 || worker >= p->most || !p->workers[worker]->live)
        return false;
    const struct worker *w = p->workers[worker];
    int64_t since_ms = atomic_load(&w->busy_since_ms);
    view->fenced = w->fenced;
    view->state = w->fenced ? "stuck" : names[atomic_load(&w->state)];
    view->in_one_turn_ms = since_ms ? clock_boot_ms() - since_ms : 0;
    return true;
}

static void seam_run(void *self, int worker, struct list *jobs)
{
    struct pool *p = self;
    p->stuck.out += list_length(jobs);
    mailbox_post(&p->workers[worker]->jobs, jobs);
    stuck_watch(p);
}

static void seam_cancel(void *self, struct job *job)
{
    struct pool *p = self;
    if (job->worker == JOB_WORKER_STUCK)
        return;
    struct worker *w = p->workers[job->worker];
    atomic_store(&w->cancels, true);
    worker_nudge(w);
}

struct workers pool_seam(struct pool *p)
{
    static const struct pool_ops ops = {.run = seam_run, .cancel = seam_cancel};
    return (struct workers){.ops = &ops, .self = p, .count = p->most, .slots = p->options.vm.slots};
}

void pool_token_answer(struct pool *p, struct token_request *request)
{
    struct worker *w = p->workers[request->worker];
    if (w->live) {
        mailbox_post_one(&w->tokens, &request->node);
        return;
    }
    token_unref(request->token); /* it has ended meanwhile */
    free(request);
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

enum pool_end pool_free(struct pool *p)
{
    if (!p)
        return POOL_FREED;
    bool stuck = false, fenced = false;
    for (int i = 0; i <= p->most; i++)
        if (p->workers[i]->live)
            pool_retire(p->workers[i]);
    for (int i = 0; i <= p->most; i++)
        if (p->workers[i]->fenced)
            fenced |= !stuck_has_ended(p->workers[i]);
        else if (p->workers[i]->live)
            stuck |= p->workers[i]->live = !worker_join(p->workers[i], JOIN_MS);
    fenced |= !stuck_join(p);
    struct list jobs;
    list_init(&jobs);
    if (mailbox_take(&p->verdicts, &jobs))
        p->events.verdicts(p->events.arg, &jobs);
    drop_questions(p);
    if (!stuck && !fenced)
        release(p);
    return stuck ? POOL_STUCK : fenced ? POOL_FENCED : POOL_FREED;
}
