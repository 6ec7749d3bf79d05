/* Requests to SQS in numbers: how many, how they ended, how long they took. Core thread. Inside
 * aws/ only. */
#ifndef AWS_SQS_COUNT_H
#define AWS_SQS_COUNT_H

#include "base/err.h"
#include "net/fetch.h"
#include "seam.h"

struct metric;
struct metrics;

struct sqs_count {
    struct metric *requests; /* luahost_sqs_requests_total{op,code} */
    struct metric *seconds;  /* luahost_sqs_request_duration_seconds{op} */
};

/* `ms` NULL: nothing is counted. -1 with `e`: no memory. */
int sqs_count_open(struct sqs_count *c, struct metrics *ms, int writer, struct err *e);

/* A request has ended. */
void sqs_count(const struct sqs_count *c, const char *operation, const struct fetch_response *r,
               const struct queue_result *result);

#endif
