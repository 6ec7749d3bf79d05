/* One table of Amazon DynamoDB over AWS JSON 1.0, on one loop's HTTP client. Core thread only.
 *
 * Answers come by callback from fetch_turn, never from inside the call that started it. The codes
 * are those of the API's documentation ("Error handling with DynamoDB"). What is asked of the table
 * as a shared store is in claim_table.h. */
#ifndef AWS_DYNAMODB_H
#define AWS_DYNAMODB_H

#include "aws/creds.h"
#include "base/err.h"
#include "net/fetch.h"

struct dynamodb;
struct dynamodb_call;
struct json_object;

struct dynamodb_options {
    const char *table;
    const char *endpoint; /* scheme://host[:port]; NULL: AWS's own */
    const char *region;   /* NULL: told by an AWS endpoint's name; any will do elsewhere */
};

enum dynamodb_status {
    DYNAMODB_OK,
    DYNAMODB_CONDITION,   /* the request's condition did not hold: nothing was changed */
    DYNAMODB_UNREACHABLE, /* no connection, no answer in time, answer cut: it may have happened */
    DYNAMODB_BUSY,        /* throttled, 5xx, a conflict: later */
    DYNAMODB_MISSING,     /* no such table */
    DYNAMODB_DENIED,      /* credentials refused or no permission */
    DYNAMODB_FAULT,       /* anything else: another kind of table, or a request that cannot be */
};

struct dynamodb_result {
    enum dynamodb_status status;
    int http_status;        /* 0: no answer */
    char code[64];          /* normalised error code, or "" */
    char text[512];         /* for people: what, where, what to do; "" if OK or CONDITION */
    int64_t retry_after_ms; /* the server's wish; -1: none */
};

/* NULL with `e` (EXIT_CONFIG): no region can be told, or the endpoint is no URL. */
struct dynamodb *dynamodb_new(const struct dynamodb_options *options, struct fetch *fetch,
                              struct creds *creds, struct err *e);
/* Open calls are cancelled: none of their callbacks will come. NULL is fine. */
void dynamodb_free(struct dynamodb *d);

const char *dynamodb_table(const struct dynamodb *d);
const char *dynamodb_region(const struct dynamodb *d);
const char *dynamodb_endpoint(const struct dynamodb *d); /* scheme://host:port/ */

/* The endpoint's clock at a CLOCK_BOOTTIME, epoch ms, as its answers' Date tells it: within a
 * second and half a round trip once it has answered; this machine's clock before, and where answers
 * have no Date. Being counted from CLOCK_BOOTTIME, it does not jump when somebody sets this
 * machine's clock. */
int64_t dynamodb_time(const struct dynamodb *d, int64_t boot_ms);
bool dynamodb_knows_time(const struct dynamodb *d); /* it has answered something */

/* Any operation: `body` is the request's JSON, copied. The answer's JSON object is borrowed for the
 * time of the callback: of a DYNAMODB_OK, or of a DYNAMODB_CONDITION (whose Item is there if it was
 * asked for); NULL otherwise. It may be sent twice: everything that is asked here is idempotent.
 * NULL with `e`: not started. */
typedef void dynamodb_answered(void *arg, const struct dynamodb_result *result,
                               struct json_object *answer);
struct dynamodb_call *dynamodb_ask(struct dynamodb *d, const char *operation, const char *body,
                                   int timeout_ms, dynamodb_answered *answered, void *arg,
                                   struct err *e);
void dynamodb_cancel(struct dynamodb_call *call); /* the callback will not come */

#endif
