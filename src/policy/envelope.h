/* What SNS and EventBridge put around an event on its way to a queue, and how to get at the event.
 * Also the pointer that SQS's extended client sends in place of a body it put into S3, which this
 * host does not follow. Pure. Shapes: reference sqs, section 9. */
#ifndef POLICY_ENVELOPE_H
#define POLICY_ENVELOPE_H

#include <stddef.h>

struct json_object;

/* What a queue's bodies may be; 0: each is the event itself. */
enum {
    UNWRAP_SNS = 1,
    UNWRAP_EVENTBRIDGE = 2,
    UNWRAP_ELSE_BARE = 4, /* what is neither is the event itself, not a mistake */
};

enum envelope_kind { ENVELOPE_ABSENT, ENVELOPE_IS_SNS, ENVELOPE_IS_EVENTBRIDGE };

struct envelope {
    enum envelope_kind kind;
    struct json_object *outer; /* owned; NULL without an envelope */
    const char *event;         /* in `outer` or in the body: both have to stay. Ends at event_len */
    size_t event_len;
    char *refused; /* owned: why there is no event, for people. NULL: there is one */
};

/* `body` ends with a NUL at `len`. -1: no memory; `out` is empty then. */
int envelope_open(unsigned unwrap, const char *body, size_t len, struct envelope *out);
void envelope_close(struct envelope *e);

/* "sns", "eventbridge"; NULL without one. */
const char *envelope_name(enum envelope_kind kind);

#endif
