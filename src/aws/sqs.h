/* Amazon SQS over AWS JSON 1.0, on one loop's HTTP client. Core thread only.
 *
 * sqs_queue gives the calls that flow/ uses, through the seam; the others are for start-up and
 * for `host send`. Answers come by callback from fetch_turn, never from inside the call that
 * started them. Requests go to the endpoint, whatever host the queue's URL names; it travels in
 * the body. When the endpoint's clock differs from ours too much, the request is signed once
 * more with its time, which is kept. Reference: sqs, sections 2-4 and 6. */
#ifndef AWS_SQS_H
#define AWS_SQS_H

#include "aws/creds.h"
#include "base/err.h"
#include "net/fetch.h"
#include "seam.h"

struct json_object;
struct metrics;
struct sqs;

struct sqs_options {
    const char *endpoint;    /* scheme://host[:port]; NULL: the queue URL's, or AWS's own */
    const char *region;      /* an AWS queue URL's own goes before it. NULL: read off the URL */
    const char *queue_url;   /* NULL: to be set by sqs_set_queue_url */
    unsigned unwrap;         /* what bodies may come in: policy/envelope.h */
    struct metrics *metrics; /* NULL: nothing is counted */
    int writer;              /* of its metrics */
};

/* NULL with `e` (EXIT_CONFIG): no region can be told, or a URL is none. */
struct sqs *sqs_new(const struct sqs_options *options, struct fetch *fetch, struct creds *creds,
                    struct err *e);
/* Open calls are cancelled: none of their callbacks will come. NULL is fine. */
void sqs_free(struct sqs *s);

int sqs_set_queue_url(struct sqs *s, const char *url, struct err *e);
const char *sqs_queue_url(const struct sqs *s); /* NULL: not set yet */
/* "scheme://host:port" that requests go to, if the queue's URL names another server; else NULL. */
const char *sqs_other_server(const struct sqs *s);
const char *sqs_region(const struct sqs *s); /* that requests are signed for */
/* The same, without a client: -1 with `e` whenever sqs_new would. */
int sqs_tell_region(const struct sqs_options *options, char *out, size_t size, struct err *e);
bool sqs_is_fifo(const struct sqs *s); /* by its URL, which must be set */

/* Where copies go; without it, `copy` of the queue below may not be called. */
int sqs_set_dead_letter_url(struct sqs *s, const char *url, struct err *e);
const char *sqs_dead_letter_url(const struct sqs *s); /* NULL: there is none */

/* A client timeout of a receive is its wait and 10 s more, of a batch or a copy 10 s. A receive
 * that is cancelled may leave messages hidden for one visibility timeout. */
struct queue sqs_queue(struct sqs *s);

/* Any operation; all strings are copied. The answer's JSON object is borrowed for the time of the
 * callback, NULL unless result->status is QUEUE_OK (and may be then). Sends (operations named
 * Send…) reach the server once at most. -1 with `e`: not started. */
typedef void sqs_answered(void *arg, const struct queue_result *result, struct json_object *answer);
struct sqs_question {
    const char *operation;
    const char *body;  /* the request's JSON */
    const char *about; /* what words name: a queue's URL or name; NULL: the queue's URL */
    int timeout_ms;
};
int sqs_ask(struct sqs *s, const struct sqs_question *question, sqs_answered *answered, void *arg,
            struct err *e);

#endif
