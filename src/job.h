/* A message on its way through the program, and the verdict on it: the one thing that
 * crosses threads. (A request for a token crosses too: token.h.)
 *
 * Ownership moves with the job: the core thread makes it (aws/sqs.c) and frees it, a worker
 * has it between pool's `run` and the verdict. Each side reads and writes only while it has
 * the job, except `fence`, `wire_until_ms` and `at_work`, which are atomics that both sides use. */
#ifndef JOB_H
#define JOB_H

#include "base/list.h"
#include "base/trace.h"
#include "policy/envelope.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* How a call of a target ended, as far as its health goes. */
enum call_end {
    CALL_ANSWERED, /* whatever the answer, 4xx included */
    CALL_REFUSED,  /* 429, or 503 with Retry-After: too much */
    CALL_TIMEOUT,
    CALL_FAILED, /* no connection, cut, 5xx */
};

enum { CALL_NAME_BYTES = 48, CALLS_MAX = 128 };

/* One call of a target. Numbers of this kind go home with the verdict, so that the limit, the
 * breaker and what a message needs of a target are decided on one thread. */
struct target_call {
    char target[128];           /* scheme://host:port */
    char name[CALL_NAME_BYTES]; /* of its kind: "users.create", "GET /orders/…" */
    enum call_end end;
    int64_t rtt_us;
    int64_t started_ms;     /* CLOCK_BOOTTIME */
    int64_t retry_after_ms; /* with CALL_REFUSED; -1: none */
};

enum outcome {
    OUTCOME_NONE,    /* no verdict yet */
    OUTCOME_ACK,     /* delete */
    OUTCOME_RETRY,   /* visible again after a backoff, or after `after_ms` */
    OUTCOME_REJECT,  /* to the dead-letter queue */
    OUTCOME_RELEASE, /* visible again now: it did not run, or was cancelled before it sent */
};

enum { JOB_WORKER_STUCK = -1 }; /* it is stuck in C code, and others may have its number by now */

/* What `wire_until_ms` says besides a time. */
enum { WIRE_NEVER = 0, WIRE_ANSWERED = 1 };

struct job {
    struct list node; /* the list it waits in */
    void *home;       /* flow's record of the message; nobody else looks at it */
    int worker;       /* index of the worker that has it, or JOB_WORKER_STUCK; the core's */

    /* The message, read only from here on. All strings live in `message`. */
    struct json_object *message; /* SQS's message object; owned, freed by job_free */
    const char *id;
    const char *handle; /* the receipt handle it came with */
    const char *body;   /* the event: what is in the envelope, if there is one */
    size_t body_len;
    const char *whole; /* what the queue had: dead letters are copies of this */
    size_t whole_len;
    struct envelope envelope;
    const char *group;              /* MessageGroupId, or NULL */
    const char *deduplication_id;   /* MessageDeduplicationId, or NULL */
    struct json_object *attributes; /* MessageAttributes, or NULL; part of `message` */
    struct json_object *system;     /* Attributes, or NULL; part of `message` */
    int64_t sent_at_ms;             /* SentTimestamp, wall clock; 0 if unknown */
    int64_t received_us;            /* CLOCK_MONOTONIC when its receive was answered */
    int receive_count;
    int attempt; /* receives plus runs again here; set before each run */

    /* `fence`: set by the core, never cleared during a run: no binding of this job's task may
     * send anything any more. `wire_until_ms`: set by the worker before it looks at `fence` and
     * hands a request to the network: WIRE_NEVER, WIRE_ANSWERED (has sent, nothing is on the
     * wire), or the CLOCK_BOOTTIME at which the request on the wire will have timed out. Both
     * sequentially consistent: whoever comes second sees the other's mark, so that the core
     * knows without asking whether a fenced job can still touch the target. */
    atomic_bool fence;
    _Atomic int64_t wire_until_ms;

    /* Set by the worker while the handler's code runs for it, and does not wait: of the jobs of a
     * worker that is stuck in C code, the one that is to blame. */
    atomic_bool at_work;

    /* Set and cleared by the core: others may have received the message. The next binding of its
     * task that waits raises `lease_lost` (contract 5.4). */
    atomic_bool lease_lost;

    /* The server that this run is to try, "scheme://host:port" (the core's; it outlives the run),
     * or NULL; and whether that server answered it, not with 5xx. */
    const char *probes;
    bool probe_answered;

    /* The verdict, filled in by the worker. */
    enum outcome outcome;
    bool ran;            /* false: released before the handler was entered */
    bool target_failed;  /* the target's own failure, uncaught (contract section 4, Targets) */
    int64_t after_ms;    /* asked for by host.retry, or the least of a failure; -1: none */
    bool after_least;    /* an error's `after`, Retry-After for instance: backoff on top of it */
    uint32_t generation; /* of the handler that ran it */
    int64_t started_us;  /* CLOCK_MONOTONIC when the handler was entered */
    int64_t duration_us; /* in the handler, waits included */
    char kind[24];       /* of a failure: "lua" "contract" "time" "cpu" "memory" "http" … or "" */
    char at[96];         /* "register.lua:14", or "" */
    char target[128];    /* scheme://host:port that the failure names, or ""; it is the
                            target's own one with target_failed only */
    char *reason;        /* one line for the log and host.failure; owned; NULL if none */
    char *detail;        /* traceback and the like; owned; NULL if none */
    char *source;        /* the failing line between its neighbours; owned; NULL if none */

    /* The run's calls that have ended, owned. Those after CALLS_MAX, and those there was no memory
     * for, are left out. */
    struct target_call *calls;
    int call_count;
    int call_room;
};

/* Takes `message` over (also on failure). NULL: no memory, or no MessageId, ReceiptHandle and
 * Body in it. */
struct job *job_new(struct json_object *message);
void job_free(struct job *job);

/* Right after job_new: takes the event out of its envelope; `unwrap` as in policy/envelope.h. -1:
 * no memory. A body that is not what it should be stays as it is, with words in envelope.refused:
 * its run ends before the handler is entered. */
int job_unwrap(struct job *job, unsigned unwrap);

/* Its trace context: the attribute traceparent, of the message or of SNS's notification, else
 * X-Ray's header; "" if it has none. */
void job_trace(const struct job *job, char out[TRACE_BYTES]);
/* What goes with the attribute traceparent: its tracestate, or NULL. The job's. */
const char *job_tracestate(const struct job *job);

/* Room for one more call, zeroed; NULL: it is left out. */
struct target_call *job_add_call(struct job *job);

/* Forgets the verdict of an earlier run, so that the job can run again. */
void job_reset(struct job *job);

#endif
