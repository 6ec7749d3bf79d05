#include "vm/count.h"

#include "base/clock.h"
#include "base/metric.h"
#include "job.h"
#include "net/fetch.h"

#include <stdio.h>
#include <string.h>

enum { TARGETS_MAX = 32, REQUESTS_MAX = 256, KINDS_MAX = 40 };

/* Messages may wait for days. */
static const double age_bounds[] = {0.1, 0.5,  1,     5,     15,    60,     300,
                                    900, 3600, 14400, 43200, 86400, 345600, 1209600};

static const struct metric_desc run_seconds = {
    .name = "luahost_message_duration_seconds",
    .help = "Time of a message in the handler, waits included, for each run.",
    .type = METRIC_HISTOGRAM,
    .bounds = metric_seconds,
    .bounds_count = METRIC_SECONDS_COUNT};
static const struct metric_desc wait_seconds = {
    .name = "luahost_message_wait_seconds",
    .help = "Time from a message's receipt to its first run here.",
    .type = METRIC_HISTOGRAM,
    .bounds = metric_seconds,
    .bounds_count = METRIC_SECONDS_COUNT};
static const struct metric_desc age_seconds = {
    .name = "luahost_message_age_seconds",
    .help = "Time from a message's sending to the end of the run that acked it.",
    .type = METRIC_HISTOGRAM,
    .bounds = age_bounds,
    .bounds_count = sizeof age_bounds / sizeof *age_bounds};
static const struct metric_desc errors = {
    .name = "luahost_lua_errors_total",
    .help = "Runs of the handler that failed, by the kind of their error.",
    .type = METRIC_COUNTER,
    .labels = {"kind"},
    .series_max = KINDS_MAX};
static const struct metric_desc requests = {
    .name = "luahost_http_requests_total",
    .help = "Requests of handlers that ended; code is the status, or what happened instead of one.",
    .type = METRIC_COUNTER,
    .labels = {"target", "method", "code"},
    .series_max = REQUESTS_MAX};
static const struct metric_desc request_seconds = {
    .name = "luahost_http_request_duration_seconds",
    .help = "Time of a handler's request, until its whole answer or its failure.",
    .type = METRIC_HISTOGRAM,
    .labels = {"target"},
    .bounds = metric_seconds,
    .bounds_count = METRIC_SECONDS_COUNT,
    .series_max = TARGETS_MAX};

int counts_open(struct counts *c, struct metrics *ms, int writer, struct err *e)
{
    static const char *const kinds[] = {"lua", "contract", "time", "cpu", "memory"};
    const struct {
        struct metric **at;
        const struct metric_desc *desc;
    } all[] = {{&c->run_seconds, &run_seconds}, {&c->wait_seconds, &wait_seconds},
               {&c->age_seconds, &age_seconds}, {&c->errors, &errors},
               {&c->requests, &requests},       {&c->request_seconds, &request_seconds}};
    if (!ms)
        return 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].at = metrics_open(ms, writer, all[i].desc, e);
        if (!*all[i].at)
            return -1;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        metric_touch(c->errors, &kinds[i]);
    return 0;
}

void counts_run(const struct counts *c, const struct job *job)
{
    if (!job->ran)
        return;
    metric_observe(c->run_seconds, NULL, (double)job->duration_us / 1e6);
    if (job->attempt <= job->receive_count)
        metric_observe(c->wait_seconds, NULL, (double)(job->started_us - job->received_us) / 1e6);
    if (*job->kind) {
        const char *kind = job->kind;
        metric_add(c->errors, &kind, 1);
    }
    if (job->outcome == OUTCOME_ACK && job->sent_at_ms && c->age_seconds)
        metric_observe(c->age_seconds, NULL, (double)(clock_wall_ms() - job->sent_at_ms) / 1000);
}

/* A handler may use any method name. */
static const char *known_method(const char *method)
{
    static const char *const known[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(method, known[i]) == 0)
            return known[i];
    return "other";
}

void counts_request(const struct counts *c, const char *target, const char *method,
                    const struct fetch_response *r)
{
    static const char *const failures[] = {
        [FETCH_NO_CONNECTION] = "connect", [FETCH_TIMEOUT] = "timeout", [FETCH_CUT] = "cut",
        [FETCH_TOO_BIG] = "too_big",       [FETCH_FAILED] = "failed",
    };
    char status[16];
    if (!c->requests)
        return;
    snprintf(status, sizeof status, "%d", r->status);
    const char *values[] = {target, known_method(method),
                            r->result == FETCH_OK ? status : failures[r->result]};
    metric_add(c->requests, values, 1);
    metric_observe(c->request_seconds, &target, (double)r->elapsed_us / 1e6);
}
