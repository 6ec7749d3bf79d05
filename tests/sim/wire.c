/* Calls between a host and the queue: what is on the wire, and what becomes of it when its host
 * is gone. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

struct call *call_new(struct host *h)
{
    struct call *c = grab(sizeof *c);
    c->host = h;
    list_append(&h->calls, &c->node);
    return c;
}

void call_free(struct call *c)
{
    list_remove(&c->node);
    free(c);
}

struct queue_result call_failure(enum queue_status status)
{
    struct queue_result r = {.status = status, .retry_after_ms = -1};
    if (status == QUEUE_BUSY && chance(&sim.fault, 200))
        r.retry_after_ms = between(&sim.fault, 0, 8000);
    snprintf(r.code, sizeof r.code, "Simulated");
    return r;
}

struct queue queue_for(struct host *h)
{
    static const struct queue_ops ops = {
        .receive = wire_receive, .cancel = wire_cancel, .batch = wire_batch, .copy = wire_copy};
    return (struct queue){.ops = &ops, .self = h};
}

/* The host is gone: what was on the wire executes or not, nobody hears of it. */
void queue_forget_calls(struct host *h)
{
    struct list *node;
    while ((node = list_pop(&h->calls))) {
        struct call *c = list_entry(node, struct call, node);
        for (int i = 0; i < c->count; i++)
            excuse_record(&sim.records[c->records[i]]);
        if (c->batch && chance(&sim.fault, 500))
            for (int i = 0; i < c->count; i++)
                batch_execute_entry(c, i);
        if (c->copy && sim.dlq_status == QUEUE_OK && chance(&sim.fault, 500))
            copy_executes(&sim.records[c->records[0]]);
        free(c);
    }
}

int queue_polls_open(const struct host *h)
{
    int open = 0;
    list_for_each (node, &h->calls)
        open += list_entry(node, struct call, node)->receive != NULL;
    return open;
}

int queue_copies_open(const struct host *h)
{
    int open = 0;
    list_for_each (node, &h->calls)
        open += list_entry(node, struct call, node)->copy != NULL;
    return open;
}

int queue_reserved(const struct host *h)
{
    int messages = 0;
    list_for_each (node, &h->calls) {
        const struct call *c = list_entry(node, struct call, node);
        messages += c->receive ? c->receive->max : 0;
    }
    return messages;
}

int queue_batches_open(const struct host *h)
{
    int open = 0;
    list_for_each (node, &h->calls)
        open += list_entry(node, struct call, node)->batch != NULL;
    return open;
}
