/* Copies on their way to the dead-letter queue. */
#include "wire.h"

void copy_executes(struct record *r)
{
    r->copies++;
    note(5, (uint64_t)r->number);
    tell(r, "copied to the dead-letter queue");
}

static void copy_answered(void *arg, uint64_t status)
{
    struct call *c = arg;
    struct queue_copy *copy = c->copy;
    struct host *h = c->host;
    struct record *r = &sim.records[c->records[0]];
    copy->result = status == QUEUE_OK ? (struct queue_result){.retry_after_ms = -1}
                                      : call_failure((enum queue_status)status);
    copy->call = NULL;
    r->confirmed = r->confirmed || status == QUEUE_OK;
    view_copied(h, r, &copy->result);
    call_free(c);
    enter_flow(h);
    copy->done(copy);
    leave_flow(h);
}

static void copy_arrives(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    copy_executes(&sim.records[c->records[0]]);
    if (strikes(FAULT_copy_unheard, 250))
        later(TIMEOUT_MS, c->host, copy_answered, c, QUEUE_UNREACHABLE);
    else if (strikes(FAULT_copy_late, 250))
        later(between(&sim.fault, 1000, TIMEOUT_MS - 1), c->host, copy_answered, c, QUEUE_OK);
    else
        later(between(&sim.fault, 1, 20), c->host, copy_answered, c, QUEUE_OK);
}

int wire_copy(void *self, struct queue_copy *q)
{
    struct host *h = self;
    struct record *r = record_of(q->job->id);
    tell(r, "host %d sends a copy", h->index);
    view_copies(h, r, q);
    if (strikes(FAULT_call_refused, 3)) {
        q->result = call_failure(QUEUE_FAULT);
        view_copied(h, r, &q->result);
        return -1;
    }
    struct call *c = call_new(h);
    c->copy = q;
    c->records[c->count++] = r->number;
    q->call = c;
    if (sim.dlq_status != QUEUE_OK) {
        fault_hits[FAULT_copy_denied]++;
        later(between(&sim.fault, 1, 50), h, copy_answered, c, sim.dlq_status);
    } else if ((sim.queue_away && sim.now_ms < sim.faults_end_ms) ||
               strikes(FAULT_copy_lost, 250)) {
        later(between(&sim.fault, 1, TIMEOUT_MS), h, copy_answered, c, QUEUE_UNREACHABLE);
    } else if (strikes(FAULT_copy_busy, 250)) {
        later(between(&sim.fault, 1, 50), h, copy_answered, c, QUEUE_BUSY);
    } else {
        later(between(&sim.fault, 1, 10), h, copy_arrives, c, 0);
    }
    return 0;
}
