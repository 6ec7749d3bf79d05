/* Puts many messages on a queue, in batches of ten, several batches at a time; each entry's
 * answer is read, and what failed without the sender's fault is sent again. Main thread.
 *
 * A batch whose answer never came is sent again with the same bodies: what SQS had taken
 * already is then there twice, under the same {{uuid}}. Not so on a FIFO queue, which knows it by
 * its deduplication id; and there one batch goes after the other, so that the order is that of
 * the numbers unless an entry fails and is repeated. */
#ifndef CLI_SENDER_H
#define CLI_SENDER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SENDER_GROUP "host-send"

struct ev_loop;
struct fetch;
struct sqs;

enum { SENDER_BODY_MAX_BYTES = 1048576 }; /* of a message, and of a batch in total */

struct sender_options {
    const char *event; /* body of each message: {{n}} is its number from 1, {{uuid}} a new one */
    size_t event_len;
    /* MessageGroupId, with the same marks; NULL: none, on a FIFO queue SENDER_GROUP. There each
     * message also gets a deduplication id of its own, which a repetition keeps. */
    const char *group;
    long count;
    void (*progress)(long settled, long count); /* NULL: none */
};

struct sender_result {
    long accepted;
    long refused;   /* by SQS, entry by entry */
    long given_up;  /* never answered, or failed each time */
    struct err why; /* of the first refusal, else of the first failure; code 0: there was none */
};

/* Bytes that no SQS message can have, an empty event, one that is too long: -1 with EXIT_FAILED
 * and the place. */
int sender_check(const struct sender_options *o, const char *name, struct err *e);

/* Sends all and returns when each message is accepted, refused or given up; 0. -1 with `e`: the
 * queue is missing or forbidden, or what is there is no SQS; `r` says what was done before. */
int sender_run(const struct sender_options *o, struct ev_loop *loop, struct fetch *fetch,
               struct sqs *sqs, struct sender_result *r, struct err *e);

#endif
