/* Deletes and visibilities on their way, and what becomes of each entry. */
#include "wire.h"

#include <stdio.h>

static void excuse(const struct call *c)
{
    c->host->troubled = true;
    for (int i = 0; i < c->count; i++)
        excuse_record(&sim.records[c->records[i]]);
}

static bool extends(const struct record *r, const struct host *h)
{
    return r->extender == h && r->extender_life == h->life;
}

/* The answer, entry by entry, as its host reads it. */
static void batch_done(struct call *c)
{
    struct queue_batch *b = c->batch;
    struct host *h = c->host;
    b->call = NULL;
    for (int i = 0; i < c->count; i++) {
        struct record *r = &sim.records[c->records[i]];
        if (c->extension[i] && extends(r, h))
            r->extender = NULL;
        if (c->extension[i])
            view_extended(h, r, c->handles[i], b, &b->entries[i]);
        else
            view_settled(h, r, c->handles[i], b, &b->entries[i]);
    }
    call_free(c);
    enter_flow(h);
    b->done(b);
    leave_flow(h);
}

static void batch_answered(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    if (!c->heard) {
        c->batch->result = call_failure(QUEUE_UNREACHABLE);
        excuse(c);
    }
    batch_done(c);
}

void batch_execute_entry(struct call *c, int i)
{
    struct queue_entry *e = &c->batch->entries[i];
    struct record *r = &sim.records[c->records[i]];
    e->ok = e->sender_fault = false;
    tell(r, "%s by host %d, handle %llu, %d s", c->batch->op == QUEUE_DELETE ? "delete" : "change",
         c->host->index, (unsigned long long)c->handles[i], e->visibility_s);
    if (strikes(FAULT_entry_failed, 30)) {
        excuse_record(r);
        c->host->troubled = true;
        return;
    }
    bool good = c->batch->op == QUEUE_DELETE ? queue_delete(r, c->handles[i])
                                             : queue_change(r, c->handles[i], e->visibility_s);
    if (good && strikes(FAULT_entry_missing, 10)) {
        excuse_record(r);
        c->host->troubled = true;
        return;
    }
    if (!good) { /* its host is told that the lease has ended */
        excuse_record(r);
        c->host->troubled = true;
    }
    e->ok = good;
    e->sender_fault = !good;
}

static void batch_executes(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    int64_t delay_ms = between(&sim.fault, 1, 20);
    for (int i = 0; i < c->count; i++)
        batch_execute_entry(c, i);
    c->batch->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
    c->heard = !strikes(FAULT_batch_unheard, 20);
    if (!c->heard)
        delay_ms = TIMEOUT_MS;
    else if (strikes(FAULT_batch_late, 10))
        delay_ms = between(&sim.fault, 1000, TIMEOUT_MS - 1);
    if (delay_ms > 20)
        excuse(c);
    later(delay_ms, c->host, batch_answered, c, 0);
}

static void batch_failed(void *arg, uint64_t status)
{
    struct call *c = arg;
    c->batch->result = call_failure((enum queue_status)status);
    excuse(c);
    batch_done(c);
}

static void note_entry(struct call *c, int i)
{
    struct host *h = c->host;
    const struct queue_entry *e = &c->batch->entries[i];
    unsigned long long handle = 0;
    int number = -1;
    sscanf(e->handle, "%d-%llu", &number, &handle);
    struct record *r = &sim.records[number];
    c->records[i] = number;
    c->handles[i] = handle;
    /* An extension by an older handle changes nothing any more. */
    check(INV_ordered, !extends(r, h) || r->extender_handle != handle,
          "%s: two calls on the wire could overtake each other", r->id);
    c->extension[i] = view_is_extension(h, r, e, c->batch->op);
    if (c->batch->op == QUEUE_DELETE)
        view_deletes(h, r);
    if (c->extension[i])
        view_extends(h, r, handle);
    else
        view_settles(h, r, handle, c->batch->op, e->visibility_s);
    if (c->extension[i]) {
        r->extender = h;
        r->extender_life = h->life;
        r->extender_handle = handle;
        r->excused = r->excused || h->draining;
    } else if (r->holder == h) {
        r->holder = NULL; /* a settlement lets it go */
    }
}

/* Not even started: the flow calls `done` itself. */
static void refuse(struct call *c)
{
    excuse(c);
    c->batch->result = call_failure(QUEUE_FAULT);
    for (int i = 0; i < c->count; i++) {
        struct record *r = &sim.records[c->records[i]];
        if (c->extension[i])
            view_extended(c->host, r, c->handles[i], c->batch, &c->batch->entries[i]);
        else
            view_settled(c->host, r, c->handles[i], c->batch, &c->batch->entries[i]);
        if (c->extension[i] && extends(r, c->host))
            r->extender = NULL;
    }
    c->batch->call = NULL;
    call_free(c);
}

int wire_batch(void *self, struct queue_batch *b)
{
    struct host *h = self;
    struct call *c = call_new(h);
    c->batch = b;
    c->count = b->count;
    b->call = c;
    b->sent_ms = sim.now_ms;
    for (int i = 0; i < b->count; i++)
        note_entry(c, i);
    if (strikes(FAULT_call_refused, 3)) {
        refuse(c);
        return -1;
    }
    if ((sim.queue_away && sim.now_ms < sim.faults_end_ms) || strikes(FAULT_batch_lost, 20)) {
        excuse(c);
        later(between(&sim.fault, 1, TIMEOUT_MS), h, batch_failed, c, QUEUE_UNREACHABLE);
    } else if (strikes(FAULT_batch_busy, 20)) {
        excuse(c);
        later(between(&sim.fault, 1, 50), h, batch_failed, c, QUEUE_BUSY);
    } else {
        later(between(&sim.fault, 1, 10), h, batch_executes, c, 0);
    }
    return 0;
}
