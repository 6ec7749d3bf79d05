#include "aws/sqs_answer.h"

#include "base/clock.h"
#include "base/log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SKEW_POSSIBLE_MS = 4 * 60 * 1000 };

static const char *string_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

/* ---- errors ---- */

static void cut_suffix(char *text, const char *suffix)
{
    size_t len = strlen(text), n = strlen(suffix);
    if (len > n && strcmp(text + len - n, suffix) == 0)
        text[len - n] = '\0';
}

void sqs_normalise_code(const char *raw, char *out, size_t size)
{
    static const char prefix[] = "AWS.SimpleQueueService.";
    char text[128];
    snprintf(text, sizeof text, "%s", raw);
    text[strcspn(text, ":;")] = '\0';
    const char *code = strrchr(text, '#');
    code = code ? code + 1 : text;
    if (strncmp(code, prefix, sizeof prefix - 1) == 0)
        code += sizeof prefix - 1;
    snprintf(out, size, "%s", code);
    cut_suffix(out, "Exception");
}

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

enum queue_status sqs_classify(const char *code, int http_status)
{
    static const char *const missing[] = {"QueueDoesNotExist", "NonExistentQueue",
                                          "InvalidAddress", NULL};
    static const char *const denied[] = {
        "AccessDenied", "InvalidClientTokenId", "UnrecognizedClient", "InvalidSignature",
        "SignatureDoesNotMatch", "MissingAuthenticationToken", "MissingAuthentication",
        "IncompleteSignature", "ExpiredToken", "InvalidSecurity", "AuthFailure",
        "KmsAccessDenied", "OptInRequired", "KmsOptInRequired", "NotAuthorized", NULL};
    static const char *const busy[] = {
        "RequestTimeout", "PriorRequestNotComplete", "Throttling", "Throttled",
        "RequestThrottled", "TooManyRequests", "ProvisionedThroughputExceeded",
        "TransactionInProgress", "RequestLimitExceeded", "BandwidthLimitExceeded",
        "LimitExceeded", "SlowDown", "EC2Throttled", "OverLimit", "KmsThrottled",
        "ServiceUnavailable", "InternalFailure", "InternalError", NULL};
    if (one_of(code, missing))
        return QUEUE_MISSING;
    if (one_of(code, denied))
        return QUEUE_DENIED;
    if (one_of(code, busy) || http_status == 429 || http_status >= 500)
        return QUEUE_BUSY;
    return QUEUE_FAULT;
}

static const char *advice(enum queue_status status)
{
    switch (status) {
    case QUEUE_MISSING:
        return "check queue.url (or queue.name), the region and the endpoint";
    case QUEUE_DENIED:
        return "check the AWS credentials and that their policy allows sqs:ReceiveMessage, "
               "sqs:DeleteMessage and sqs:ChangeMessageVisibility on this queue";
    case QUEUE_FAULT:
        return "the request was refused";
    default:
        return "it will be tried again";
    }
}

static int64_t retry_after_ms(const struct fetch_response *r)
{
    char text[40];
    if (fetch_header(r, "x-amz-retry-after", text, sizeof text))
        return strtoll(text, NULL, 10);
    if (fetch_header(r, "Retry-After", text, sizeof text) && text[0] >= '0' && text[0] <= '9')
        return strtoll(text, NULL, 10) * 1000;
    return -1;
}

static void read_error(const struct fetch_response *r, struct json_object *body,
                       const char *operation, const char *where, struct queue_result *result)
{
    const char *type = string_of(body, "__type"), *text = string_of(body, "message");
    char raw[100];
    if (!text)
        text = string_of(body, "Message");
    if (!type && fetch_header(r, "x-amzn-query-error", raw, sizeof raw))
        type = raw;
    sqs_normalise_code(type ? type : "", result->code, sizeof result->code);
    result->status = sqs_classify(result->code, r->status);
    result->retry_after_ms = retry_after_ms(r);
    snprintf(result->text, sizeof result->text, "SQS %s %s: %d %s%s%.200s: %s", operation, where,
             r->status, result->code, *result->code ? ": " : "",
             text ? text : (body ? "no words" : r->body), advice(result->status));
}

static void no_answer(const struct fetch_response *r, const char *operation, const char *where,
                      struct queue_result *result)
{
    result->status = QUEUE_UNREACHABLE;
    snprintf(result->text, sizeof result->text,
             "SQS %s %s: %s: is the endpoint right, and reachable from here?", operation, where,
             r->error);
}

