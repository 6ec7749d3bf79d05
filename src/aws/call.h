/* Signed calls to a service that speaks AWS JSON 1.0, at one place, on one loop's HTTP client. Core
 * thread only; inside aws/ only. The services (sqs.c, dynamodb.c) say what is asked and read what
 * is answered. Reference: sqs, sections 2 and 6; aws-auth, section 2.
 *
 * A call is signed when it goes to the network, since a signature ages. When the server's clock
 * differs from ours too much, the service signs once more with its time (aws_call_again), which is
 * kept for later calls. */
#ifndef AWS_CALL_H
#define AWS_CALL_H

#include "aws/creds.h"
#include "aws/place.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "net/fetch.h"

struct aws_service {
    const char *name;     /* for words: "SQS" */
    const char *signs_as; /* "sqs" */
    const char *target;   /* X-Amz-Target up to the dot: "AmazonSQS" */
    const char *extra;    /* a header line that is not signed; NULL: none */
    size_t answer_max_bytes;
    size_t call_bytes; /* size of its calls, which begin with a struct aws_call */
};

struct aws_client {
    const struct aws_service *service;
    struct fetch *fetch;
    struct creds *creds;
    struct aws_place place;
    char host_line[300];
    struct sigv4 signer;
    int64_t clock_offset_ms; /* what the endpoint's clock is ahead of ours */
    int64_t time_s;          /* the second that `time` stands for */
    char time[SIGV4_TIME_BYTES];
    struct buf lines; /* scratch */
    struct list calls;
    struct list spare;
};

struct aws_call {
    struct list node;
    struct aws_client *client;
    const char *operation; /* stays until the answer; shorter than AWS_OPERATION_BYTES */
    int timeout_ms;
    bool repeatable;          /* may be sent again by libcurl on a dead kept connection */
    bool corrected;           /* sent again with the endpoint's time */
    struct buf body;          /* empty at first */
    int64_t sent_ms;          /* CLOCK_BOOTTIME of the last sending */
    int64_t signed_ms;        /* and the wall clock's time that it was signed with */
    struct fetch_call *fetch; /* NULL unless it is on the wire */
    void (*answered)(struct aws_call *, const struct fetch_response *);
};

enum { AWS_OPERATION_BYTES = 48 };

/* `place` is set by the caller before. Fetch and creds must outlive it. */
void aws_client_init(struct aws_client *client, const struct aws_service *service,
                     struct fetch *fetch, struct creds *creds);
/* Cancels what is open: none of the answers will come. */
void aws_client_free(struct aws_client *client);

/* A call with an empty body that is on no wire; the rest of the service's own members holds what an
 * earlier call left there. NULL: no memory. Memory is kept for later calls. */
struct aws_call *aws_call_new(struct aws_client *client, const char *operation, int timeout_ms);
void aws_call_free(struct aws_call *call); /* cancels it if it is on the wire */

/* -1 with `e`: not started. `answered` comes from fetch_turn otherwise, with `fetch` NULL again. */
int aws_call_send(struct aws_call *call, struct err *e);

/* From `answered`, for an answer with an error's normalised code. True: our clock was off, and the
 * call is on its way once more. */
bool aws_call_again(struct aws_call *call, const struct fetch_response *r, const char *code);

#endif
