/* Keeps the number of workers between workers.min and workers.max (policy/scale.h): looks at the
 * flow every scale.interval, asks the queue how much waits while there is anything to do, and tells
 * pool and flow. Core thread only. */
#ifndef OPS_SCALER_H
#define OPS_SCALER_H

#include "base/err.h"
#include "policy/scale.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct conf;
struct flow;
struct pool;
struct sqs;

struct scaler {
    struct ev_loop *loop;
    ev_timer timer;
    struct pool *pool;
    struct flow *flow;
    struct sqs *sqs;
    struct scale policy;
    int most;   /* workers.max */
    int wanted; /* now */
    int usable; /* as the flow was told */
    int64_t completed, received;
    int64_t depth;           /* visible, in flight and delayed; SCALE_UNKNOWN */
    int64_t visible, hidden; /* as the queue said last, for people; SCALE_UNKNOWN */
    bool asking;
    bool refused;    /* the queue's attributes may not be read */
    int64_t *cpu_us; /* per worker, at the last look */
    int64_t cpu_looked_us;
};

/* Begins; the others must outlive it, but for answers of the queue, which may come no more after
 * scaler_stop. -1: no memory. */
int scaler_start(struct scaler *s, struct ev_loop *loop, const struct conf *c, struct pool *pool,
                 struct flow *flow, struct sqs *sqs, struct err *e);
void scaler_stop(struct scaler *s); /* also if it was never started */

/* After each turn of the loop: workers that have become ready, or have nothing more to do. */
void scaler_turn(struct scaler *s);

/* Other bounds from now on. -1 with `e`: they cannot be. */
int scaler_set(struct scaler *s, int min, int max, struct err *e);

#endif
