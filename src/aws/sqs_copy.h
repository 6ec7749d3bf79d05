/* The SendMessage request that puts a copy of a message on its dead-letter queue (contract,
 * section 4, "returns host.reject"). Pure but for allocations; inside aws/ only.
 *
 * Copied are the body, the message attributes and the AWSTraceHeader. One attribute is added (and
 * replaces one of that name, from an earlier copy): host.failure, a String with a JSON object of
 *
 *   outcome           "rejected" or "exhausted"
 *   reason            the handler's words, or the error's
 *   kind at detail    of an error: its kind, its place in the handler, the traceback
 *   generation        of the handler; not of one whose worker got stuck with it (kind "stuck")
 *   attempts receives how often it ran (at most), and was received
 *   time sent_at      RFC 3339: now, and when the message was sent first
 *   message_id        the original's
 *   deduplication_id  the original's, if it had one
 *
 * A message has at most ten attributes and 1 MiB in all (reference: sqs, section 7). Where that
 * is too little, host.failure loses its detail, then most of its reason, and is left out at last:
 * nothing of the sender's ever is.
 *
 * On a FIFO queue the copy's deduplication id is the original's message id: its own would be
 * swallowed within five minutes, and the message lost. */
#ifndef AWS_SQS_COPY_H
#define AWS_SQS_COPY_H

#include "base/buf.h"
#include "seam.h"

struct json_object;

enum { SQS_MESSAGE_MAX_BYTES = 1048576, SQS_ATTRIBUTES_MAX = 10 };

#define SQS_FAILURE_ATTRIBUTE "host.failure"

/* Appends the request's JSON. `body` has failed afterwards: no memory. */
void sqs_copy_write(struct buf *body, const char *queue_url, const struct queue_copy *copy);

/* Whether SendMessage's answer says that the job's body was sent: it has a MessageId, and the
 * digest is that of the body (not looked at where OpenSSL refuses MD5). */
bool sqs_copy_confirmed(struct json_object *answer, const struct job *job);

#endif
