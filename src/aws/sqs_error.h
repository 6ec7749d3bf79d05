/* SQS's errors: their codes, what they mean for a consumer, and words for people. Pure; inside
 * aws/ only. Reference: sqs, sections 4 and 6. */
#ifndef AWS_SQS_ERROR_H
#define AWS_SQS_ERROR_H

#include "net/fetch.h"
#include "seam.h"

struct json_object;

/* Who asked what, for the words. */
struct sqs_context {
    const char *operation;
    const char *where;  /* the queue's URL, or the endpoint's */
    const char *region; /* signed for */
};

/* Fills `result` from an answer that is no success; `body`: its JSON object, or NULL. */
void sqs_read_error(const struct fetch_response *r, struct json_object *body,
                    const struct sqs_context *c, struct queue_result *result);

/* The part of an error code that decides: "com.amazonaws.sqs#QueueDoesNotExist" and
 * "AWS.SimpleQueueService.NonExistentQueue" become QueueDoesNotExist and NonExistentQueue; the
 * front end's "…#AccessDeniedException" becomes AccessDenied. */
void sqs_normalise_code(const char *raw, char *out, size_t size);

/* By the code; the status decides only for 429 and 5xx. */
enum queue_status sqs_classify(const char *code, int http_status);

/* True for an answer that says our clock is off: `wall_ms` is the time that was signed with,
 * `offset_ms` what to add to it. */
bool sqs_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms);

#endif
