/* Making the parts of the program, and what they tell each other. */
#include "ops/host_parts.h"

#include "aws/creds.h"
#include "aws/sqs.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/flow.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "ops/metrics.h"
#include "ops/platform.h"
#include "ops/tokens.h"
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

enum { IDLE_CONNECTION_S = 25 }; /* below the idle limits of Keycloak and proxies */

static int ms(double seconds)
{
    return (int)(seconds * 1000);
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

static void on_stuck(void *arg, int worker)
{
    struct host *h = arg;
    if (h->flow)
        flow_worker_stuck(h->flow, worker);
}

static void on_back(void *arg, int worker)
{
    struct host *h = arg;
    if (h->flow)
        flow_worker_back(h->flow, worker);
}

/* Whoever watches the process starts another one. */
static void on_given_up(void *arg)
{
    struct host *h = arg;
    struct flow_view v = {0};
    if (h->flow && !h->ended)
        flow_look(h->flow, &v);
    h->running.stuck = h->running.stopping = true;
    if (!h->flow)
        h->stopping = true;
    else if (!h->ended && !v.draining)
        flow_drain(h->flow);
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
             LF_TEXT("endpoint", sqs_other_server(h->sqs)),
             LF_TEXT("order", h->lookup.facts.fifo ? "fifo" : NULL),
             LF_TEXT("dead_letters", sqs_dead_letter_url(h->sqs)),
             LF_TEXT("handler", h->options->handler_path),
             LF_INT("workers_min", h->conf->workers.min),
             LF_INT("workers_max", h->conf->workers.max), LF_INT("slots", h->conf->slots),
             LF_TEXT("keycloak", h->conf->keycloak.url));
    host_tell_up(h);
}

void host_tell_up(struct host *h)
{
    if (h->options->up && !h->told_up)
        h->options->up(h->options->arg, admin_address(h->admin));
    h->told_up = true;
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
    h->exit_code = h->running.stuck ? EXIT_STUCK : exit_code_of(end);
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

int host_make_admin(struct host *h, const struct admin_events *events, struct err *e)
{
    const struct conf *c = h->conf;
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
                         last_part(c->queue.url ? c->queue.url : c->queue.name), events);
    return h->admin ? 0 : err_set(e, EXIT_FAILED, "no memory");
}

int host_make_clients(struct host *h, struct err *e)
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

int host_make_pool(struct host *h, struct bundle *handler, struct err *e)
{
    const struct conf *c = h->conf;
    struct pool_options o = {
        .workers = c->workers.min, .most = c->workers.max, .metrics = h->metrics};
    o.vm = handler_vm_options(c, h->options->handler_path);
    o.vm.board = &h->board;
    o.bundle = handler;
    o.fetch = handler_fetch_options(c);
    o.stuck_ms = handler_stuck_ms(c);
    struct pool_events events = {h, on_verdicts, on_ask_token, on_stuck, on_back, on_given_up};
    h->pool = h->running.pool = pool_new(h->loop, &o, &events, e);
    return h->pool ? 0 : -1;
}

int host_make_tokens(struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    struct tokens_options o = handler_tokens_options(c);
    o.metrics = h->metrics;
    o.writer = WRITER_CORE;
    struct tokens_events events = {h, on_token_answer, on_token_down, on_token_up};
    h->tokens = tokens_new(h->loop, h->fetch, &o, &events, e);
    return h->tokens ? 0 : -1;
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

int host_make_flow(struct host *h, struct err *e)
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
                             .unreachable_ms = HOST_START_PATIENCE_MS,
                             .log_settled = c->log.settled,
                             .entries_failed = metrics_entries_failed(&h->running, e),
                             .until_empty = h->options->until_empty,
                             .patience_ms = ms(h->options->patience_s)};
    if (!o.entries_failed)
        return -1;
    struct flow_events events = {h, on_ready, on_ended};
    h->flow = h->running.flow = flow_new(&o, &seam, &events);
    h->running.queue_url = sqs_queue_url(h->sqs);
    h->running.endpoint = sqs_other_server(h->sqs);
    return h->flow ? 0 : err_set(e, EXIT_FAILED, "no memory");
}
