#include "aws/sqs.h"

#include "aws/call.h"
#include "aws/sqs_answer.h"
#include "aws/sqs_copy.h"
#include "aws/sqs_count.h"
#include "aws/sqs_endpoint.h"
#include "aws/sqs_request.h"
#include "base/clock.h"
#include "base/exit.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_SPARE_MS = 10000, /* over the long poll */
    BATCH_TIMEOUT_MS = 10000,
    ANSWER_MAX_BYTES = 64 << 20, /* ten messages of 1 MiB, every byte escaped */
};

struct sqs {
    struct aws_client client;
    char *queue_url;
    char *dead_letter_url;                                 /* NULL: there is none */
    char other_server[sizeof((struct aws_place *)0)->url]; /* empty: the queue URL's own */
    struct buf queue_json; /* {"QueueUrl":"…": how most bodies begin */
    unsigned unwrap;
    struct sqs_count count;
};

enum { SQS_WHERE_BYTES = 164 }; /* words name no more of it */

enum call_kind { CALL_RECEIVE, CALL_BATCH, CALL_COPY, CALL_ASK };

struct call {
    struct aws_call aws; /* first: the client allocates it */
    struct sqs *sqs;
    enum call_kind kind;
    union {
        struct queue_receive *receive;
        struct queue_batch *batch;
        struct queue_copy *copy;
        struct {
            sqs_answered *answered;
            void *arg;
            char operation[AWS_OPERATION_BYTES];
            char about[SQS_WHERE_BYTES];
        } ask;
    };
};

static const struct aws_service service = {
    .name = "SQS",
    .signs_as = "sqs",
    .target = "AmazonSQS",
    .extra = "x-amzn-query-mode: true", /* so that x-amzn-query-error comes back */
    .answer_max_bytes = ANSWER_MAX_BYTES,
    .call_bytes = sizeof(struct call),
};

static void answered(struct aws_call *aws, const struct fetch_response *r);

/* libcurl may repeat them by itself: a repeated receive costs a lease at worst, deletes and
 * extensions nothing (reference: libcurl-libev, section 4). A send would come twice. */
static struct call *call_new(struct sqs *s, enum call_kind kind, const char *operation,
                             int timeout_ms)
{
    struct call *c = (struct call *)aws_call_new(&s->client, operation, timeout_ms);
    if (!c)
        return NULL;
    c->sqs = s;
    c->kind = kind;
    c->aws.answered = answered;
    return c;
}

static struct sqs_context context_of(const struct call *c)
{
    const struct sqs *s = c->sqs;
    const char *url = c->kind == CALL_COPY                   ? s->dead_letter_url
                      : c->kind == CALL_ASK && *c->ask.about ? c->ask.about
                                                             : s->queue_url;
    return (struct sqs_context){.operation = c->aws.operation,
                                .where = url ? url : s->client.place.url,
                                .server = url ? sqs_other_server(s) : NULL,
                                .region = s->client.place.region};
}

static void deliver_receive(const struct sqs *s, struct queue_receive *r,
                            const struct queue_result *result, struct json_object *answer,
                            int64_t first_byte_ms)
{
    r->result = *result;
    r->call = NULL;
    r->first_byte_ms = first_byte_ms;
    sqs_read_messages(answer, s->unwrap, *r->attempt != '\0', &r->jobs);
    r->done(r);
}

static void deliver_batch(struct queue_batch *b, const struct queue_result *result,
                          struct json_object *answer)
{
    struct sqs_entry entries[QUEUE_BATCH_MAX];
    b->result = *result;
    b->call = NULL;
    sqs_read_entries(answer, b->count, entries);
    for (int i = 0; i < b->count; i++) {
        struct queue_entry *e = &b->entries[i];
        e->ok = entries[i].ok;
        e->sender_fault = entries[i].sender_fault;
        sqs_normalise_code(entries[i].code, e->code, sizeof e->code);
        snprintf(e->text, sizeof e->text, "%s", entries[i].text);
    }
    b->done(b);
}

