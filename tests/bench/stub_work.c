#include "stub_work.h"

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HANDLE_FILL = 300 }; /* with it a receipt handle is as long as those of AWS */

enum { RECEIVED = 1, POSTED = 2, DELETED = 4 };

struct work {
    int messages;
    int next; /* the next one to receive, from 1 */
    int port;
    int64_t now_ms; /* wall clock at the start: when all were sent */
    unsigned char *state;
    struct text *rendered; /* each message as it stands in a receive's answer */

    long receives, empty_receives, delete_calls, deletes, posts, tokens, extended;
    /* What must not happen. */
    long given_back, deleted_twice, posted_twice, deleted_unposted, unsigned_calls, bad_calls;
    int64_t first_us, last_us; /* the first receive that brought something, the last delete */
};

int64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void reserve(struct text *t, size_t extra)
{
    if (t->len + extra < t->cap)
        return;
    t->cap = (t->len + extra + 1) * 2;
    t->data = realloc(t->data, t->cap);
    if (!t->data) {
        fputs("stub: no memory\n", stderr);
        exit(2);
    }
}

void text_add(struct text *t, const char *bytes, size_t len)
{
    reserve(t, len);
    memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_print(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    reserve(t, (size_t)len + 1);
    vsnprintf(t->data + t->len, (size_t)len + 1, format, again);
    t->len += (size_t)len;
    va_end(again);
    va_end(args);
}

/* ---- messages --------------------------------------------------------------------------- */

static void render_body(struct text *t, int n)
{
    text_print(t,
               "{\"event\":\"user.registered\",\"event_id\":\"5f0c2c4e-7a31-4b8d-9c56-%012x\","
               "\"occurred_at\":\"2026-11-23T10:00:00.123Z\",\"source\":\"web-signup\","
               "\"user\":{\"username\":\"user-%08d\",\"email\":\"user-%08d@example.com\","
               "\"first_name\":\"Ada\",\"last_name\":\"Lovelace\",\"locale\":\"en-GB\","
               "\"newsletter\":false}}",
               (unsigned)n, n, n);
}

static void md5_hex(const struct text *t, char out[33])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(t->data, t->len, digest, &len, EVP_md5(), NULL)) {
        fputs("stub: no MD5 in this OpenSSL\n", stderr);
        exit(2);
    }
    for (unsigned i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}

/* "AQEB", eight digits with the message's number, and what looks like the rest of a handle. */
static void render_handle(struct text *t, int n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char fill[HANDLE_FILL];
    uint64_t x = (uint64_t)n * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int i = 0; i < HANDLE_FILL; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        fill[i] = letters[x >> 58];
    }
    text_print(t, "AQEB%08d", n);
    text_add(t, fill, sizeof fill);
    text_add(t, "==", 2);
}

static void render_message(const struct work *w, struct text *t, int n)
{
    struct text body = {0};
    char md5[33];
    render_body(&body, n);
    md5_hex(&body, md5);
    text_print(t, "{\"MessageId\":\"d3b07384-d9a0-4c9b-8f6e-%012x\",\"ReceiptHandle\":\"",
               (unsigned)n);
    render_handle(t, n);
    text_print(t, "\",\"MD5OfBody\":\"%s\",\"Body\":\"", md5);
    for (size_t i = 0; i < body.len; i++) {
        if (body.data[i] == '"')
            text_add(t, "\\", 1);
        text_add(t, body.data + i, 1);
    }
    text_print(t,
               "\",\"Attributes\":{\"SenderId\":\"AIDAIENQZJOLO23YVJ4VO\","
               "\"ApproximateFirstReceiveTimestamp\":\"%lld\",\"ApproximateReceiveCount\":\"1\","
               "\"SentTimestamp\":\"%lld\"}}",
               (long long)w->now_ms, (long long)w->now_ms - 250);
    free(body.data);
}

