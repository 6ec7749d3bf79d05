#include "aws/sqs_error.h"

#include "aws/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- codes ---- */

static bool cut_prefix(const char **text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*text, prefix, n) != 0)
        return false;
    *text += n;
    return true;
}

void sqs_normalise_code(const char *raw, char *out, size_t size)
{
    char text[160];
    const char *code = text;
    aws_normalise_code(raw, text, sizeof text);
    cut_prefix(&code, "AWS.SimpleQueueService.");
    bool kms = cut_prefix(&code, "KMS.");
    snprintf(out, size, "%s%s", kms ? "Kms" : "", code);
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
    static const char *const missing[] = {"QueueDoesNotExist", "NonExistentQueue", "InvalidAddress",
                                          NULL};
    static const char *const denied[] = {"InvalidSecurity", "KmsAccessDenied", "KmsOptInRequired",
                                         NULL};
    static const char *const busy[] = {"OverLimit", "KmsThrottled", "KmsThrottling", NULL};
    enum aws_class shared = aws_classify(code, http_status);
    if (one_of(code, missing))
        return QUEUE_MISSING;
    if (shared == AWS_DENIED || one_of(code, denied))
        return QUEUE_DENIED;
    return shared == AWS_BUSY || one_of(code, busy) ? QUEUE_BUSY : QUEUE_FAULT;
}

/* "Code;Sender", and only in exactly two parts (botocore's rule). */
static bool query_code(const struct fetch_response *r, char *out, size_t size)
{
    char text[160];
    if (!fetch_header(r, "x-amzn-query-error", text, sizeof text))
        return false;
    char *semicolon = strchr(text, ';');
    if (!semicolon || strchr(semicolon + 1, ';'))
        return false;
    *semicolon = '\0';
    sqs_normalise_code(text, out, size);
    return true;
}

/* ---- words ---- */

static bool ends_in_batch(const char *operation)
{
    size_t len = strlen(operation);
    return len > 5 && strcmp(operation + len - 5, "Batch") == 0;
}

/* These three are needed together, by whoever needs one. */
static bool is_consuming(const char *operation)
{
    return strcmp(operation, "ReceiveMessage") == 0 || strncmp(operation, "Delete", 6) == 0 ||
           strncmp(operation, "Change", 6) == 0;
}

static void advise(const struct sqs_context *c, const struct queue_result *result, char *out,
                   size_t size)
{
    if (aws_advise(result->code, "the queue", c->region, out, size))
        return;
    if (strncmp(result->code, "Kms", 3) == 0)
        snprintf(out, size,
                 "check the queue's KMS key, and that the AWS credentials may use it "
                 "(kms:Decrypt)");
    else if (result->status == QUEUE_DENIED && !is_consuming(c->operation))
        snprintf(out, size,
                 "check the AWS credentials, and that their policy allows sqs:%.*s on this queue",
                 (int)(strlen(c->operation) - (ends_in_batch(c->operation) ? 5 : 0)), c->operation);
    else if (result->status == QUEUE_DENIED)
        snprintf(out, size,
                 "check the AWS credentials, and that their policy allows sqs:ReceiveMessage, "
                 "sqs:DeleteMessage and sqs:ChangeMessageVisibility on this queue");
    else if (result->status == QUEUE_MISSING)
        snprintf(out, size, "check queue.url or queue.name, queue.region (%s) and queue.endpoint",
                 c->region);
}

void sqs_read_error(const struct fetch_response *r, struct json_object *body,
                    const struct sqs_context *c, struct queue_result *result)
{
    struct aws_error e;
    char other[sizeof result->code], advice[200];
    aws_read_error(r, body, &e);
    sqs_normalise_code(e.code, result->code, sizeof result->code);
    result->status = sqs_classify(result->code, r->status);
    if (result->status == QUEUE_FAULT && query_code(r, other, sizeof other)) {
        result->status = sqs_classify(other, r->status);
        if (!e.named || result->status != QUEUE_FAULT)
            snprintf(result->code, sizeof result->code, "%s", other);
    }
    result->retry_after_ms = e.retry_after_ms;
    advise(c, result, advice, sizeof advice);
    bool named = strtol(result->code, NULL, 10) != r->status; /* else the code is the status */
    snprintf(result->text, sizeof result->text, "SQS %s %.160s%s%s: %d%s%s%s%.*s%s%s", c->operation,
             c->where, c->server ? " at " : "", c->server ? c->server : "", r->status,
             named ? " " : "", named ? result->code : "", e.text_len > 0 ? ": " : "", e.text_len,
             e.text, *advice ? ": " : "", advice);
}
