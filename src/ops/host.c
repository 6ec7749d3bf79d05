#include "ops/host_parts.h"

#include "aws/creds.h"
#include "aws/sqs.h"
#include "base/exit.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/flow.h"
#include "net/fetch.h"
#include "net/file_watch.h"
#include "ops/couple.h"
#include "ops/platform.h"
#include "ops/tokens.h"
#include "pool/pool.h"
#include "vm/bundle.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void host_turn(struct host *h)
{
    ev_run(h->loop, EVRUN_ONCE);
    fetch_turn(h->fetch);
    if (h->pool)
        pool_turn(h->pool);
    if (h->reload.pool)
        reload_turn(&h->reload);
    scaler_turn(&h->scaler);
    admin_turn(h->admin);
}

/* ---- signals ---- */

static void tell_wait(const struct host *h)
{
    struct flow_view v;
    flow_look(h->flow, &v);
    if (v.in_hand > 0)
        log_info("waiting for %d in hand, %.15g s at most (drain); a second %s gives up what still "
                 "runs then",
                 v.in_hand, h->conf->drain, isatty(STDIN_FILENO) ? "Ctrl-C" : "signal");
}

static void on_stop(void *arg)
{
    struct host *h = arg;
    bool first = !h->running.stopping;
    h->running.stopping = true;
    if (!h->flow) {
        h->stopping = true;
        return;
    }
    flow_drain(h->flow);
    if (first && !h->ended)
        tell_wait(h);
}

static void on_reload(void *arg)
{
    struct host *h = arg;
    reload_ask(&h->reload, "SIGHUP");
}

static void on_reload_asked(void *arg)
{
    struct host *h = arg;
    reload_ask(&h->reload, "host reload");
}

static void on_files(void *arg)
{
    struct host *h = arg;
    reload_ask(&h->reload, "--watch");
}

/* Those of the generation that runs, those of one that was refused, which is being mended, the
 * handler before it has loaded, and the configuration. */
static void watch_files(void *arg)
{
    struct host *h = arg;
    const struct bundle *all[] = {h->reload.running, h->reload.failed};
    struct err e = {0};
    int rc = h->conf->file ? file_watch_add(h->watch, h->conf->file, &e) : 0;
    if (*h->options->handler_path != BUNDLE_BUILT_IN)
        rc |= file_watch_add(h->watch, h->options->handler_path, &e);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        const char *path;
        for (int i = 0; all[k] && (path = bundle_nth(all[k], i)); i++)
            if (*path != BUNDLE_BUILT_IN)
                rc |= file_watch_add(h->watch, path, &e);
    }
    if (rc != 0)
        log_with(LOG_ERROR, "some changes will not be seen", LF_TEXT("error", e.text));
}

static int start_watching(struct host *h, struct err *e)
{
    if (!h->options->watch)
        return 0;
    h->watch = file_watch_new(h->loop, on_files, h, e);
    if (!h->watch)
        return -1;
    h->reload.ended = watch_files;
    h->reload.arg = h;
    watch_files(h);
    return 0;
}

static void on_report(void *arg)
{
    struct host *h = arg;
    if (h->flow)
        flow_report(h->flow);
    else
        log_info("starting");
}

static int on_scale(void *arg, int min, int max, struct err *e)
{
    struct host *h = arg;
    return scaler_set(&h->scaler, min, max, e);
}

static void on_pause(void *arg, bool paused)
{
    struct host *h = arg;
    if (h->flow)
        flow_pause(h->flow, paused);
}

/* What will go wrong later, and costs a person a night if it is not said now. */
static void warn_of_queue(const struct host *h)
{
    const struct queue_facts *q = &h->lookup.facts;
    if (q->dead_letters_missing[0])
        log_with(q->wants_dead_letters ? LOG_WARN : LOG_INFO,
                 "no dead-letter queue: rejected messages are kept and retried at retry.cap",
                 LF_TEXT("queue", sqs_queue_url(h->sqs)),
                 LF_TEXT("reason", q->dead_letters_missing));
    if (q->max_receives > 0 && q->max_receives < QUEUE_FEW_RECEIVES)
        log_with(
            LOG_WARN,
            "the redrive policy's maxReceiveCount is low: crashes and releases cost receives too, "
            "and then messages that never failed are dead letters; raise it to 10 or more",
            LF_TEXT("queue", sqs_queue_url(h->sqs)), LF_INT("max_receive_count", q->max_receives));
}

static int look_up_queue(struct host *h, struct err *e)
{
    struct queue_lookup *l = &h->lookup;
    struct queue_lookup_options o = {.name = h->conf->queue.name,
                                     .dead_letters = true,
                                     .dlq_url = h->conf->queue.dlq_url,
                                     .patience_ms = HOST_START_PATIENCE_MS};
    queue_lookup_start(l, h->loop, h->sqs, &o);
    while (!l->ended && !h->stopping)
        host_turn(h);
    queue_lookup_stop(l);
    *e = l->error;
    return l->error.code == 0 ? 0 : -1;
}

