#include "aws/sqs_error.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SKEW_POSSIBLE_MS = 4 * 60 * 1000,
    SHOWN_MAX = 180,           /* bytes of the server's words */
    WISH_MAX_MS = 3600 * 1000, /* of a server's Retry-After */
};

/* ---- codes ---- */

static bool cut_prefix(const char **text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*text, prefix, n) != 0)
        return false;
    *text += n;
    return true;
}

static void cut_suffix(char *text, const char *suffix)
{
    size_t len = strlen(text), n = strlen(suffix);
    if (len > n && strcmp(text + len - n, suffix) == 0)
        text[len - n] = '\0';
}

void sqs_normalise_code(const char *raw, char *out, size_t size)
{
    char text[160];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(raw, ":"), raw);
    const char *code = strrchr(text, '#');
    code = code ? code + 1 : text;
    cut_prefix(&code, "AWS.SimpleQueueService.");
    bool kms = cut_prefix(&code, "KMS.");
    snprintf(out, size, "%s%s", kms ? "Kms" : "", code);
    cut_suffix(out, "Exception");
    for (char *c = out; *c; c++) /* it goes into a log line */
        if (*c <= ' ' || *c > '~')
            *c = '?';
}

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

static const char *const clock_sure[] = {"RequestTimeTooSkewed", "RequestExpired",
                                         "RequestInTheFuture", NULL};
static const char *const clock_possible[] = {"InvalidSignature", "SignatureDoesNotMatch",
                                             "AuthFailure", NULL};
static const char *const unknown_key[] = {"InvalidClientTokenId", "UnrecognizedClient", NULL};
static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException", NULL};

enum queue_status sqs_classify(const char *code, int http_status)
{
    static const char *const missing[] = {"QueueDoesNotExist", "NonExistentQueue", "InvalidAddress",
                                          NULL};
    static const char *const denied[] = {"AccessDenied",          "MissingAuthenticationToken",
                                         "MissingAuthentication", "IncompleteSignature",
                                         "InvalidSecurity",       "NotAuthorized",
                                         "OptInRequired",         "KmsAccessDenied",
                                         "KmsOptInRequired",      NULL};
    static const char *const busy[] = {"RequestTimeout",
                                       "PriorRequestNotComplete",
                                       "Throttling",
                                       "Throttled",
                                       "RequestThrottled",
                                       "TooManyRequests",
                                       "RequestLimitExceeded",
                                       "BandwidthLimitExceeded",
                                       "ProvisionedThroughputExceeded",
                                       "LimitExceeded",
                                       "SlowDown",
                                       "EC2Throttled",
                                       "OverLimit",
                                       "KmsThrottled",
                                       "ServiceUnavailable",
                                       "InternalFailure",
                                       "InternalError",
                                       "InternalServerError",
                                       "TransactionInProgress",
                                       "KmsThrottling",
                                       NULL};
    if (one_of(code, missing))
        return QUEUE_MISSING;
    if (one_of(code, denied) || one_of(code, clock_possible) || one_of(code, unknown_key) ||
        one_of(code, expired))
        return QUEUE_DENIED;
    if (one_of(code, busy) || http_status == 429 || http_status >= 500)
        return QUEUE_BUSY;
    return QUEUE_FAULT;
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

static void advise(const struct sqs_context *c, const struct queue_result *result, char *out,
                   size_t size)
{
    const char *code = result->code;
    if (one_of(code, clock_sure))
        snprintf(out, size, "set this machine's clock");
    else if (one_of(code, clock_possible))
        snprintf(out, size,
                 "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID, or the queue is "
                 "not in region %s",
                 c->region);
    else if (one_of(code, unknown_key))
        snprintf(out, size, "check AWS_ACCESS_KEY_ID, and AWS_SESSION_TOKEN if there is one");
    else if (one_of(code, expired))
        snprintf(out, size, "the session token is over: start with fresh AWS_* variables");
    else if (strncmp(code, "Kms", 3) == 0)
        snprintf(out, size,
                 "check the queue's KMS key, and that the AWS credentials may use it "
                 "(kms:Decrypt)");
    else if (result->status == QUEUE_DENIED && strcmp(c->operation, "SendMessage") == 0)
        snprintf(out, size,
                 "check the AWS credentials, and that their policy allows sqs:SendMessage on this "
                 "queue");
    else if (result->status == QUEUE_DENIED)
        snprintf(out, size,
                 "check the AWS credentials, and that their policy allows sqs:ReceiveMessage, "
                 "sqs:DeleteMessage and sqs:ChangeMessageVisibility on this queue");
    else if (result->status == QUEUE_MISSING)
        snprintf(out, size, "check queue.url or queue.name, queue.region (%s) and queue.endpoint",
                 c->region);
    else
        out[0] = '\0';
}

/* The first line only, at a whole character: what AWS says of a wrong signature goes on with
 * the text that was signed, and that has the session token in it. */
static int shown_length(const char *text)
{
    size_t len = strcspn(text, "\r\n");
    if (len > SHOWN_MAX) {
        len = SHOWN_MAX;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    while (len > 0 && text[len - 1] == '.')
        len--;
    return (int)len;
}

static const char *string_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

static int64_t wish_ms(const struct fetch_response *r)
{
    char text[40], *end;
    int64_t wish = -1;
    if (!fetch_header(r, "x-amz-retry-after", text, sizeof text)) {
        wish = fetch_retry_after_ms(r);
    } else {
        long long number = strtoll(text, &end, 10);
        if (end != text && !*end && number >= 0)
            wish = number;
    }
    return wish < WISH_MAX_MS ? wish : WISH_MAX_MS;
}

void sqs_read_error(const struct fetch_response *r, struct json_object *body,
                    const struct sqs_context *c, struct queue_result *result)
{
    const char *type = string_of(body, "__type"), *text = string_of(body, "message");
    char other[sizeof result->code], status[16], advice[200];
    if (!text)
        text = string_of(body, "Message");
    if (!text)
        text = body ? "" : r->body;
    snprintf(status, sizeof status, "%d", r->status);
    sqs_normalise_code(type ? type : status, result->code, sizeof result->code);
    result->status = sqs_classify(result->code, r->status);
    if (result->status == QUEUE_FAULT && query_code(r, other, sizeof other)) {
        result->status = sqs_classify(other, r->status);
        if (!type || result->status != QUEUE_FAULT)
            snprintf(result->code, sizeof result->code, "%s", other);
    }
    result->retry_after_ms = wish_ms(r);
    advise(c, result, advice, sizeof advice);
    int shown = shown_length(text);
    snprintf(result->text, sizeof result->text, "SQS %s %.160s: %d %s%s%.*s%s%s", c->operation,
             c->where, r->status, result->code, shown > 0 ? ": " : "", shown, text,
             *advice ? ": " : "", advice);
}

/* ---- the clock ---- */

bool sqs_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms)
{
    char date[64];
    struct tm t = {0};
    bool sure = one_of(code, clock_sure);
    if (!sure && !one_of(code, clock_possible))
        return false;
    if (!fetch_header(r, "Date", date, sizeof date) ||
        !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &t))
        return false;
    *offset_ms = (int64_t)timegm(&t) * 1000 - wall_ms;
    return sure || llabs(*offset_ms) > SKEW_POSSIBLE_MS;
}
