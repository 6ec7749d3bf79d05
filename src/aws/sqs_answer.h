/* Reading SQS's answers: errors into classes, batches entry by entry, messages into jobs. Pure
 * but for allocations; inside aws/ only. Reference: sqs, section 4. */
#ifndef AWS_SQS_ANSWER_H
#define AWS_SQS_ANSWER_H

#include "net/fetch.h"
#include "seam.h"

struct json_object;

/* Fills `result` from an answer to `operation`; `where` names the queue or endpoint. Returns
 * the parsed body of a success (the caller puts it), NULL otherwise and for an empty body. */
struct json_object *sqs_read_answer(const struct fetch_response *r, const char *operation,
                                    const char *where, struct queue_result *result);

/* Moves the messages of a ReceiveMessage answer into `jobs`. Each job owns its message object
 * alone: json-c's counts are not atomic, and the job goes to another thread. */
void sqs_read_messages(struct json_object *answer, struct list *jobs);

/* Marks the batch's entries by the lists Successful and Failed; an entry in neither has failed
 * and is not the sender's fault. */
void sqs_read_entries(struct json_object *answer, struct queue_batch *b);

/* The part of an error code that decides: "com.amazonaws.sqs#QueueDoesNotExist" and
 * "AWS.SimpleQueueService.NonExistentQueue;Sender" become QueueDoesNotExist and
 * NonExistentQueue. */
void sqs_normalise_code(const char *raw, char *out, size_t size);

enum queue_status sqs_classify(const char *code, int http_status);

/* True for an answer that says our clock is off: `offset_ms` is what to add to it. */
bool sqs_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms);

#endif
