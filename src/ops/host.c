#include "ops/host.h"

#include "aws/creds.h"
#include "aws/sqs.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "base/metric.h"
#include "board.h"
#include "flow/flow.h"
#include "net/fetch.h"
#include "net/file_watch.h"
#include "ops/admin.h"
#include "ops/couple.h"
#include "ops/handler_load.h"
#include "ops/handler_vm.h"
#include "ops/metrics.h"
#include "ops/platform.h"
#include "ops/queue_lookup.h"
#include "ops/reload.h"
#include "ops/running.h"
#include "ops/scaler.h"
#include "ops/shared_store.h"
#include "ops/signals.h"
#include "ops/tokens.h"
#include "pool/pool.h"
#include "vm/bundle.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    START_PATIENCE_MS = 60000, /* contract, section 2: then exit 69 */
    FEW_RECEIVES = 10,         /* a redrive policy should allow so many */
    IDLE_CONNECTION_S = 25,    /* below the idle limits of Keycloak and proxies */
};

struct host {
    const struct host_options *options;
    const struct conf *conf;
    struct running running;
    struct metrics *metrics;
    struct admin *admin; /* NULL: none, as with --until-empty */
    struct ev_loop *loop;
    struct signals signals;
    struct fetch *fetch;
    struct creds *creds;
    struct sqs *sqs;
    struct reload reload;
    struct file_watch *watch; /* NULL: no --watch */
    struct pool *pool;
    struct tokens *tokens;
    struct dedupe *dedupe;
    struct shared_store shared;
    struct rng rng;
    struct flow *flow;
    struct board board;
    struct scaler scaler;
    char *couple;
    struct queue_lookup lookup;
    bool stopping; /* a signal before there was a flow */
    bool ended;
    int exit_code;
};

static int ms(double seconds)
{
    return (int)(seconds * 1000);
}

static void turn(struct host *h)
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

