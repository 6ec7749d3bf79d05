#include "aws/dynamodb.h"

#include "aws/answer.h"
#include "aws/call.h"
#include "aws/dynamodb_answer.h"
#include "base/clock.h"
#include "base/exit.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 4 << 20 }; /* an item has at most 400 KB */

struct dynamodb {
    struct aws_client client;
    char *table;
    int64_t clock_ms; /* the endpoint's clock, less CLOCK_BOOTTIME */
    bool has_answered;
};

struct dynamodb_call {
    struct aws_call aws; /* first: the client allocates it */
    struct dynamodb *dynamodb;
    dynamodb_answered *answered;
    void *arg;
    char operation[AWS_OPERATION_BYTES];
};

static const struct aws_service service = {
    .name = "DynamoDB",
    .signs_as = "dynamodb",
    .target = "DynamoDB_20120810",
    .answer_max_bytes = ANSWER_MAX_BYTES,
    .call_bytes = sizeof(struct dynamodb_call),
};

struct dynamodb *dynamodb_new(const struct dynamodb_options *o, struct fetch *fetch,
                              struct creds *creds, struct err *e)
{
    struct dynamodb *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, EXIT_FAILED, "no memory");
        return NULL;
    }
    int rc = aws_find_place(&d->client.place, "dynamodb", o->endpoint, o->region, "dedupe", e);
    aws_client_init(&d->client, &service, fetch, creds);
    d->clock_ms = clock_wall_ms() - clock_boot_ms();
    d->table = strdup(o->table);
    if (rc == 0 && !d->table)
        rc = err_set(e, EXIT_FAILED, "no memory");
    if (rc == 0)
        return d;
    dynamodb_free(d);
    return NULL;
}

void dynamodb_free(struct dynamodb *d)
{
    if (!d)
        return;
    aws_client_free(&d->client);
    free(d->table);
    free(d);
}

const char *dynamodb_table(const struct dynamodb *d)
{
    return d->table;
}

const char *dynamodb_region(const struct dynamodb *d)
{
    return d->client.place.region;
}

const char *dynamodb_endpoint(const struct dynamodb *d)
{
    return d->client.place.url;
}

int64_t dynamodb_time(const struct dynamodb *d, int64_t boot_ms)
{
    return boot_ms + d->clock_ms;
}

bool dynamodb_knows_time(const struct dynamodb *d)
{
    return d->has_answered;
}

/* Its Date names a second, somewhere between the request and the answer's first byte. What is known
 * of its clock is moved only as far as that demands. */
static void follow_clock(struct dynamodb *d, const struct dynamodb_call *c,
                         const struct fetch_response *r)
{
    int64_t date_ms;
    d->has_answered |= r->result == FETCH_OK;
    if (r->result != FETCH_OK || !aws_date(r, &date_ms))
        return;
    int64_t least = date_ms - r->first_byte_ms, most = date_ms + 999 - c->aws.sent_ms;
    if (d->clock_ms < least)
        d->clock_ms = least;
    else if (d->clock_ms > most)
        d->clock_ms = most;
}

static void answered(struct aws_call *aws, const struct fetch_response *r)
{
    struct dynamodb_call *c = (struct dynamodb_call *)aws;
    struct dynamodb *d = c->dynamodb;
    struct dynamodb_result result;
    struct dynamodb_context context = {c->operation, d->table, d->client.place.region,
                                       d->client.place.url};
    struct json_object *answer = dynamodb_read_answer(r, &context, &result);
    follow_clock(d, c, r);
    if (result.status == DYNAMODB_OK || !aws_call_again(aws, r, result.code)) {
        struct dynamodb_call was = *c;
        aws_call_free(aws); /* before the callback, which may start the next one */
        was.answered(was.arg, &result, answer);
    }
    json_object_put(answer);
}

struct dynamodb_call *dynamodb_ask(struct dynamodb *d, const char *operation, const char *body,
                                   int timeout_ms, dynamodb_answered *on_answer, void *arg,
                                   struct err *e)
{
    struct dynamodb_call *c =
        (struct dynamodb_call *)aws_call_new(&d->client, operation, timeout_ms);
    if (!c) {
        err_set(e, 0, "DynamoDB %s: no memory", operation);
        return NULL;
    }
    c->dynamodb = d;
    c->answered = on_answer;
    c->arg = arg;
    c->aws.answered = answered;
    snprintf(c->operation, sizeof c->operation, "%s", operation);
    c->aws.operation = c->operation;
    buf_str(&c->aws.body, body);
    if (aws_call_send(&c->aws, e) == 0)
        return c;
    aws_call_free(&c->aws);
    return NULL;
}

void dynamodb_cancel(struct dynamodb_call *call)
{
    aws_call_free(&call->aws);
}
