/* A call for up to ten messages: deletes, visibilities. */
#include "flow/state.h"

#include <stdlib.h>

struct batch_call *batch_new(struct flow *f, enum queue_op op, void (*done)(struct queue_batch *))
{
    struct batch_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->flow = f;
    c->batch.op = op;
    c->batch.done = done;
    list_append(&f->calls, &c->node);
    return c;
}

void batch_add(struct batch_call *c, struct message *m, int visibility_s)
{
    c->batch.entries[c->batch.count++] =
        (struct queue_entry){.handle = m->handle, .visibility_s = visibility_s, .tag = m};
}

void batch_send(struct batch_call *c)
{
    struct queue *queue = &c->flow->seam.queue;
    if (queue->ops->batch(queue->self, &c->batch) != 0)
        c->batch.done(&c->batch); /* the result says why, as for one that came back */
}

void batch_free(struct batch_call *c)
{
    list_remove(&c->node);
    free(c);
}
