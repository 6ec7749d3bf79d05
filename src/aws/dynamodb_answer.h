/* Reading DynamoDB's answers: what an error means, in words for people. Pure but for allocations;
 * inside aws/ only. */
#ifndef AWS_DYNAMODB_ANSWER_H
#define AWS_DYNAMODB_ANSWER_H

#include "aws/dynamodb.h"

/* Who asked what, for the words. */
struct dynamodb_context {
    const char *operation;
    const char *table;
    const char *region;   /* signed for */
    const char *endpoint; /* scheme://host:port/ */
};

/* Fills `result` from an answer. Returns the object of DYNAMODB_OK and of DYNAMODB_CONDITION (the
 * caller puts it), else NULL. */
struct json_object *dynamodb_read_answer(const struct fetch_response *r,
                                         const struct dynamodb_context *c,
                                         struct dynamodb_result *result);

/* By the normalised code; the status decides only for 429 and 5xx. */
enum dynamodb_status dynamodb_classify(const char *code, int http_status);

#endif
