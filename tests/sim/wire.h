/* What the files of the simulated queue share: a call on the wire, and what it does on arrival. */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "world.h"

enum { TIMEOUT_MS = 10000 };

/* A call on the wire. The flow's object is touched only if its host still lives. */
struct call {
    struct list node;
    struct host *host;
    struct queue_receive *receive;
    struct queue_batch *batch;
    struct queue_copy *copy;
    int64_t give_up_ms; /* the long poll's end */
    int count;
    uint64_t handles[QUEUE_BATCH_MAX];
    int records[QUEUE_BATCH_MAX];
    int receives[QUEUE_BATCH_MAX];
    bool extension[QUEUE_BATCH_MAX];
    bool heard;
};

/* wire.c */
struct call *call_new(struct host *h);
void call_free(struct call *c);
struct queue_result call_failure(enum queue_status status);

/* queue.c */
void excuse_record(struct record *r);
void queue_show_due(void);
bool queue_take(struct call *c, int visibility_s); /* one more message; false: there is none */
bool queue_delete(struct record *r, uint64_t handle);
bool queue_change(struct record *r, uint64_t handle, int visibility_s);

/* receive.c */
int wire_receive(void *self, struct queue_receive *q);
void wire_cancel(void *self, struct queue_receive *q);

/* batch.c */
int wire_batch(void *self, struct queue_batch *b);
void batch_execute_entry(struct call *c, int i);

/* copy.c */
int wire_copy(void *self, struct queue_copy *q);
void copy_executes(struct record *r);

#endif
