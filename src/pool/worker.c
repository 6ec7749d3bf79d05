/* The worker thread. Every turn: wait for events, take the mail, deliver HTTP completions, run
 * Lua, post what came of it in one go. */
#include "pool/worker.h"

#include "base/clock.h"
#include "base/metric.h"
#include "vm/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void on_nudge(struct ev_loop *loop, ev_async *a, int events)
{
    (void)loop;
    (void)a;
    (void)events;
}

/* What the loop calls back between is work too. */
static void on_waits(struct ev_loop *loop, ev_prepare *p, int events)
{
    struct worker *w = p->data;
    (void)loop;
    (void)events;
    atomic_store_explicit(&w->busy_since_ms, 0, memory_order_relaxed);
}

static void on_wakes(struct ev_loop *loop, ev_check *c, int events)
{
    struct worker *w = c->data;
    (void)loop;
    (void)events;
    atomic_store_explicit(&w->busy_since_ms, clock_boot_ms(), memory_order_relaxed);
}

static void start_heartbeat(struct worker *w)
{
    ev_prepare_init(&w->waits, on_waits);
    ev_set_priority(&w->waits, EV_MINPRI);
    ev_check_init(&w->wakes, on_wakes);
    ev_set_priority(&w->wakes, EV_MAXPRI);
    w->waits.data = w->wakes.data = w;
    ev_prepare_start(w->loop, &w->waits);
    ev_check_start(w->loop, &w->wakes);
    atomic_store(&w->busy_since_ms, clock_boot_ms());
}

static void port_verdict(void *arg, struct job *job)
{
    struct worker *w = arg;
    for (int i = 0; i < w->vm_options->slots; i++)
        if (w->open[i] == job)
            w->open[i] = NULL;
    list_append(&w->verdicts, &job->node);
}

static void port_ask_token(void *arg, struct token_request *req)
{
    struct worker *w = arg;
    req->worker = w->index;
    list_append(&w->questions, &req->node);
}

static void take_job(struct worker *w, struct job *job)
{
    for (int i = 0; i < w->vm_options->slots; i++) {
        if (!w->open[i]) {
            w->open[i] = job;
            break;
        }
    }
    vm_run(w->handler.current, job);
}

static void cancel_fenced(struct worker *w)
{
    for (int i = 0; i < w->vm_options->slots; i++)
        if (w->open[i] && atomic_load(&w->open[i]->fence))
            generations_cancel(&w->handler, w->open[i]);
}

static void take_mail(struct worker *w)
{
    struct list mail, *node;
    list_init(&mail);
    generations_hear(&w->handler);
    mailbox_take(&w->jobs, &mail);
    while ((node = list_pop(&mail)))
        take_job(w, list_entry(node, struct job, node));
    mailbox_take(&w->tokens, &mail);
    while ((node = list_pop(&mail)))
        generations_token_answer(&w->handler, list_entry(node, struct token_request, node));
    if (atomic_exchange(&w->cancels, false))
        cancel_fenced(w);
}

static void post_mail(struct worker *w)
{
    mailbox_post(w->home.tokens, &w->questions);
    mailbox_post(w->home.verdicts, &w->verdicts);
}

/* Runs what can run, and posts what came of it. */
static void run_lua(struct worker *w)
{
    generations_turn(&w->handler);
    metric_set(w->memory, NULL, (double)generations_memory_bytes(&w->handler));
    post_mail(w);
    if (w->handler.news != w->told) {
        w->told = w->handler.news;
        ev_async_send(w->home.loop, w->home.state_changed);
    }
}

static void turn(struct worker *w)
{
    ev_run(w->loop, EVRUN_ONCE);
    take_mail(w);
    fetch_turn(w->fetch);
    run_lua(w);
}

static void tell_state(struct worker *w, enum worker_state state)
{
    atomic_store(&w->state, state);
    ev_async_send(w->home.loop, w->home.state_changed);
}

static int open_metrics(struct worker *w)
{
    static const struct metric_desc memory = {.name = "luahost_lua_memory_bytes",
                                              .help = "Memory of the Lua states of all workers.",
                                              .type = METRIC_GAUGE};
    if (!w->metrics)
        return 0;
    w->memory = metrics_open(w->metrics, w->writer, &memory, &w->error);
    return w->memory ? 0 : -1;
}

