#include "aws/sqs.h"

#include "aws/answer.h"
#include "aws/sigv4.h"
#include "aws/sqs_answer.h"
#include "aws/sqs_copy.h"
#include "aws/sqs_endpoint.h"
#include "aws/sqs_request.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_SPARE_MS = 10000, /* over the long poll */
    BATCH_TIMEOUT_MS = 10000,
    ANSWER_MAX_BYTES = 64 << 20, /* ten messages of 1 MiB, every byte escaped */
    LINES_MAX = 8,
    LINES_BYTES = 2048, /* room for a request's own header lines, less the token */
    KEPT_BODY_BYTES = 64 * 1024,
};

struct sqs {
    struct fetch *fetch;
    struct creds *creds;
    struct aws_place place;
    char host_line[300];
    char *queue_url;
    char *dead_letter_url; /* NULL: there is none */
    struct buf queue_json; /* {"QueueUrl":"…": how most bodies begin */
    struct sigv4 signer;
    int64_t clock_offset_ms; /* what the endpoint's clock is ahead of ours */
    int64_t time_s;          /* the second that `time` stands for */
    char time[SIGV4_TIME_BYTES];
    struct buf lines; /* scratch */
    struct list calls;
    struct list spare;
};

enum call_kind { CALL_RECEIVE, CALL_BATCH, CALL_COPY, CALL_ASK };

struct call {
    struct list node;
    struct sqs *sqs;
    enum call_kind kind;
    const char *operation;
    int timeout_ms;
    bool corrected; /* sent again with the endpoint's time */
    struct buf body;
    struct fetch_call *fetch;
    union {
        struct queue_receive *receive;
        struct queue_batch *batch;
        struct queue_copy *copy;
        struct {
            sqs_answered *answered;
            void *arg;
            char operation[48];
        } ask;
    };
};

/* ---- calls ---- */

static struct call *call_new(struct sqs *s, enum call_kind kind, const char *operation,
                             int timeout_ms)
{
    struct list *node = list_pop(&s->spare);
    struct call *c = node ? list_entry(node, struct call, node) : calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (!node)
        buf_init(&c->body);
    buf_clear(&c->body);
    c->sqs = s;
    c->kind = kind;
    c->operation = operation;
    c->timeout_ms = timeout_ms;
    c->corrected = false;
    c->fetch = NULL;
    list_init(&c->node);
    list_append(&s->calls, &c->node);
    return c;
}

static void call_free(struct call *c)
{
    if (c->body.cap > KEPT_BODY_BYTES)
        buf_free(&c->body);
    list_remove(&c->node);
    list_prepend(&c->sqs->spare, &c->node);
}

static const char *time_now(struct sqs *s)
{
    int64_t wall_ms = clock_wall_ms() + s->clock_offset_ms;
    if (wall_ms / 1000 != s->time_s) {
        s->time_s = wall_ms / 1000;
        sigv4_time(wall_ms, s->time);
    }
    return s->time;
}

/* Adds "Name: value" with its NUL and returns where the value stands. */
static const char *add_line(struct buf *b, const char *name, const char *value, const char **line)
{
    *line = b->data + b->len;
    buf_str(b, name);
    buf_str(b, ": ");
    const char *at = b->data + b->len;
    buf_str(b, value);
    buf_add(b, "", 1);
    return at;
}

/* Fills `lines` with the request's own header lines, which live in s->lines. -1: no memory, or
 * credentials that cannot be. Signed now, when it goes to the network: a signature ages. */
static int sign(struct call *c, const char *lines[LINES_MAX])
{
    struct sqs *s = c->sqs;
    const struct credentials *k = creds_get(s->creds);
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    char target[80];
    int n = 0, line = 3;
    lines[0] = "Content-Type: application/x-amz-json-1.0";
    lines[1] = "x-amzn-query-mode: true"; /* so that x-amzn-query-error comes back */
    lines[2] = s->host_line;
    buf_clear(&s->lines);
    /* All of it at once: the pointers below must stay. */
    if (!buf_reserve(&s->lines, LINES_BYTES + (k->token ? strlen(k->token) : 0)))
        return -1;
    snprintf(target, sizeof target, "AmazonSQS.%s", c->operation);
    const char *time = add_line(&s->lines, "X-Amz-Date", time_now(s), &lines[line++]);
    headers[n++] = (struct sigv4_header){"content-type", "application/x-amz-json-1.0"};
    headers[n++] = (struct sigv4_header){"host", s->place.host};
    headers[n++] = (struct sigv4_header){"x-amz-date", time};
    if (k->token)
        headers[n++] = (struct sigv4_header){
            "x-amz-security-token",
            add_line(&s->lines, "X-Amz-Security-Token", k->token, &lines[line++])};
    headers[n++] = (struct sigv4_header){
        "x-amz-target", add_line(&s->lines, "X-Amz-Target", target, &lines[line++])};
    struct sigv4_request r = {.method = "POST",
                              .path = "/",
                              .headers = headers,
                              .header_count = n,
                              .body = c->body.data,
                              .body_len = c->body.len,
                              .time = time};
    const char *start = s->lines.data;
    lines[line++] = s->lines.data + s->lines.len;
    buf_str(&s->lines, "Authorization: ");
    if (strlen(k->id) > SIGV4_SECRET_MAX ||
        sigv4_sign(&s->signer, k->id, k->secret, &r, &s->lines) != 0)
        return -1;
    lines[line] = NULL;
    return s->lines.data == start ? 0 : -1;
}

static void answered(void *arg, const struct fetch_response *r);