static int open_shared_store(struct host *h, struct err *e)
{
    struct shared_store *s = &h->shared;
    struct timers timers = timers_on(h->loop);
    struct random random = random_from(&h->rng);
    if (!conf_dedupe_table(h->conf) || h->stopping)
        return 0;
    if (shared_store_begin(s, h->conf, h->loop, h->fetch, h->creds, h->sqs, e) != 0)
        return -1;
    while (!s->lookup.ended && !h->stopping)
        host_turn(h);
    return h->stopping ? 0 : shared_store_open(s, h->conf, h->sqs, &timers, &random, e);
}

/* With Keycloak away at the start nothing is received at all: so its first answer, whatever it
 * is, comes before the first receive. */
static void warm_token(struct host *h)
{
    const struct conf *c = h->conf;
    const char *realm = c->keycloak.auth_realm ? c->keycloak.auth_realm : c->keycloak.realm;
    if (!c->keycloak.url || !realm || !c->keycloak.client_id)
        return;
    tokens_warm(h->tokens, realm);
    while (!tokens_tried(h->tokens) && !h->ended)
        host_turn(h);
}

/* libev aborts where it finds no descriptor, so they are counted before. */
static int check_descriptors(const struct conf *c, struct err *e)
{
    struct rlimit r;
    rlim_t need = 128 + (rlim_t)c->workers.max * (5 + 2 * (rlim_t)c->slots);
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur < need && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = need < r.rlim_max ? need : r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    if (r.rlim_cur >= need)
        return 0;
    return err_set(
        e, EXIT_CONFIG,
        "workers.max %d with %d slots need up to %llu open files, %llu are allowed: lower "
        "them, or raise ulimit -n (LimitNOFILE)",
        c->workers.max, c->slots, (unsigned long long)need, (unsigned long long)r.rlim_cur);
}

static int start(struct host *h, struct err *e)
{
    rng_seed(&h->rng, rand_seed());
    struct signals_events events = {h, on_stop, on_reload, on_report, on_pause};
    struct admin_events changes = {h, on_pause, on_scale, on_reload_asked};
    if (check_descriptors(h->conf, e) != 0 || fetch_global_init(e) != 0)
        return -1;
    h->couple = couple_origins(h->conf->breaker.couple, e);
    if (e->code != 0)
        return -1;
    h->loop = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!h->loop)
        return err_set(e, EXIT_FAILED, "no event loop: too many open files?");
    signals_start(&h->signals, h->loop, &events);
    if (host_make_admin(h, &changes, e) != 0 || host_make_clients(h, e) != 0 ||
        host_make_tokens(h, e) != 0 || start_watching(h, e) != 0)
        return -1;
    if (host_start_handler(h, e) != 0 || look_up_queue(h, e) != 0 || open_shared_store(h, e) != 0)
        return -1;
    if (h->stopping)
        return 0;
    warn_of_queue(h);
    return host_make_flow(h, e);
}

static void work(struct host *h)
{
    struct err e = {0};
    warm_token(h); /* before anything that lets the flow receive */
    if (scaler_start(&h->scaler, h->loop, h->conf, h->pool, h->flow, h->sqs, &e) != 0) {
        log_error("%s", e.text);
        h->exit_code = EXIT_FAILED;
        return;
    }
    h->running.scaler = &h->scaler;
    flow_start(h->flow);
    h->reload.pool = h->pool; /* what was asked for while it started is done now */
    while (!h->ended)
        host_turn(h);
}

/* Unless the pool is freed a worker is stuck in C code and still uses what we would free. */
static enum pool_end stop(struct host *h)
{
    admin_free(h->admin);
    h->admin = NULL;
    file_watch_free(h->watch);
    scaler_stop(&h->scaler);
    enum pool_end end = pool_free(h->pool);
    if (end != POOL_FREED)
        return end;
    h->pool = NULL;
    tokens_free(h->tokens);
    shared_store_free(&h->shared);
    sqs_free(h->sqs);
    flow_free(h->flow);
    dedupe_free(h->dedupe);
    creds_free(h->creds);
    fetch_free(h->fetch);
    if (h->loop) {
        signals_stop(&h->signals);
        ev_loop_destroy(h->loop);
    }
    metrics_free(h->metrics);
    reload_free(&h->reload);
    free(h->couple);
    return POOL_FREED;
}

int host_run(const struct host_options *options)
{
    struct host h = {.options = options,
                     .conf = options->conf,
                     .reload = {.conf = options->conf,
                                .request = options->request,
                                .handler_path = options->handler_path}};
    struct err e = {0};
    if (start(&h, &e) != 0) {
        log_error("%s", e.text);
        h.exit_code = e.code ? e.code : EXIT_CONFIG;
    } else if (h.flow) {
        work(&h);
    }
    enum pool_end end = stop(&h);
    if (end == POOL_STUCK) {
        log_warn("a worker did not end: its handler is stuck in C code");
        _exit(h.exit_code ? h.exit_code : EXIT_STUCK);
    }
    if (end == POOL_FENCED) /* its messages were settled when it got stuck */
        _exit(h.exit_code);
    return h.exit_code;
}
