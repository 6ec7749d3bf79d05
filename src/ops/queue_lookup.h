/* What the host must know of its queue before it receives anything. GetQueueUrl for one that is
 * configured by its name; GetQueueAttributes, so that a wrong name ends the program at once, also
 * while intake is held; and where dead letters go: queue.dlq_url, or what the redrive policy names.
 * The questions are asked again while SQS is away. Core thread.
 *
 * Nothing that is wrong with the dead-letter queue ends the program: rejected messages are then
 * kept, and `dead_letters_missing` says why in words that a person can act on. */
#ifndef OPS_QUEUE_LOOKUP_H
#define OPS_QUEUE_LOOKUP_H

#include "aws/sqs.h"
#include "base/err.h"
#include "base/log.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    QUEUE_FEW_RECEIVES = 10, /* a redrive policy should allow so many */
    QUEUE_ARN_BYTES = 200,
};

struct queue_facts {
    int64_t retention_ms;           /* 0: not known */
    int visibility_s;               /* that receives without one of their own get; -1: not known */
    int max_receives;               /* of the redrive policy; 0: none, or not known */
    bool wants_dead_letters;        /* a redrive policy or queue.dlq_url is there, or may be */
    bool fifo;                      /* by its attribute, or by its name */
    bool known;                     /* false: the attributes could not be read */
    char arn[QUEUE_ARN_BYTES];      /* "": not known */
    char moves_to[QUEUE_ARN_BYTES]; /* the redrive policy's; "": none, or not known */
    char dead_letters_missing[700]; /* "": sqs_dead_letter_url has it */
};

struct queue_lookup_options {
    const char *name;    /* NULL: the queue's URL is known */
    bool dead_letters;   /* find the queue for them, too */
    const char *dlq_url; /* NULL: from the redrive policy */
    int64_t patience_ms;
};

struct queue_lookup {
    struct queue_lookup_options options;
    struct ev_loop *loop;
    struct sqs *sqs;
    int64_t give_up_ms; /* CLOCK_BOOTTIME */
    ev_timer again;
    struct log_gate gate;
    void (*ask)(struct queue_lookup *); /* the question of this step */
    bool has_policy;                    /* the queue has a redrive policy */
    bool policy_good;                   /* and it names a queue, which is: */
    char dlq_name[96];
    char dlq_account[32];
    bool ended; /* then `error.code` is 0 and queue URL and `facts` are set, or it tells why not */
    struct err error;
    struct queue_facts facts;
};

/* The options' strings must outlive `l`. */
void queue_lookup_start(struct queue_lookup *l, struct ev_loop *loop, struct sqs *sqs,
                        const struct queue_lookup_options *options);
/* A question on the wire must be cancelled with its sqs before `l` goes away. */
void queue_lookup_stop(struct queue_lookup *l);

#endif
