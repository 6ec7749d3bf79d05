#include "aws/sqs.h"

#include "aws/sigv4.h"
#include "aws/sqs_answer.h"
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
    ANSWER_MAX_BYTES = 64 << 20,
    HEADERS_MAX = 8,
};

struct sqs {
    struct fetch *fetch;
    struct creds *creds;
    char *url;       /* of the endpoint, with the path */
    char host[300];  /* as it is signed and sent */
    char *queue_url;
    struct buf queue_json; /* the queue URL as a JSON string */
    struct sigv4 signer;
    int64_t clock_offset_ms; /* what the endpoint's clock is ahead of ours */
    struct list calls;
};

enum call_kind { CALL_RECEIVE, CALL_BATCH, CALL_ASK };

struct call {
    struct list node;
    struct sqs *sqs;
    enum call_kind kind;
    const char *operation;
    int timeout_ms;
    bool corrected; /* sent again with the endpoint's time */
    struct buf body;
    struct fetch_call *fetch;
    struct queue_receive *receive;
    struct queue_batch *batch;
    sqs_answered *answered;
    void *arg;
};

/* ---- calls ---- */

static struct call *call_new(struct sqs *s, enum call_kind kind, const char *operation,
                             int timeout_ms)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->sqs = s;
    c->kind = kind;
    c->operation = operation;
    c->timeout_ms = timeout_ms;
    buf_init(&c->body);
    list_append(&s->calls, &c->node);
    return c;
}

static void call_free(struct call *c)
{
    list_remove(&c->node);
    buf_free(&c->body);
    free(c);
}

struct signing {
    char time[SIGV4_TIME_BYTES];
    char target[80];
    struct buf authorization;
};

static int sign(struct call *c, const struct credentials *k, struct signing *g, struct err *e)
{
    struct sqs *s = c->sqs;
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    int n = 0;
    sigv4_time(clock_wall_ms() + s->clock_offset_ms, g->time);
    snprintf(g->target, sizeof g->target, "AmazonSQS.%s", c->operation);
    headers[n++] = (struct sigv4_header){"content-type", "application/x-amz-json-1.0"};
    headers[n++] = (struct sigv4_header){"host", s->host};
    headers[n++] = (struct sigv4_header){"x-amz-date", g->time};
    if (k->token)
        headers[n++] = (struct sigv4_header){"x-amz-security-token", k->token};
    headers[n++] = (struct sigv4_header){"x-amz-target", g->target};
    struct sigv4_request r = {.method = "POST",
                              .path = "/",
                              .headers = headers,
                              .header_count = n,
                              .body = c->body.data,
                              .body_len = c->body.len,
                              .time = g->time};
    buf_init(&g->authorization);
    if (sigv4_sign(&s->signer, k->id, k->secret, &r, &g->authorization) == 0)
        return 0;
    return err_set(e, 0, "SQS %s: the request could not be signed (no memory, or a secret key of "
                         "more than 128 characters)",
                   c->operation);
}

static void answered(void *arg, const struct fetch_response *r);

/* Signed when it is handed to the network: a signature ages. */
static int send_call(struct call *c, struct err *e)
{
    struct sqs *s = c->sqs;
    const struct credentials *k = creds_get(s->creds);
    struct signing g;
    const char *headers[HEADERS_MAX] = {"Content-Type: application/x-amz-json-1.0",
                                        "x-amzn-query-mode: true"};
    struct buf lines[5];
    int n = 2;
    if (sign(c, k, &g, e) != 0) {
        buf_free(&g.authorization);
        return -1;
    }
    for (size_t i = 0; i < 5; i++)
        buf_init(&lines[i]);
    buf_printf(&lines[0], "Host: %s", s->host);
    buf_printf(&lines[1], "X-Amz-Date: %s", g.time);
    buf_printf(&lines[2], "X-Amz-Target: %s", g.target);
    buf_printf(&lines[3], "Authorization: %s", g.authorization.data);
    if (k->token)
        buf_printf(&lines[4], "X-Amz-Security-Token: %s", k->token);
    bool failed = false;
    for (size_t i = 0; i < 5; i++) {
        failed = failed || lines[i].failed;
        if (lines[i].len > 0)
            headers[n++] = lines[i].data;
    }
    struct fetch_request req = {.method = "POST",
                                .url = s->url,
                                .headers = headers,
                                .body = c->body.data,
                                .body_len = c->body.len,
                                .timeout_ms = c->timeout_ms,
                                .max_body_bytes = ANSWER_MAX_BYTES,
                                .repeatable = true, /* reference: libcurl-libev, section 4 */
                                .done = answered,
                                .arg = c};
    c->fetch = failed ? NULL : fetch_start(s->fetch, &req, e);
    if (failed)
        err_set(e, 0, "SQS %s: no memory", c->operation);
    for (size_t i = 0; i < 5; i++)
        buf_free(&lines[i]);
    buf_free(&g.authorization);
    return c->fetch ? 0 : -1;
}