static int send_call(struct call *c, struct err *e)
{
    struct sqs *s = c->sqs;
    const char *lines[LINES_MAX];
    if (c->body.failed)
        return err_set(e, 0, "SQS %s: no memory", c->operation);
    if (sign(c, lines) != 0)
        return err_set(e, 0,
                       "SQS %s: the request could not be signed: no memory, or "
                       "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY has more than %d characters",
                       c->operation, SIGV4_SECRET_MAX);
    /* What libcurl may repeat by itself: a repeated receive costs a lease at worst, deletes and
     * extensions nothing (reference: libcurl-libev, section 4); a send would come twice. */
    struct fetch_request req = {.method = "POST",
                                .url = s->place.url,
                                .headers = lines,
                                .body = c->body.data,
                                .body_len = c->body.len,
                                .timeout_ms = c->timeout_ms,
                                .max_body_bytes = ANSWER_MAX_BYTES,
                                .repeatable = strncmp(c->operation, "Send", 4) != 0,
                                .done = answered,
                                .arg = c};
    c->fetch = fetch_start(s->fetch, &req, e);
    return c->fetch ? 0 : -1;
}

static struct sqs_context context_of(const struct call *c)
{
    const struct sqs *s = c->sqs;
    const char *url = c->kind == CALL_COPY ? s->dead_letter_url : s->queue_url;
    return (struct sqs_context){
        .operation = c->operation, .where = url ? url : s->place.url, .region = s->place.region};
}

/* Our clock is off: once more, with the endpoint's time. */
static bool sent_again(struct call *c, const struct fetch_response *r,
                       const struct queue_result *result)
{
    struct sqs *s = c->sqs;
    int64_t offset_ms;
    struct err e;
    if (c->corrected || result->status == QUEUE_OK || r->result != FETCH_OK ||
        !aws_clock_skew(r, result->code, clock_wall_ms() + s->clock_offset_ms, &offset_ms))
        return false;
    s->clock_offset_ms += offset_ms;
    log_warn("this machine's clock differs from that of %s by %lld s: signing with theirs; set "
             "the clock",
             s->place.host, (long long)(s->clock_offset_ms / 1000));
    c->corrected = true;
    return send_call(c, &e) == 0;
}

static void deliver_receive(struct queue_receive *r, const struct queue_result *result,
                            struct json_object *answer, int64_t first_byte_ms)
{
    r->result = *result;
    r->call = NULL;
    r->first_byte_ms = first_byte_ms;
    sqs_read_messages(answer, &r->jobs);
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

static void answered(void *arg, const struct fetch_response *r)
{
    struct call *c = arg;
    struct queue_result result;
    struct sqs_context context = context_of(c);
    c->fetch = NULL;
    struct json_object *answer = sqs_read_answer(r, &context, &result);
    if (!sent_again(c, r, &result)) {
        struct call was = *c;
        call_free(c); /* before the callback, which may start the next one */
        if (was.kind == CALL_RECEIVE)
            deliver_receive(was.receive, &result, answer, r->first_byte_ms);
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
        call_free(c);
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
    sqs_write_receive(&c->body, &s->queue_json, r);
    if (send_call(c, &e) != 0)
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
    fetch_cancel(c->fetch);
    r->call = NULL;
    call_free(c);
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
    sqs_write_batch(&c->body, &s->queue_json, b);
    b->sent_ms = clock_boot_ms();
    if (send_call(c, &e) != 0)
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
    sqs_copy_write(&c->body, s->dead_letter_url, q);
    if (send_call(c, &e) != 0)
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

int sqs_ask(struct sqs *s, const char *operation, const char *body, int timeout_ms,
            sqs_answered *on_answer, void *arg, struct err *e)
{
    struct call *c = call_new(s, CALL_ASK, "", timeout_ms);
    if (!c)
        return err_set(e, 0, "SQS %s: no memory", operation);
    c->ask.answered = on_answer;
    c->ask.arg = arg;
    snprintf(c->ask.operation, sizeof c->ask.operation, "%s", operation);
    c->operation = c->ask.operation;
    buf_str(&c->body, body);
    if (send_call(c, e) == 0)
        return 0;
    call_free(c);
    return -1;
}

/* ---- making one ---- */

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

struct sqs *sqs_new(const struct sqs_options *options, struct fetch *fetch, struct creds *creds,
                    struct err *e)
{
    struct sqs *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, EXIT_FAILED, "no memory");
        return NULL;
    }
    s->fetch = fetch;
    s->creds = creds;
    s->time_s = -1;
    buf_init(&s->queue_json);
    buf_init(&s->lines);
    list_init(&s->calls);
    list_init(&s->spare);
    int rc = sqs_find_place(&s->place, options->endpoint, options->region, options->queue_url, e);
    sigv4_init(&s->signer, s->place.region, "sqs");
    snprintf(s->host_line, sizeof s->host_line, "Host: %s", s->place.host);
    if (rc == 0 && options->queue_url)
        rc = sqs_set_queue_url(s, options->queue_url, e);
    if (rc == 0)
        return s;
    sqs_free(s);
    return NULL;
}

void sqs_free(struct sqs *s)
{
    if (!s)
        return;
    list_for_each (node, &s->calls) {
        struct call *c = list_entry(node, struct call, node);
        fetch_cancel(c->fetch);
        call_free(c);
    }
    struct list *node;
    while ((node = list_pop(&s->spare))) {
        struct call *c = list_entry(node, struct call, node);
        buf_free(&c->body);
        free(c);
    }
    sigv4_wipe(&s->signer);
    buf_free(&s->queue_json);
    buf_free(&s->lines);
    free(s->queue_url);
    free(s->dead_letter_url);
    free(s);
}