struct json_object *sqs_read_answer(const struct fetch_response *r, const char *operation,
                                    const char *where, struct queue_result *result)
{
    *result = (struct queue_result){
        .status = QUEUE_OK, .http_status = r->status, .retry_after_ms = -1};
    if (r->result != FETCH_OK) {
        no_answer(r, operation, where, result);
        return NULL;
    }
    struct json_object *body =
        r->body_len <= INT32_MAX && r->body_len > 0 ? json_tokener_parse(r->body) : NULL;
    if (body && !json_object_is_type(body, json_type_object)) {
        json_object_put(body);
        body = NULL;
    }
    if (r->status == 200 && (body || r->body_len == 0))
        return body;
    if (r->status == 200) {
        result->status = QUEUE_UNREACHABLE;
        snprintf(result->text, sizeof result->text,
                 "SQS %s %s: the answer is no JSON (%zu bytes): is this an SQS endpoint?",
                 operation, where, r->body_len);
        return NULL;
    }
    read_error(r, body, operation, where, result);
    json_object_put(body);
    return NULL;
}

bool sqs_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms)
{
    static const char *const sure[] = {"RequestTimeTooSkewed", "RequestExpired",
                                       "RequestInTheFuture", NULL};
    static const char *const possible[] = {"InvalidSignature", "SignatureDoesNotMatch",
                                           "AuthFailure", NULL};
    char date[64];
    struct tm t = {0};
    if (!one_of(code, sure) && !one_of(code, possible))
        return false;
    if (!fetch_header(r, "Date", date, sizeof date) ||
        !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &t))
        return false;
    *offset_ms = (int64_t)timegm(&t) * 1000 - wall_ms;
    return one_of(code, sure) || llabs(*offset_ms) > SKEW_POSSIBLE_MS;
}

/* ---- messages ---- */

void sqs_read_messages(struct json_object *answer, struct list *jobs)
{
    struct json_object *messages;
    if (!answer || !json_object_object_get_ex(answer, "Messages", &messages) ||
        !json_object_is_type(messages, json_type_array))
        return;
    int64_t now_us = clock_mono_us();
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *m = json_object_get(json_object_array_get_idx(messages, i));
        json_object_array_put_idx(messages, i, NULL); /* the job's alone */
        struct job *job = m && json_object_is_type(m, json_type_object) ? job_new(m) : NULL;
        if (!job) {
            log_error("SQS sent a message without MessageId, ReceiptHandle or Body, or memory "
                      "is out: left to its visibility timeout");
            continue;
        }
        job->received_us = now_us;
        list_append(jobs, &job->node);
    }
}

/* ---- batches ---- */

static struct queue_entry *entry_of(struct json_object *item, struct queue_batch *b)
{
    const char *id = string_of(item, "Id");
    if (!id || id[0] < '0' || id[0] > '9' || id[1] != '\0' || id[0] - '0' >= b->count)
        return NULL;
    return &b->entries[id[0] - '0'];
}

static void read_failed(struct json_object *item, struct queue_entry *e)
{
    struct json_object *fault;
    const char *code = string_of(item, "Code"), *text = string_of(item, "Message");
    e->ok = false;
    e->sender_fault = json_object_object_get_ex(item, "SenderFault", &fault) &&
                      json_object_get_boolean(fault);
    sqs_normalise_code(code ? code : "", e->code, sizeof e->code);
    snprintf(e->text, sizeof e->text, "%s", text ? text : "");
}

static struct json_object *list_of(struct json_object *answer, const char *name, size_t *len)
{
    struct json_object *list;
    *len = 0;
    if (!answer || !json_object_object_get_ex(answer, name, &list) ||
        !json_object_is_type(list, json_type_array))
        return NULL;
    *len = json_object_array_length(list);
    return list;
}

void sqs_read_entries(struct json_object *answer, struct queue_batch *b)
{
    size_t len;
    for (int i = 0; i < b->count; i++) {
        struct queue_entry *e = &b->entries[i];
        e->ok = e->sender_fault = false;
        snprintf(e->code, sizeof e->code, "Missing");
        snprintf(e->text, sizeof e->text, "the answer does not name this entry");
    }
    struct json_object *list = list_of(answer, "Successful", &len);
    for (size_t i = 0; i < len; i++) {
        struct queue_entry *e = entry_of(json_object_array_get_idx(list, i), b);
        if (e)
            e->ok = true;
    }
    list = list_of(answer, "Failed", &len);
    for (size_t i = 0; i < len; i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        struct queue_entry *e = entry_of(item, b);
        if (e)
            read_failed(item, e);
    }
}
