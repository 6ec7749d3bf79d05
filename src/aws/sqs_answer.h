/* Reading SQS's answers: batches entry by entry, messages into jobs. Pure but for allocations
 * and log lines; inside aws/ only. Reference: sqs, section 3. */
#ifndef AWS_SQS_ANSWER_H
#define AWS_SQS_ANSWER_H

#include "aws/sqs_error.h"

/* Fills `result` from an answer. Returns the parsed body of a success (the caller puts it);
 * NULL otherwise, and for an empty body. */
struct json_object *sqs_read_answer(const struct fetch_response *r, const struct sqs_context *c,
                                    struct queue_result *result);

/* Moves the messages of a ReceiveMessage answer (NULL: none) into `jobs`, out of their envelopes
 * (`unwrap`: policy/envelope.h), of a FIFO queue (`in_order`) up to the first one that cannot be
 * read: what is behind it must not run before it, and may be of its group. Each job owns its
 * message object alone when this returns: json-c's counts are not atomic, and the job goes to
 * another thread. What is no message is left out, with a line in the log. */
void sqs_read_messages(struct json_object *answer, unsigned unwrap, bool in_order,
                       struct list *jobs);

/* One entry of a batch's answer. */
struct sqs_entry {
    bool ok;
    bool sender_fault;
    const char *code; /* "" if ok; "Missing" if the answer does not name it */
    const char *text;
};

/* Reads Successful and Failed for entries with the Ids "0" to "count-1"; an entry in neither
 * list has failed and is not the sender's fault. The strings are the answer's or static. */
void sqs_read_entries(struct json_object *answer, int count, struct sqs_entry *entries);

#endif