struct work *work_new(int messages, int port)
{
    struct work *w = calloc(1, sizeof *w);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (w) {
        w->state = calloc((size_t)messages + 1, 1);
        w->rendered = calloc((size_t)messages + 1, sizeof *w->rendered);
    }
    if (!w || !w->state || !w->rendered) {
        fputs("stub: no memory\n", stderr);
        exit(2);
    }
    w->messages = messages;
    w->port = port;
    w->next = 1;
    w->now_ms = t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
    for (int n = 1; n <= messages; n++)
        render_message(w, &w->rendered[n], n);
    return w;
}

void work_free(struct work *w)
{
    for (int n = 1; n <= w->messages; n++)
        free(w->rendered[n].data);
    free(w->rendered);
    free(w->state);
    free(w);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static int number(struct json_object *o, const char *key, int otherwise)
{
    struct json_object *v;
    return json_object_object_get_ex(o, key, &v) ? json_object_get_int(v) : otherwise;
}

static const char *string(struct json_object *o, const char *key)
{
    struct json_object *v;
    return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static void receive(struct work *w, struct json_object *in, struct answer *a)
{
    int max = number(in, "MaxNumberOfMessages", 1);
    w->receives++;
    if (w->next > w->messages) {
        w->empty_receives++;
        a->wait_ms = number(in, "WaitTimeSeconds", 0) * INT64_C(1000);
        text_add(&a->body, "{}", 2);
        return;
    }
    if (w->first_us == 0)
        w->first_us = monotonic_us();
    text_print(&a->body, "{\"Messages\":[");
    for (int i = 0; i < max && i < 10 && w->next <= w->messages; i++, w->next++) {
        if (i > 0)
            text_add(&a->body, ",", 1);
        text_add(&a->body, w->rendered[w->next].data, w->rendered[w->next].len);
        w->state[w->next] |= RECEIVED;
    }
    text_add(&a->body, "]}", 2);
}

/* 0 if the handle is none of ours. */
static int handle_number(const struct work *w, const char *handle)
{
    int n = 0;
    if (strlen(handle) != 4 + 8 + HANDLE_FILL + 2 || sscanf(handle, "AQEB%8d", &n) != 1)
        return 0;
    return n >= 1 && n <= w->messages && (w->state[n] & RECEIVED) ? n : 0;
}

static void delete_one(struct work *w, int n)
{
    w->deletes++;
    if (w->state[n] & DELETED)
        w->deleted_twice++;
    if (!(w->state[n] & POSTED))
        w->deleted_unposted++;
    w->state[n] |= DELETED;
    w->last_us = monotonic_us();
}

static void batch(struct work *w, struct json_object *in, struct answer *a, bool delete)
{
    struct json_object *entries;
    size_t count = 0;
    if (json_object_object_get_ex(in, "Entries", &entries))
        count = json_object_array_length(entries);
    if (count < 1 || count > 10)
        w->bad_calls++;
    w->delete_calls += delete;
    text_print(&a->body, "{\"Failed\":[],\"Successful\":[");
    for (size_t i = 0; i < count; i++) {
        struct json_object *entry = json_object_array_get_idx(entries, i);
        int n = handle_number(w, string(entry, "ReceiptHandle"));
        if (n == 0)
            w->bad_calls++;
        else if (delete)
            delete_one(w, n);
        else if (number(entry, "VisibilityTimeout", 0) == 0)
            w->given_back++;
        else
            w->extended++;
        text_print(&a->body, "%s{\"Id\":\"%s\"}", i > 0 ? "," : "", string(entry, "Id"));
    }
    text_print(&a->body, "]}");
}

static void sqs(struct work *w, const struct request *r, struct answer *a)
{
    struct json_object *in = json_tokener_parse(r->body);
    a->status = 200;
    a->type = "application/x-amz-json-1.0";
    if (!r->signed_v4)
        w->unsigned_calls++;
    if (strcmp(r->target, "ReceiveMessage") == 0) {
        receive(w, in, a);
    } else if (strcmp(r->target, "DeleteMessageBatch") == 0) {
        batch(w, in, a, true);
    } else if (strcmp(r->target, "ChangeMessageVisibilityBatch") == 0) {
        batch(w, in, a, false);
    } else if (strcmp(r->target, "GetQueueUrl") == 0) {
        text_print(&a->body, "{\"QueueUrl\":\"http://127.0.0.1:%d/000000000000/bench\"}", w->port);
    } else if (strcmp(r->target, "GetQueueAttributes") == 0) {
        text_print(&a->body,
                   "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-west-1:000000000000:bench\","
                   "\"VisibilityTimeout\":\"30\",\"ApproximateNumberOfMessages\":\"%d\","
                   "\"ApproximateNumberOfMessagesNotVisible\":\"%ld\"}}",
                   w->messages - (w->next - 1), w->next - 1 - w->deletes);
    } else {
        w->bad_calls++;
        a->status = 400;
        text_print(&a->body, "{\"__type\":\"com.amazonaws.sqs#UnsupportedOperation\"}");
    }
    json_object_put(in);
}

/* ---- the target ----------------------------------------------------------------------------- */

static void post(struct work *w, const struct request *r, struct answer *a)
{
    int n = 0;
    const char *name = strstr(r->body, "\"username\"");
    const char *user = name ? strstr(name, "\"user-") : NULL;
    a->status = 201;
    a->location = "/admin/realms/customers/users/6fc0c6a5-8c4f-4d0b-9f5e-3f1c7a9d2b10";
    w->posts++;
    if (!user || sscanf(user, "\"user-%8d\"", &n) != 1 || n < 1 || n > w->messages) {
        w->bad_calls++;
        a->status = 400;
        return;
    }
    if (w->state[n] & POSTED)
        w->posted_twice++;
    w->state[n] |= POSTED;
}

void work_answer(struct work *w, const struct request *r, struct answer *a)
{
    a->type = a->location = NULL;
    a->wait_ms = 0;
    a->of_target = false;
    if (strcmp(r->method, "POST") != 0) {
        w->bad_calls++;
        a->status = 405;
    } else if (*r->target) {
        sqs(w, r, a);
    } else if (strstr(r->path, "/protocol/openid-connect/token")) {
        w->tokens++;
        a->status = 200;
        a->type = "application/json";
        text_print(&a->body, "{\"access_token\":\"bench\",\"expires_in\":300,"
                             "\"token_type\":\"Bearer\"}");
    } else {
        a->of_target = true;
        post(w, r, a);
    }
}

bool work_summary(const struct work *w, FILE *out)
{
    long faults = w->given_back + w->deleted_twice + w->posted_twice + w->deleted_unposted +
                  w->unsigned_calls + w->bad_calls;
    int unfinished = 0;
    for (int n = 1; n <= w->messages; n++)
        unfinished += w->state[n] != (RECEIVED | POSTED | DELETED);
    bool good =
        faults == 0 && unfinished == 0 && w->posts == w->messages && w->deletes == w->messages;
    fprintf(out,
            "{\"good\":%s,\"messages\":%d,\"posts\":%ld,\"deletes\":%ld,\"unfinished\":%d,"
            "\"posted_twice\":%ld,\"deleted_twice\":%ld,\"deleted_unposted\":%ld,"
            "\"given_back\":%ld,\"unsigned\":%ld,\"bad\":%ld,\"receives\":%ld,"
            "\"empty_receives\":%ld,\"delete_calls\":%ld,\"extended\":%ld,\"tokens\":%ld,"
            "\"busy_s\":%.3f}\n",
            good ? "true" : "false", w->messages, w->posts, w->deletes, unfinished, w->posted_twice,
            w->deleted_twice, w->deleted_unposted, w->given_back, w->unsigned_calls, w->bad_calls,
            w->receives, w->empty_receives, w->delete_calls, w->extended, w->tokens,
            (double)(w->last_us - w->first_us) / 1e6);
    return good;
}