static void on_stop(void *arg)
{
    struct host *h = arg;
    h->running.stopping = true;
    if (h->flow)
        flow_drain(h->flow);
    else
        h->stopping = true;
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

/* Those of the generation that runs, those of one that was refused, which is being mended, and the
 * configuration. */
static void watch_files(void *arg)
{
    struct host *h = arg;
    const struct bundle *all[] = {h->reload.running, h->reload.failed};
    struct err e = {0};
    int rc = h->conf->file ? file_watch_add(h->watch, h->conf->file, &e) : 0;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        const char *path;
        for (int i = 0; all[k] && (path = bundle_nth(all[k], i)); i++)
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

/* ---- what the parts tell each other ---- */

static void on_verdicts(void *arg, struct list *jobs)
{
    struct host *h = arg;
    if (h->flow) { /* also after its end: a message's job is freed with its message */
        flow_verdicts(h->flow, jobs);
        return;
    }
    struct list *node;
    while ((node = list_pop(jobs))) {
        struct job *job = list_entry(node, struct job, node);
        job_free(job);
    }
}

static void on_ask_token(void *arg, struct token_request *request)
{
    struct host *h = arg;
    tokens_request(h->tokens, request);
}

static void on_token_answer(void *arg, struct token_request *request)
{
    struct host *h = arg;
    if (h->pool) {
        pool_token_answer(h->pool, request);
        return;
    }
    token_unref(request->token); /* the worker that asked has ended */
    free(request);
}

static void on_token_down(void *arg, const char *target, const char *why)
{
    struct host *h = arg;
    if (h->flow)
        flow_target_down(h->flow, target, why);
}

static void on_token_up(void *arg, const char *target)
{
    struct host *h = arg;
    if (h->flow)
        flow_target_up(h->flow, target);
}

static void on_ready(void *arg)
{
    struct host *h = arg;
    log_with(LOG_INFO, "consuming", LF_TEXT("queue", sqs_queue_url(h->sqs)),
             LF_TEXT("order", h->lookup.facts.fifo ? "fifo" : NULL),
             LF_TEXT("dead_letters", sqs_dead_letter_url(h->sqs)),
             LF_TEXT("handler", h->options->handler_path),
             LF_INT("workers_min", h->conf->workers.min),
             LF_INT("workers_max", h->conf->workers.max), LF_INT("slots", h->conf->slots),
             LF_TEXT("keycloak", h->conf->keycloak.url));
}

static int exit_code_of(enum flow_end end)
{
    switch (end) {
    case FLOW_DRAINED:
        return EXIT_DONE;
    case FLOW_LEFT_LATER:
        return EXIT_FAILED;
    case FLOW_OUT_OF_TIME:
        return EXIT_DRAIN;
    case FLOW_UNREACHABLE:
        return EXIT_UNREACHABLE;
    case FLOW_REFUSED:
        break;
    }
    return EXIT_CONFIG;
}

static void on_ended(void *arg, enum flow_end end, const char *text)
{
    struct host *h = arg;
    h->ended = true;
    h->exit_code = exit_code_of(end);
    if (end == FLOW_UNREACHABLE || end == FLOW_REFUSED)
        log_error("%s", text);
    else if (end != FLOW_DRAINED || *text)
        log_with(end == FLOW_DRAINED ? LOG_INFO : LOG_WARN, text, LF_TEXT("queue", NULL));
    const struct flow_counts *c = flow_counts(h->flow);
    log_with(LOG_INFO, "stopped", LF_INT("received", c->received), LF_INT("acked", c->acked),
             LF_INT("retried", c->retried), LF_INT("rejected", c->rejected),
             LF_INT("released", c->released), LF_INT("duplicates", c->duplicates),
             LF_INT("lease_lost", c->lease_lost));
}

/* ---- building it ---- */

/* "…/000000000000/registrations" */
static const char *last_part(const char *url)
{
    const char *slash = strrchr(url, '/');
    return slash ? slash + 1 : url;
}

/* First, so that health can be asked for while the handler is loaded. */
static int make_admin(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    const struct admin_events events = {h, on_pause, on_scale, on_reload_asked};
    h->metrics = metrics_new();
    if (!h->metrics)
        return err_set(e, EXIT_FAILED, "no memory");
    h->running = (struct running){.conf = c,
                                  .handler_path = h->options->handler_path,
                                  .reload = &h->reload,
                                  .started_ms = clock_boot_ms(),
                                  .metrics = h->metrics};
    if (h->options->until_empty)
        return 0;
    h->admin = admin_new(h->loop, &h->running,
                         last_part(c->queue.url ? c->queue.url : c->queue.name), &events);
    return h->admin ? 0 : err_set(e, EXIT_FAILED, "no memory");
}

static int make_clients(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    struct fetch_options fetch = {.ca_file = c->http.ca_file,
                                  .connect_timeout_ms = ms(c->http.connect_timeout),
                                  .idle_connection_s = IDLE_CONNECTION_S,
                                  .max_connections = 64};
    h->fetch = fetch_new(h->loop, &fetch, e);
    h->creds = h->fetch ? creds_new(e) : NULL;
    if (!h->creds)
        return -1;
    struct sqs_options sqs = {.endpoint = c->queue.endpoint,
                              .region = c->queue.region,
                              .queue_url = c->queue.url,
                              .unwrap = handler_unwraps(c),
                              .metrics = h->metrics,
                              .writer = WRITER_CORE};
    h->sqs = sqs_new(&sqs, h->fetch, h->creds, e);
    return h->sqs ? 0 : -1;
}

static int make_pool(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    struct pool_options o = {
        .workers = c->workers.min, .most = c->workers.max, .metrics = h->metrics};
    struct bundle *handler = handler_load(c, h->options->handler_path, e);
    if (!handler)
        return -1;
    o.vm = handler_vm_options(c, h->options->handler_path);
    o.vm.board = &h->board;
    o.bundle = handler;
    o.fetch = (struct fetch_options){.ca_file = c->http.ca_file,
                                     .connect_timeout_ms = ms(c->http.connect_timeout),
                                     .idle_connection_s = IDLE_CONNECTION_S,
                                     .max_connections = c->slots * 2};
    struct pool_events events = {h, on_verdicts, on_ask_token};
    h->pool = h->running.pool = pool_new(h->loop, &o, &events, e);
    reload_init(&h->reload, handler);
    bundle_unref(handler);
    return h->pool ? 0 : -1;
}

static int make_tokens(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    struct tokens_options o = {.keycloak_url = c->keycloak.url,
                               .client_id = c->keycloak.client_id,
                               .client_secret = c->keycloak.client_secret,
                               .client_secret_file = c->keycloak.client_secret_file,
                               .timeout_ms = ms(c->http.timeout),
                               .metrics = h->metrics,
                               .writer = WRITER_CORE};
    struct tokens_events events = {h, on_token_answer, on_token_down, on_token_up};
    h->tokens = tokens_new(h->loop, h->fetch, &o, &events, e);
    return h->tokens ? 0 : -1;
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
    if (q->max_receives > 0 && q->max_receives < FEW_RECEIVES)
        log_with(
            LOG_WARN,
            "the redrive policy's maxReceiveCount is low: crashes and releases cost receives too, "
            "and then messages that never failed are dead letters; raise it to 10 or more",
            LF_TEXT("queue", sqs_queue_url(h->sqs)), LF_INT("max_receive_count", q->max_receives));
}

static int max_receives(const struct host *h)
{
    int ours = h->conf->retry.max_attempts, queues = h->lookup.facts.max_receives;
    return ours > 0 && (queues == 0 || ours < queues) ? ours : queues;
}

/* Renewed every half lease, it outlives a lease that was extended just before its renewal, and a
 * request that was sent at the very end of that. */
static int64_t claim_ms(const struct conf *c)
{
    return c->queue.visibility * INT64_C(1500) + ms(c->http.timeout + c->http.connect_timeout);
}

static int make_flow(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    h->dedupe = dedupe_new((int64_t)(c->dedupe.ttl * 1000), (size_t)c->dedupe.max);
    if (!h->dedupe)
        return err_set(e, EXIT_FAILED, "no memory");
    struct seam seam = {.queue = sqs_queue(h->sqs),
                        .workers = pool_seam(h->pool),
                        .store = store_in_memory(h->dedupe),
                        .shared = shared_store_seam(&h->shared),
                        .timers = timers_on(h->loop),
                        .clock = clock_real(),
                        .random = random_from(&h->rng)};
    struct flow_options o = {.queue_name = last_part(sqs_queue_url(h->sqs)),
                             .wait_s = c->queue.wait,
                             .batch = c->queue.batch,
                             .visibility_s = c->queue.visibility,
                             .key = c->dedupe.key,
                             .claim_ms = claim_ms(c),
                             .remember_ms = ms(c->dedupe.ttl),
                             .claims_closed = c->dedupe.fail == FAIL_CLOSED,
                             .retry_base_s = c->retry.base,
                             .retry_cap_s = c->retry.cap,
                             .fifo = h->lookup.facts.fifo,
                             .dead_letters = sqs_dead_letter_url(h->sqs) != NULL,
                             .max_receives = max_receives(h),
                             .retention_ms = h->lookup.facts.retention_ms,
                             .hold_ms = ms(c->retry.hold),
                             .probe_ms = ms(c->breaker.probe),
                             .limit = {.on = true,
                                       .max = c->targets.max,
                                       .fixed = c->targets.fixed,
                                       .rate = c->targets.rate},
                             .breaker_failures = c->breaker.failures,
                             .breaker_window_ms = ms(c->breaker.window),
                             .couple = h->couple,
                             .storm_window = c->breaker.storm,
                             .board = &h->board,
                             .rate = c->rate,
                             .drain_ms = ms(c->drain),
                             .unreachable_ms = START_PATIENCE_MS,
                             .log_settled = c->log.settled,
                             .entries_failed = metrics_entries_failed(&h->running, e),
                             .until_empty = h->options->until_empty,
                             .patience_ms = ms(h->options->patience_s)};
    if (!o.entries_failed)
        return -1;
    struct flow_events events = {h, on_ready, on_ended};
    h->flow = h->running.flow = flow_new(&o, &seam, &events);
    h->running.queue_url = sqs_queue_url(h->sqs);
    return h->flow ? 0 : err_set(e, EXIT_FAILED, "no memory");
}

/* The workers load the handler before anything is received. */
static int wait_for_pool(struct host *h, struct err *e)
{
    enum pool_state state;
    while ((state = pool_state(h->pool, e)) == POOL_STARTING && !h->stopping)
        turn(h);
    if (state == POOL_FAILED) {
        e->code = EXIT_CONFIG;
        return -1;
    }
    return 0;
}

static int look_up_queue(struct host *h, struct err *e)
{
    struct queue_lookup *l = &h->lookup;
    struct queue_lookup_options o = {.name = h->conf->queue.name,
                                     .dead_letters = true,
                                     .dlq_url = h->conf->queue.dlq_url,
                                     .patience_ms = START_PATIENCE_MS};
    queue_lookup_start(l, h->loop, h->sqs, &o);
    while (!l->ended && !h->stopping)
        turn(h);
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
        turn(h);
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
        turn(h);
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
    if (check_descriptors(h->conf, e) != 0 || fetch_global_init(e) != 0)
        return -1;
    h->couple = couple_origins(h->conf->breaker.couple, e);
    if (e->code != 0)
        return -1;
    h->loop = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!h->loop)
        return err_set(e, EXIT_FAILED, "no event loop: too many open files?");
    signals_start(&h->signals, h->loop, &events);
    if (make_admin(h, e) != 0 || make_clients(h, e) != 0 || make_tokens(h, e) != 0 ||
        make_pool(h, e) != 0)
        return -1;
    if (wait_for_pool(h, e) != 0 || look_up_queue(h, e) != 0 || open_shared_store(h, e) != 0)
        return -1;
    if (h->stopping)
        return 0;
    if (start_watching(h, e) != 0)
        return -1;
    warn_of_queue(h);
    return make_flow(h, e);
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
        turn(h);
}

/* False: a worker is stuck in C code and still uses what we would free. */
static bool stop(struct host *h)
{
    admin_free(h->admin);
    h->admin = NULL;
    file_watch_free(h->watch);
    scaler_stop(&h->scaler);
    if (!pool_free(h->pool))
        return false;
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
    return true;
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
    if (!stop(&h)) {
        log_warn("a worker did not end: its handler is stuck in C code");
        _exit(h.exit_code ? h.exit_code : EXIT_STUCK);
    }
    return h.exit_code;
}
