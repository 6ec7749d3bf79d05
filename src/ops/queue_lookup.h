/* Is the queue there? GetQueueUrl for one that is configured by its name, then
 * GetQueueAttributes; both tried again while SQS is away. Known before anything is received, so
 * that a wrong name ends the program at once, also while intake is held. Core thread. */
#ifndef OPS_QUEUE_LOOKUP_H
#define OPS_QUEUE_LOOKUP_H

#include "aws/sqs.h"
#include "base/err.h"
#include "base/log.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct queue_lookup {
    struct ev_loop *loop;
    struct sqs *sqs;
    const char *name;   /* NULL: its URL is known */
    int64_t give_up_ms; /* CLOCK_BOOTTIME */
    ev_timer again;
    struct log_gate gate;
    bool ended; /* then `error.code` is 0 and the queue URL is set, or it tells why not */
    struct err error;
};

void queue_lookup_start(struct queue_lookup *l, struct ev_loop *loop, struct sqs *sqs,
                        const char *name, int64_t patience_ms);
/* A question on the wire must be cancelled with its sqs before `l` goes away. */
void queue_lookup_stop(struct queue_lookup *l);

#endif
