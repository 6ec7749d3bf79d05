/* The JSON bodies of the calls behind the seam (reference: sqs, section 3). Pure but for
 * allocations; inside aws/ only. `queue_json` is how they begin: {"QueueUrl":"…" */
#ifndef AWS_SQS_REQUEST_H
#define AWS_SQS_REQUEST_H

#include "base/buf.h"
#include "seam.h"

void sqs_write_receive(struct buf *body, const struct buf *queue_json,
                       const struct queue_receive *r);
void sqs_write_batch(struct buf *body, const struct buf *queue_json, const struct queue_batch *b);

#endif