static const char *where(const struct sqs *s)
{
    return s->queue_url ? s->queue_url : s->url;
}

/* Our clock is off: once more, with the endpoint's time. */
static bool sent_again(struct call *c, const struct fetch_response *r,
                       const struct queue_result *result)
{
    struct sqs *s = c->sqs;
    int64_t offset_ms;
    struct err e;
    if (c->corrected || r->result != FETCH_OK || r->status == 200 ||
        !sqs_clock_skew(r, result->code, clock_wall_ms(), &offset_ms))
        return false;
    log_warn("our clock differs from that of %s by %+lld s: signing with theirs", s->host,
             (long long)(offset_ms / 1000));
    s->clock_offset_ms = offset_ms;
    c->corrected = true;
    return send_call(c, &e) == 0;
}

static void deliver(struct call *c, const struct queue_result *result, struct json_object *answer,
                    int64_t first_byte_ms)
{
    struct queue_receive *receive = c->receive;
    struct queue_batch *batch = c->batch;
    if (c->kind == CALL_ASK) {
        c->answered(c->arg, result, answer);
        call_free(c);
    } else if (c->kind == CALL_RECEIVE) {
        call_free(c);
        receive->result = *result;
        receive->call = NULL;
        receive->first_byte_ms = first_byte_ms;
        sqs_read_messages(answer, &receive->jobs);
        receive->done(receive);
    } else {
        call_free(c);
        batch->result = *result;
        batch->call = NULL;
        sqs_read_entries(answer, batch);
        batch->done(batch);
    }
}

static void answered(void *arg, const struct fetch_response *r)
{
    struct call *c = arg;
    struct queue_result result;
    c->fetch = NULL;
    struct json_object *answer = sqs_read_answer(r, c->operation, where(c->sqs), &result);
    if (!sent_again(c, r, &result))
        deliver(c, &result, answer, r->first_byte_ms);
    json_object_put(answer);
}

/* ---- the seam ---- */

static int start_failed(struct call *c, struct queue_result *result, const struct err *e)
{
    *result = (struct queue_result){.status = QUEUE_FAULT, .retry_after_ms = -1};
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
        return start_failed(NULL, &r->result, &e);
    c->receive = r;
    /* AttributeNames is the older name of MessageSystemAttributeNames; old servers know only
     * that one. */
    buf_printf(&c->body,
               "{\"QueueUrl\":%s,\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":%d,"
               "\"VisibilityTimeout\":%d,\"MessageAttributeNames\":[\"All\"],"
               "\"MessageSystemAttributeNames\":[\"All\"],\"AttributeNames\":[\"All\"]}",
               s->queue_json.data, r->max, r->wait_s, r->visibility_s);
    if (c->body.failed || send_call(c, &e) != 0)
        return start_failed(c, &r->result, &e);
    r->call = c;
    return 0;
}

static void seam_cancel(void *self, struct queue_receive *r)
{
    struct call *c = r->call;
    (void)self;
    if (!c)
        return;
    fetch_cancel(c->fetch);
    r->call = NULL;
    call_free(c);
}

static void add_entries(struct buf *body, const struct queue_batch *b)
{
    for (int i = 0; i < b->count; i++) {
        buf_printf(body, "%s{\"Id\":\"%d\",\"ReceiptHandle\":", i > 0 ? "," : "", i);
        buf_json(body, b->entries[i].handle, strlen(b->entries[i].handle));
        if (b->op == QUEUE_CHANGE)
            buf_printf(body, ",\"VisibilityTimeout\":%d", b->entries[i].visibility_s);
        buf_char(body, '}');
    }
}

static int seam_batch(void *self, struct queue_batch *b)
{
    struct sqs *s = self;
    struct err e = {.text = "SQS batch: no memory"};
    struct call *c = call_new(
        s, CALL_BATCH,
        b->op == QUEUE_DELETE ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch",
        BATCH_TIMEOUT_MS);
    if (!c)
        return start_failed(NULL, &b->result, &e);
    c->batch = b;
    buf_printf(&c->body, "{\"QueueUrl\":%s,\"Entries\":[", s->queue_json.data);
    add_entries(&c->body, b);
    buf_str(&c->body, "]}");
    b->sent_ms = clock_boot_ms();
    if (c->body.failed || send_call(c, &e) != 0)
        return start_failed(c, &b->result, &e);
    b->call = c;
    return 0;
}

struct queue sqs_queue(struct sqs *s)
{
    static const struct queue_ops ops = {
        .receive = seam_receive, .cancel = seam_cancel, .batch = seam_batch};
    return (struct queue){.ops = &ops, .self = s};
}