/* Without a MessageId nothing was sent; with another body's digest, something else was. */
static void deliver_copy(struct sqs *s, struct queue_copy *q, const struct queue_result *result,
                         struct json_object *answer)
{
    q->result = *result;
    q->call = NULL;
    if (result->status == QUEUE_OK && !sqs_copy_confirmed(answer, q->job)) {
        q->result.status = QUEUE_FAULT;
        snprintf(q->result.text, sizeof q->result.text,
                 "SQS SendMessage %.300s: the answer does not confirm the message: is this SQS?",
                 s->dead_letter_url);
    }
    q->done(q);
}

static void answered(struct aws_call *aws, const struct fetch_response *r)
{
    struct call *c = (struct call *)aws;
    struct queue_result result;
    struct sqs_context context = context_of(c);
    struct json_object *answer = sqs_read_answer(r, &context, &result);
    sqs_count(&c->sqs->count, aws->operation, r, &result);
    if (result.status == QUEUE_OK || !aws_call_again(aws, r, result.code)) {
        struct call was = *c;
        aws_call_free(aws); /* before the callback, which may start the next one */
        if (was.kind == CALL_RECEIVE)
            deliver_receive(was.sqs, was.receive, &result, answer, r->first_byte_ms);
        else if (was.kind == CALL_BATCH)
            deliver_batch(was.batch, &result, answer);
        else if (was.kind == CALL_COPY)
            deliver_copy(was.sqs, was.copy, &result, answer);
        else
            was.ask.answered(was.ask.arg, &result, answer);
    }
    json_object_put(answer);
}

/* ---- the seam ---- */

static int not_started(struct call *c, struct queue_result *result, const struct err *e)
{
    *result = (struct queue_result){.status = QUEUE_BUSY, .retry_after_ms = -1};
    snprintf(result->text, sizeof result->text, "%.500s", e->text);
    if (c)
        aws_call_free(&c->aws);
    return -1;
}

static int seam_receive(void *self, struct queue_receive *r)
{
    struct sqs *s = self;
    struct err e = {.text = "SQS ReceiveMessage: no memory"};
    struct call *c =
        call_new(s, CALL_RECEIVE, "ReceiveMessage", r->wait_s * 1000 + RECEIVE_SPARE_MS);
    if (!c)
        return not_started(NULL, &r->result, &e);
    c->receive = r;
    sqs_write_receive(&c->aws.body, &s->queue_json, r);
    if (aws_call_send(&c->aws, &e) != 0)
        return not_started(c, &r->result, &e);
    r->call = c;
    return 0;
}

static void seam_cancel(void *self, struct queue_receive *r)
{
    (void)self;
    struct call *c = r->call;
    if (!c)
        return;
    r->call = NULL;
    aws_call_free(&c->aws);
}

static int seam_batch(void *self, struct queue_batch *b)
{
    struct sqs *s = self;
    struct err e = {.text = "SQS batch: no memory"};
    const char *operation =
        b->op == QUEUE_DELETE ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch";
    struct call *c = call_new(s, CALL_BATCH, operation, BATCH_TIMEOUT_MS);
    if (!c)
        return not_started(NULL, &b->result, &e);
    c->batch = b;
    sqs_write_batch(&c->aws.body, &s->queue_json, b);
    b->sent_ms = clock_boot_ms();
    if (aws_call_send(&c->aws, &e) != 0)
        return not_started(c, &b->result, &e);
    b->call = c;
    return 0;
}

static int seam_copy(void *self, struct queue_copy *q)
{
    struct sqs *s = self;
    struct err e = {.text = "SQS SendMessage: no memory"};
    struct call *c = call_new(s, CALL_COPY, "SendMessage", BATCH_TIMEOUT_MS);
    if (!c)
        return not_started(NULL, &q->result, &e);
    c->copy = q;
    c->aws.repeatable = false;
    sqs_copy_write(&c->aws.body, s->dead_letter_url, q);
    if (aws_call_send(&c->aws, &e) != 0)
        return not_started(c, &q->result, &e);
    q->call = c;
    return 0;
}

struct queue sqs_queue(struct sqs *s)
{
    static const struct queue_ops ops = {
        .receive = seam_receive, .cancel = seam_cancel, .batch = seam_batch, .copy = seam_copy};
    return (struct queue){.ops = &ops, .self = s};
}

