/* SQS's errors: what their codes mean for a consumer, and words for people. Pure; inside aws/
 * only. Reference: sqs, section 4. */
#ifndef AWS_SQS_ERROR_H
#define AWS_SQS_ERROR_H

#include "net/fetch.h"
#include "seam.h"

struct json_object;

/* Who asked what, for the words. */
struct sqs_context {
    const char *operation;
    const char *where;  /* the queue's URL, or the endpoint's */
    const char *server; /* that was called, if `where` names another; else NULL */
    const char *region; /* signed for */
};

/* Fills `result` from an answer that is no success; `body`: its JSON object, or NULL. */
void sqs_read_error(const struct fetch_response *r, struct json_object *body,
                    const struct sqs_context *c, struct queue_result *result);

/* As aws_normalise_code, and "AWS.SimpleQueueService.NonExistentQueue" becomes NonExistentQueue,
 * "KMS.Disabled" KmsDisabled. */
void sqs_normalise_code(const char *raw, char *out, size_t size);

/* By the code; the status decides only for 429 and 5xx. */
enum queue_status sqs_classify(const char *code, int http_status);

#endif