int sqs_ask(struct sqs *s, const char *operation, const char *body, int timeout_ms,
            sqs_answered *on_answer, void *arg, struct err *e)
{
    struct call *c = call_new(s, CALL_ASK, operation, timeout_ms);
    if (!c)
        return err_set(e, 0, "SQS %s: no memory", operation);
    c->answered = on_answer;
    c->arg = arg;
    buf_str(&c->body, body);
    if (c->body.failed)
        err_set(e, 0, "SQS %s: no memory", operation);
    if (c->body.failed || send_call(c, e) != 0) {
        call_free(c);
        return -1;
    }
    return 0;
}

/* ---- making one ---- */

/* "sqs.eu-west-1.amazonaws.com" or the older "eu-west-1.queue.amazonaws.com". */
static bool region_of_host(const char *host, char *out, size_t size)
{
    const char *start = host, *end;
    if (!strstr(host, ".amazonaws.") && !strstr(host, ".api.aws"))
        return false;
    if (strncmp(host, "sqs.", 4) == 0 || strncmp(host, "sqs-fips.", 9) == 0)
        start = strchr(host, '.') + 1;
    else if (!strstr(host, ".queue.amazonaws."))
        return false;
    end = strchr(start, '.');
    if (!end || end == start || (size_t)(end - start) >= size)
        return false;
    snprintf(out, size, "%.*s", (int)(end - start), start);
    return true;
}

/* "host:port" of an origin, without a port that is the scheme's own: what is signed is what
 * is sent. */
static void host_of_origin(const char *origin, char *out, size_t size)
{
    bool https = strncmp(origin, "https:", 6) == 0;
    snprintf(out, size, "%s", strstr(origin, "://") + 3);
    char *port = strrchr(out, ':');
    if (port && strcmp(port, https ? ":443" : ":80") == 0)
        *port = '\0';
}

static void aws_origin(const char *region, char *out, size_t size)
{
    const char *suffix = strncmp(region, "cn-", 3) == 0     ? "amazonaws.com.cn"
                         : strncmp(region, "eusc-", 5) == 0 ? "amazonaws.eu"
                                                            : "amazonaws.com";
    snprintf(out, size, "https://sqs.%s.%s:443", region, suffix);
}

static int choose_endpoint(struct sqs *s, const struct sqs_options *o, struct err *e)
{
    char origin[280], region[40] = "";
    const char *from = o->endpoint ? o->endpoint : o->queue_url;
    if (o->region)
        snprintf(region, sizeof region, "%s", o->region);
    if (from && fetch_origin(from, origin, sizeof origin) != 0)
        return err_set(e, EXIT_CONFIG, "%s: \"%s\" is no http(s) URL",
                       o->endpoint ? "queue.endpoint" : "queue.url", from);
    if (!from && !*region)
        return err_set(e, EXIT_CONFIG,
                       "queue.name needs a region or an endpoint: set queue.region (AWS_REGION) "
                       "or queue.endpoint, or give the whole queue.url");
    if (!from)
        aws_origin(region, origin, sizeof origin);
    host_of_origin(origin, s->host, sizeof s->host);
    if (!*region && !region_of_host(s->host, region, sizeof region))
        snprintf(region, sizeof region, "us-east-1"); /* a local server: any will do */
    sigv4_init(&s->signer, region, "sqs");
    size_t size = strlen(origin) + 2;
    s->url = malloc(size);
    if (!s->url)
        return err_set(e, EXIT_FAILED, "no memory");
    snprintf(s->url, size, "%s/", origin);
    return 0;
}

int sqs_set_queue_url(struct sqs *s, const char *url, struct err *e)
{
    char origin[280];
    if (fetch_origin(url, origin, sizeof origin) != 0)
        return err_set(e, EXIT_CONFIG, "queue.url: \"%s\" is no http(s) URL", url);
    char *copy = strdup(url);
    buf_clear(&s->queue_json);
    buf_json(&s->queue_json, url, strlen(url));
    if (!copy || s->queue_json.failed) {
        free(copy);
        return err_set(e, EXIT_FAILED, "no memory");
    }
    free(s->queue_url);
    s->queue_url = copy;
    return 0;
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
    buf_init(&s->queue_json);
    list_init(&s->calls);
    if (choose_endpoint(s, options, e) != 0 ||
        (options->queue_url && sqs_set_queue_url(s, options->queue_url, e) != 0)) {
        sqs_free(s);
        return NULL;
    }
    return s;
}

void sqs_free(struct sqs *s)
{
    if (!s)
        return;
    list_for_each(node, &s->calls)
    {
        struct call *c = list_entry(node, struct call, node);
        fetch_cancel(c->fetch);
        call_free(c);
    }
    sigv4_wipe(&s->signer);
    buf_free(&s->queue_json);
    free(s->queue_url);
    free(s->url);
    free(s);
}