int sqs_ask(struct sqs *s, const struct sqs_question *q, sqs_answered *on_answer, void *arg,
            struct err *e)
{
    const char *operation = q->operation;
    struct call *c = call_new(s, CALL_ASK, "", q->timeout_ms);
    if (!c)
        return err_set(e, 0, "SQS %s: no memory", operation);
    c->ask.answered = on_answer;
    c->ask.arg = arg;
    snprintf(c->ask.operation, sizeof c->ask.operation, "%s", operation);
    c->aws.operation = c->ask.operation;
    c->aws.repeatable = strncmp(operation, "Send", 4) != 0;
    snprintf(c->ask.about, sizeof c->ask.about, "%s", q->about ? q->about : "");
    buf_str(&c->aws.body, q->body);
    if (aws_call_send(&c->aws, e) == 0)
        return 0;
    aws_call_free(&c->aws);
    return -1;
}

/* ---- making one ---- */

static void note_server(struct sqs *s)
{
    const char *called = s->client.place.url;
    size_t len = strlen(called) - 1; /* without its slash */
    char own[sizeof s->other_server];
    bool same = fetch_origin(s->queue_url, own, sizeof own) == 0 && strlen(own) == len &&
                strncmp(own, called, len) == 0;
    snprintf(s->other_server, sizeof s->other_server, "%.*s", same ? 0 : (int)len, called);
}

int sqs_set_queue_url(struct sqs *s, const char *url, struct err *e)
{
    if (sqs_check_queue_url(url, e) != 0)
        return -1;
    char *copy = strdup(url);
    buf_clear(&s->queue_json);
    buf_str(&s->queue_json, "{\"QueueUrl\":");
    buf_json(&s->queue_json, url, strlen(url));
    if (!copy || s->queue_json.failed) {
        free(copy);
        return err_set(e, EXIT_FAILED, "no memory");
    }
    free(s->queue_url);
    s->queue_url = copy;
    note_server(s);
    return 0;
}

int sqs_set_dead_letter_url(struct sqs *s, const char *url, struct err *e)
{
    if (sqs_check_queue_url(url, e) != 0)
        return -1;
    char *copy = strdup(url);
    if (!copy)
        return err_set(e, EXIT_FAILED, "no memory");
    free(s->dead_letter_url);
    s->dead_letter_url = copy;
    return 0;
}

const char *sqs_dead_letter_url(const struct sqs *s)
{
    return s->dead_letter_url;
}

const char *sqs_queue_url(const struct sqs *s)
{
    return s->queue_url;
}

const char *sqs_other_server(const struct sqs *s)
{
    return *s->other_server ? s->other_server : NULL;
}

const char *sqs_region(const struct sqs *s)
{
    return s->client.place.region;
}

int sqs_tell_region(const struct sqs_options *o, char *out, size_t size, struct err *e)
{
    struct aws_place place;
    if (sqs_find_place(&place, o->endpoint, o->region, o->queue_url, e) != 0 ||
        (o->queue_url && sqs_check_queue_url(o->queue_url, e) != 0))
        return -1;
    snprintf(out, size, "%s", place.region);
    return 0;
}

bool sqs_is_fifo(const struct sqs *s)
{
    return sqs_names_fifo(s->queue_url);
}

struct sqs *sqs_new(const struct sqs_options *options, struct fetch *fetch, struct creds *creds,
                    struct err *e)
{
    struct sqs *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, EXIT_FAILED, "no memory");
        return NULL;
    }
    buf_init(&s->queue_json);
    s->unwrap = options->unwrap;
    int rc =
        sqs_find_place(&s->client.place, options->endpoint, options->region, options->queue_url, e);
    aws_client_init(&s->client, &service, fetch, creds);
    if (rc == 0 && options->queue_url)
        rc = sqs_set_queue_url(s, options->queue_url, e);
    if (rc == 0)
        rc = sqs_count_open(&s->count, options->metrics, options->writer, e);
    if (rc == 0)
        return s;
    sqs_free(s);
    return NULL;
}

void sqs_free(struct sqs *s)
{
    if (!s)
        return;
    aws_client_free(&s->client);
    buf_free(&s->queue_json);
    free(s->queue_url);
    free(s->dead_letter_url);
    free(s);
}
