/* Where SQS is: endpoint and region from what the configuration says. Pure; inside aws/ only.
 * Reference: sqs, section 2. */
#ifndef AWS_SQS_ENDPOINT_H
#define AWS_SQS_ENDPOINT_H

#include "aws/place.h"

/* Each may be NULL. Without an endpoint it is the queue URL's own server, or AWS's for the
 * region. The region is the one that an AWS queue URL names, else `region`, else (no AWS: any
 * will do) us-east-1. -1 with EXIT_CONFIG: a URL is none, or no region can be told. */
int sqs_find_place(struct aws_place *p, const char *endpoint, const char *region,
                   const char *queue_url, struct err *e);

/* -1 with EXIT_CONFIG unless `url` can be a queue's: http(s), a host, a name at its end. */
int sqs_check_queue_url(const char *url, struct err *e);

/* Whether a queue's URL or name is that of a FIFO queue: AWS wants .fifo at its end, and no other
 * queue may have it. */
bool sqs_names_fifo(const char *url);

#endif
