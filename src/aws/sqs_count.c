#include "aws/sqs_count.h"

#include "base/metric.h"

#include <stdio.h>

enum { SERIES_MAX = 100 };

int sqs_count_open(struct sqs_count *c, struct metrics *ms, int writer, struct err *e)
{
    static const struct metric_desc requests = {
        .name = "luahost_sqs_requests_total",
        .help = "Requests to SQS that ended; code is the status, or SQS's error, or unreachable.",
        .type = METRIC_COUNTER,
        .labels = {"op", "code"},
        .series_max = SERIES_MAX};
    static const struct metric_desc seconds = {
        .name = "luahost_sqs_request_duration_seconds",
        .help = "Time of a request to SQS; a receive waits for messages.",
        .type = METRIC_HISTOGRAM,
        .labels = {"op"},
        .bounds = metric_seconds,
        .bounds_count = METRIC_SECONDS_COUNT,
        .series_max = SERIES_MAX};
    static const char *const known[][2] = {{"ReceiveMessage", "200"},
                                           {"DeleteMessageBatch", "200"},
                                           {"ChangeMessageVisibilityBatch", "200"}};
    if (!ms)
        return 0;
    c->requests = metrics_open(ms, writer, &requests, e);
    c->seconds = metrics_open(ms, writer, &seconds, e);
    if (!c->requests || !c->seconds)
        return -1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        metric_touch(c->requests, known[i]);
    return 0;
}

void sqs_count(const struct sqs_count *c, const char *operation, const struct fetch_response *r,
               const struct queue_result *result)
{
    char status[16];
    snprintf(status, sizeof status, "%d", r->status);
    const char *code = *result->code           ? result->code
                       : r->result != FETCH_OK ? "unreachable"
                                               : status;
    const char *values[] = {operation, code};
    metric_add(c->requests, values, 1);
    metric_observe(c->seconds, values, (double)r->elapsed_us / 1e6);
}
