/* What a worker counts of its own: runs of the handler, and their requests. Its share of the
 * process's metrics (base/metric.h), written by the worker's thread alone. Inside vm/ only. */
#ifndef VM_COUNT_H
#define VM_COUNT_H

#include "base/err.h"

struct fetch_response;
struct job;
struct metric;
struct metrics;

/* All NULL without metrics: then nothing is counted. */
struct counts {
    struct metric *run_seconds;     /* luahost_message_duration_seconds */
    struct metric *wait_seconds;    /* luahost_message_wait_seconds */
    struct metric *age_seconds;     /* luahost_message_age_seconds */
    struct metric *errors;          /* luahost_lua_errors_total{kind} */
    struct metric *requests;        /* luahost_http_requests_total{target,method,code} */
    struct metric *request_seconds; /* luahost_http_request_duration_seconds{target} */
};

/* `ms` may be NULL. -1 with `e`: no memory. */
int counts_open(struct counts *c, struct metrics *ms, int writer, struct err *e);

void counts_run(const struct counts *c, const struct job *job); /* its verdict is filled in */
/* `target` as fetch_origin writes it. */
void counts_request(const struct counts *c, const char *target, const char *method,
                    const struct fetch_response *r);

#endif
