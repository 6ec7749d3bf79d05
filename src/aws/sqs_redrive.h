/* Which queues a dead-letter queue takes from: its attribute RedriveAllowPolicy, JSON in a string.
 * Pure but for allocations.
 *
 *   {"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-central-1:123456789012:q"]}
 *
 * or allowAll, which is also the case without one, or denyAll. Of what SQS moves by a redrive
 * policy only; whether one may send there by oneself is another permission. */
#ifndef AWS_SQS_REDRIVE_H
#define AWS_SQS_REDRIVE_H

enum sqs_redrive {
    SQS_REDRIVE_ALLOWED,
    SQS_REDRIVE_DENIED,   /* from all */
    SQS_REDRIVE_UNLISTED, /* there is a list, and the queue is not on it */
    SQS_REDRIVE_ODD,      /* that cannot be read, or there is no memory to */
};

/* `policy`: the attribute; NULL or "": there is none. `arn`: of the queue to take from. */
enum sqs_redrive sqs_redrive_from(const char *policy, const char *arn);

#endif
