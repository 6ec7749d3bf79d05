#include "aws/dynamodb_answer.h"

#include "aws/answer.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

enum dynamodb_status dynamodb_classify(const char *code, int http_status)
{
    static const char *const missing[] = {"ResourceNotFound", "TableNotFound", NULL};
    static const char *const busy[] = {"TransactionConflict", "ReplicatedWriteConflict",
                                       "ResourceInUse", NULL};
    enum aws_class shared = aws_classify(code, http_status);
    if (strcmp(code, "ConditionalCheckFailed") == 0)
        return DYNAMODB_CONDITION;
    if (one_of(code, missing))
        return DYNAMODB_MISSING;
    if (shared == AWS_DENIED)
        return DYNAMODB_DENIED;
    return shared == AWS_BUSY || one_of(code, busy) ? DYNAMODB_BUSY : DYNAMODB_FAULT;
}

static void advise(const struct dynamodb_context *c, const struct dynamodb_result *result,
                   char *out, size_t size)
{
    static const char *const throttled[] = {"ProvisionedThroughputExceeded", "Throttling",
                                            "RequestLimitExceeded", NULL};
    if (aws_advise(result->code, "the table", c->region, out, size))
        return;
    if (result->status == DYNAMODB_MISSING)
        snprintf(out, size,
                 "create it (`host check HANDLER --print-table` prints how), or check "
                 "dedupe.store, dedupe.region and dedupe.endpoint");
    else if (result->status == DYNAMODB_DENIED)
        snprintf(out, size,
                 "check the AWS credentials, and that their policy allows dynamodb:%s on this "
                 "table",
                 c->operation);
    else if (strcmp(result->code, "Validation") == 0)
        snprintf(out, size,
                 "a store's table has the partition key \"key\" (a string) and no sort key: "
                 "`host check HANDLER --print-table` prints its definition");
    else if (one_of(result->code, throttled))
        snprintf(out, size, "raise the table's write capacity, or make it on-demand");
}

static void put_words(const struct dynamodb_context *c, struct dynamodb_result *result,
                      const char *what, int what_len, const char *advice)
{
    snprintf(result->text, sizeof result->text, "DynamoDB %s, table %.60s in %s (%.100s): %.*s%s%s",
             c->operation, c->table, c->region, c->endpoint, what_len, what, *advice ? ": " : "",
             advice);
}

static void no_answer(const struct fetch_response *r, const struct dynamodb_context *c,
                      struct dynamodb_result *result)
{
    result->status = r->result == FETCH_TOO_BIG ? DYNAMODB_FAULT : DYNAMODB_UNREACHABLE;
    put_words(c, result, r->error, (int)strlen(r->error), "check dedupe.endpoint and the network");
}

static void read_error(const struct fetch_response *r, struct json_object *body,
                       const struct dynamodb_context *c, struct dynamodb_result *result)
{
    struct aws_error e;
    char what[280], advice[200] = "";
    aws_read_error(r, body, &e);
    snprintf(result->code, sizeof result->code, "%s", e.code);
    result->status = dynamodb_classify(e.code, r->status);
    result->retry_after_ms = e.retry_after_ms;
    if (result->status == DYNAMODB_CONDITION)
        return;
    advise(c, result, advice, sizeof advice);
    int len = snprintf(what, sizeof what, "%d %s%s%.*s", r->status, e.code,
                       e.text_len > 0 ? ": " : "", e.text_len, e.text);
    put_words(c, result, what, len, advice);
}

struct json_object *dynamodb_read_answer(const struct fetch_response *r,
                                         const struct dynamodb_context *c,
                                         struct dynamodb_result *result)
{
    *result = (struct dynamodb_result){
        .status = DYNAMODB_OK, .http_status = r->status, .retry_after_ms = -1};
    if (r->result != FETCH_OK) {
        no_answer(r, c, result);
        return NULL;
    }
    struct json_object *body = aws_parse(r->body, r->body_len);
    if (r->status >= 200 && r->status < 300) {
        if (body)
            return body;
        /* As if it had been cut: what was asked may have happened. */
        char what[100];
        int len = snprintf(what, sizeof what, "the answer is no whole JSON object (%zu bytes)",
                           r->body_len);
        result->status = DYNAMODB_UNREACHABLE;
        put_words(c, result, what, len, "is this a DynamoDB endpoint?");
        return NULL;
    }
    read_error(r, body, c, result);
    if (result->status == DYNAMODB_CONDITION)
        return body;
    json_object_put(body);
    return NULL;
}