static int prepare(struct worker *w)
{
    struct generations *h = &w->handler;
    h->ports = (struct vm_ports){.arg = w,
                                 .loop = w->loop,
                                 .cache = w->cache,
                                 .metrics = w->metrics,
                                 .writer = w->writer,
                                 .verdict = port_verdict,
                                 .ask_token = port_ask_token};
    if (open_metrics(w) != 0)
        return -1;
    w->fetch = fetch_new(w->loop, &w->fetch_options, &w->error);
    if (!w->fetch)
        return -1;
    h->ports.fetch = w->fetch;
    if (generations_first(h, w->bundle, &w->error) != 0)
        return -1;
    run_lua(w);
    enum vm_init init;
    while ((init = vm_init_state(h->current, &w->error)) == VM_INIT_RUNNING &&
           !atomic_load(&w->stop))
        turn(w);
    return init == VM_INIT_READY ? 0 : -1;
}

static void release(struct worker *w)
{
    generations_free(&w->handler);
    if (w->fetch)
        fetch_free(w->fetch);
    metric_set(w->memory, NULL, 0);
    post_mail(w);
    struct list left;
    list_init(&left);
    mailbox_take(&w->jobs, &left); /* came after the last turn: they go home unrun */
    struct list *node;
    while ((node = list_pop(&left))) {
        struct job *job = list_entry(node, struct job, node);
        job->outcome = OUTCOME_RELEASE;
        list_append(&w->verdicts, &job->node);
    }
    post_mail(w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    if (prepare(w) == 0) {
        tell_state(w, WORKER_READY);
        while (!w->trial && !atomic_load(&w->stop))
            turn(w);
    } else {
        tell_state(w, WORKER_FAILED);
    }
    release(w);
    atomic_store(&w->busy_since_ms, 0);
    atomic_store(&w->done, true);
    ev_async_send(w->home.loop, w->home.state_changed); /* it can be joined */
    return NULL;
}

static void release_core_side(struct worker *w)
{
    ev_async_stop(w->loop, &w->nudge);
    ev_prepare_stop(w->loop, &w->waits);
    ev_check_stop(w->loop, &w->wakes);
    struct list left, *node;
    list_init(&left);
    mailbox_take(&w->tokens, &left);
    while ((node = list_pop(&left))) {
        struct token_request *req = list_entry(node, struct token_request, node);
        token_unref(req->token);
        free(req);
    }
    mailbox_free(&w->jobs);
    mailbox_free(&w->tokens);
    ev_loop_destroy(w->loop);
    free(w->open);
    generations_offer(&w->handler, NULL); /* one that came after its end */
    bundle_unref(w->bundle);
}

int worker_start(struct worker *w, struct err *e)
{
    list_init(&w->verdicts);
    list_init(&w->questions);
    generations_init(&w->handler, w->vm_options, w->trial);
    w->open = calloc((size_t)w->vm_options->slots, sizeof *w->open);
    w->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!w->open || !w->loop) {
        free(w->open);
        bundle_unref(w->bundle);
        if (w->loop)
            ev_loop_destroy(w->loop);
        return err_set(e, 0, "worker %d: no memory or no file descriptors left", w->index);
    }
    mailbox_init(&w->jobs, w->loop);
    mailbox_init(&w->tokens, w->loop);
    ev_async_init(&w->nudge, on_nudge);
    ev_async_start(w->loop, &w->nudge);
    start_heartbeat(w);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc != 0) {
        release_core_side(w);
        return err_set(e, 0, "worker %d: no thread could be started (error %d)", w->index, rc);
    }
    return 0;
}

void worker_nudge(struct worker *w)
{
    ev_async_send(w->loop, &w->nudge);
}

/* Not pthread_timedjoin_np: its limit is a time of the wall clock, which may jump. Its sister that
 * takes another clock is unknown to the thread sanitizer. */
bool worker_join(struct worker *w, int wait_ms)
{
    static const struct timespec nap = {.tv_nsec = 1000000};
    int64_t until_us = clock_mono_us() + wait_ms * INT64_C(1000);
    int rc;
    while ((rc = pthread_tryjoin_np(w->thread, NULL)) == EBUSY && clock_mono_us() < until_us)
        nanosleep(&nap, NULL);
    if (rc != 0)
        return false;
    release_core_side(w);
    return true;
}
