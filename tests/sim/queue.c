/* SQS, a standard queue, as AWS documents it (reference: sqs, simulation section 3). */
#include "world.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TWELVE_HOURS_MS = 43200 * 1000, TIMEOUT_MS = 10000, LONG_POLL_LOOK_MS = 100 };

/* A call on the wire. The flow's object is touched only if its host still lives. */
struct call {
    struct list node;
    struct host *host;
    struct queue_receive *receive;
    struct queue_batch *batch;
    int64_t give_up_ms; /* the long poll's end */
    int count;
    uint64_t handles[QUEUE_BATCH_MAX];
    int records[QUEUE_BATCH_MAX];
    int receives[QUEUE_BATCH_MAX];
    bool heard;
};

static void arrange(struct record *r)
{
    list_remove(&r->visible);
    struct list *place = &sim.hidden;
    if (r->visible_ms <= sim.now_ms) {
        list_append(&sim.ready, &r->visible);
        return;
    }
    while (place->prev != &sim.hidden &&
           list_entry(place->prev, struct record, visible)->visible_ms > r->visible_ms)
        place = place->prev;
    list_insert(place, &r->visible);
}

static void show_due(void)
{
    struct list *node;
    while ((node = list_first(&sim.hidden))) {
        struct record *r = list_entry(node, struct record, visible);
        if (r->visible_ms > sim.now_ms)
            return;
        arrange(r);
    }
}

void queue_fill(int count)
{
    sim.records = calloc((size_t)count, sizeof *sim.records);
    sim.count = count;
    list_init(&sim.ready);
    list_init(&sim.hidden);
    for (int i = 0; i < count; i++) {
        struct record *r = &sim.records[i];
        r->number = i;
        snprintf(r->id, sizeof r->id, "m%d", i);
        list_init(&r->visible);
        r->visible_ms = between(&sim.load, 0, 30000); /* arrivals */
        r->poison = chance(&sim.load, 10);
        arrange(r);
    }
}

struct record *record_of(const char *id)
{
    return &sim.records[atoi(id + 1)];
}

static struct call *call_new(struct host *h)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->host = h;
    list_append(&h->calls, &c->node);
    return c;
}

static void call_free(struct call *c)
{
    list_remove(&c->node);
    free(c);
}

static struct queue_result failure(enum queue_status status)
{
    struct queue_result r = {.status = status, .retry_after_ms = -1};
    snprintf(r.code, sizeof r.code, "Simulated");
    return r;
}

/* ---- receive ---- */

static struct job *make_job(const struct record *r, uint64_t handle, int receives)
{
    char text[300];
    snprintf(text, sizeof text,
             "{\"MessageId\":\"%s\",\"ReceiptHandle\":\"%d-%llu\",\"Body\":\"b%d\","
             "\"Attributes\":{\"ApproximateReceiveCount\":\"%d\"}}",
             r->id, r->number, (unsigned long long)handle, r->number, receives);
    sim.jobs_made++;
    return job_new(json_tokener_parse(text));
}

/* Another host may see it now: was it in somebody's hand? */
static void check_hidden(const struct record *r, bool duplicate)
{
    struct host *h = r->holder;
    bool in_hand = h && h->up && h->life == r->holder_life && !duplicate;
    check(INV_lease, !in_hand || r->excused,
          "%s was shown again while host %d held it and nothing had gone wrong", r->id,
          h ? h->index : -1);
    check(INV_wire, duplicate || r->excused || r->wire_until_ms <= sim.now_ms,
          "%s was shown again %lld ms before its request could not reach the target any more",
          r->id, (long long)(r->wire_until_ms - sim.now_ms));
}

static struct record *pick(void)
{
    struct list *node = list_first(&sim.ready);
    if (node && chance(&sim.load, 300) && node->next != &sim.ready)
        node = node->next; /* no order is promised */
    return node ? list_entry(node, struct record, visible) : NULL;
}

static struct record *pick_duplicate(void)
{
    struct list *node = list_first(&sim.hidden);
    return node && strikes(FAULT_duplicate, 20) ? list_entry(node, struct record, visible) : NULL;
}

static bool take(struct call *c, int visibility_s)
{
    struct record *r = pick_duplicate();
    bool duplicate = r != NULL;
    if (!r)
        r = pick();
    for (int i = 0; r && i < c->count; i++)
        if (c->records[i] == r->number)
            return false;
    if (!r)
        return false;
    check_hidden(r, duplicate);
    r->wire_until_ms = 0; /* whoever gets it now cannot know of an older request */
    r->receives++;
    r->handle++;
    r->received_ms = sim.now_ms;
    r->visible_ms = sim.now_ms + visibility_s * 1000;
    arrange(r);
    c->handles[c->count] = r->handle;
    c->receives[c->count] = r->receives;
    c->records[c->count++] = r->number;
    note(1, (uint64_t)r->number);
    tell(r, "received by host %d, handle %llu, hidden until %lld%s", c->host->index,
         (unsigned long long)r->handle, (long long)r->visible_ms, duplicate ? ", duplicate" : "");
    return true;
}

/* Its host has a settlement of it on the wire and does not extend it any more. */
static bool being_settled(struct host *h, const struct record *r)
{
    list_for_each (node, &h->calls) {
        const struct call *c = list_entry(node, struct call, node);
        for (int i = 0; c->batch && i < c->count; i++)
            if (c->records[i] == r->number)
                return true;
    }
    return false;
}

static void receive_answered(void *arg, uint64_t number)
{
    struct call *c = arg;
    struct queue_receive *q = c->receive;
    struct host *h = c->host;
    (void)number;
    q->call = NULL;
    if (!c->heard) {
        q->result = failure(QUEUE_UNREACHABLE);
        for (int i = 0; i < c->count; i++)
            sim.records[c->records[i]].excused = true;
    } else {
        q->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
        for (int i = 0; i < c->count; i++) {
            struct record *r = &sim.records[c->records[i]];
            struct job *job = make_job(r, c->handles[i], c->receives[i]);
            list_append(&q->jobs, &job->node);
            if (r->handle != c->handles[i]) { /* handed out again meanwhile */
                r->excused = true;
                continue;
            }
            r->excused = r->visible_ms - sim.now_ms < sim.visibility_s * 600 || being_settled(h, r);
            r->holder = h;
            r->holder_life = h->life;
            r->heard = r->handle;
            tell(r, "host %d hears of handle %llu%s", h->index, (unsigned long long)r->handle,
                 r->excused ? ", excused" : "");
        }
    }
    call_free(c);
    q->done(q);
}

static void answer_receive(struct call *c)
{
    int64_t delay_ms = between(&sim.fault, 1, 20);
    c->heard = true;
    if (c->count > 0 && strikes(FAULT_receive_unheard, 20)) {
        c->heard = false;
        delay_ms = TIMEOUT_MS;
    } else if (strikes(FAULT_receive_late, 10)) {
        delay_ms = between(&sim.fault, 1000, sim.visibility_s * 400);
    }
    /* a lease begins at the answer's first byte: what came later was lost on the way */
    c->receive->first_byte_ms = sim.now_ms + delay_ms;
    if (delay_ms > 20)
        for (int i = 0; i < c->count; i++)
            sim.records[c->records[i]].excused = true;
    later(delay_ms, c->host, receive_answered, c, 0);
}

static void receive_looks(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    show_due();
    while (c->count < c->receive->max && take(c, c->receive->visibility_s))
        ;
    if (c->count == 0 && sim.now_ms < c->give_up_ms)
        later(LONG_POLL_LOOK_MS, c->host, receive_looks, c, 0);
    else
        answer_receive(c);
}

static void receive_failed(void *arg, uint64_t status)
{
    struct call *c = arg;
    struct queue_receive *q = c->receive;
    q->call = NULL;
    q->result = failure((enum queue_status)status);
    call_free(c);
    q->done(q);
}

static int receive(void *self, struct queue_receive *q)
{
    struct host *h = self;
    check(INV_drain, !h->draining, "host %d receives after its drain began", h->index);
    check(INV_outage, !h->down_known || q->max == 1, "host %d receives %d while its target is down",
          h->index, q->max);
    struct call *c = call_new(h);
    c->receive = q;
    c->give_up_ms = sim.now_ms + q->wait_s * 1000;
    q->call = c;
    if (sim.queue_away || strikes(FAULT_receive_lost, 20))
        later(between(&sim.fault, 1, TIMEOUT_MS), h, receive_failed, c, QUEUE_UNREACHABLE);
    else if (strikes(FAULT_receive_busy, 20))
        later(between(&sim.fault, 1, 50), h, receive_failed, c, QUEUE_BUSY);
    else
        later(between(&sim.fault, 1, 10), h, receive_looks, c, 0);
    return 0;
}

/* Events of a cut poll stay in the heap: the call is emptied, not freed, until they came. */
static void cut_looks(void *arg, uint64_t number)
{
    (void)number;
    free(arg);
}

static void cancel(void *self, struct queue_receive *q)
{
    struct host *h = self;
    struct call *c = q->call;
    q->call = NULL;
    for (int i = 0; i < c->count; i++)
        sim.records[c->records[i]].excused = true;
    for (size_t i = 0; i < sim.events; i++)
        if (sim.heap[i].arg == c && sim.heap[i].host == h && sim.heap[i].life == h->life) {
            sim.heap[i].happen = cut_looks;
            sim.heap[i].host = NULL;
        }
    list_remove(&c->node);
}

void queue_forget_events(void)
{
    for (size_t i = 0; i < sim.events; i++)
        if (sim.heap[i].happen == cut_looks)
            free(sim.heap[i].arg);
}

/* ---- batches ---- */

static bool delete_entry(struct record *r, uint64_t handle)
{
    if (handle != r->handle && chance(&sim.fault, 500))
        return true; /* "succeeds but may not delete" */
    if (!r->deleted) {
        check(INV_no_loss, r->acked, "%s was deleted and no handler had acked it", r->id);
        r->deleted = true;
        sim.deleted++;
        list_remove(&r->visible);
        note(2, (uint64_t)r->number);
    }
    return true;
}

static bool change_entry(struct record *r, uint64_t handle, int visibility_s)
{
    show_due();
    if (r->deleted || handle != r->handle)
        return chance(&sim.fault, 500);
    if (r->visible_ms <= sim.now_ms)
        return false; /* MessageNotInflight */
    if (sim.now_ms + visibility_s * INT64_C(1000) > r->received_ms + TWELVE_HOURS_MS)
        return false;
    r->visible_ms = sim.now_ms + visibility_s * INT64_C(1000);
    arrange(r);
    return true;
}

static void excuse(const struct call *c)
{
    for (int i = 0; i < c->count; i++)
        sim.records[c->records[i]].excused = true;
}

static bool extends(const struct record *r, const struct host *h)
{
    return r->extender == h && r->extender_life == h->life;
}

static void end_extensions(const struct call *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->batch->op == QUEUE_CHANGE && extends(&sim.records[c->records[i]], c->host))
            sim.records[c->records[i]].extender = NULL;
}

static void batch_answered(void *arg, uint64_t number)
{
    struct call *c = arg;
    struct queue_batch *b = c->batch;
    (void)number;
    b->call = NULL;
    end_extensions(c);
    if (!c->heard) {
        b->result = failure(QUEUE_UNREACHABLE);
        excuse(c);
    }
    call_free(c);
    b->done(b);
}

static void execute_entry(struct call *c, int i)
{
    struct queue_entry *e = &c->batch->entries[i];
    struct record *r = &sim.records[c->records[i]];
    e->ok = e->sender_fault = false;
    tell(r, "%s by host %d, handle %llu, %d s", c->batch->op == QUEUE_DELETE ? "delete" : "change",
         c->host->index, (unsigned long long)c->handles[i], e->visibility_s);
    if (strikes(FAULT_entry_failed, 30)) {
        r->excused = true;
        return;
    }
    bool good = c->batch->op == QUEUE_DELETE ? delete_entry(r, c->handles[i])
                                             : change_entry(r, c->handles[i], e->visibility_s);
    if (good && strikes(FAULT_entry_missing, 10)) {
        r->excused = true;
        return;
    }
    if (!good)
        r->excused = true; /* its host is told that the lease has ended */
    e->ok = good;
    e->sender_fault = !good;
}

static void batch_executes(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    int64_t delay_ms = between(&sim.fault, 1, 20);
    for (int i = 0; i < c->count; i++)
        execute_entry(c, i);
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
    struct queue_batch *b = c->batch;
    b->call = NULL;
    end_extensions(c);
    b->result = failure((enum queue_status)status);
    excuse(c);
    call_free(c);
    b->done(b);
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
    if (r->holder == h && r->holder_life == h->life)
        check(INV_newest, handle >= r->heard, "%s: handle %llu is used, host %d knows %llu", r->id,
              handle, h->index, (unsigned long long)r->heard);
    /* An extension by an older handle changes nothing any more. */
    check(INV_ordered, !extends(r, h) || r->extender_handle != handle,
          "%s: two calls on the wire could overtake each other", r->id);
    /* Retries are always shorter than the lease here: that is how extensions are told. */
    bool extension = c->batch->op == QUEUE_CHANGE && e->visibility_s == sim.visibility_s;
    if (extension) {
        r->extender = h;
        r->extender_life = h->life;
        r->extender_handle = handle;
        r->excused = r->excused || h->draining;
    } else if (r->holder == h) {
        r->holder = NULL; /* a settlement lets it go */
    }
}

static int batch(void *self, struct queue_batch *b)
{
    struct host *h = self;
    struct call *c = call_new(h);
    c->batch = b;
    c->count = b->count;
    b->call = c;
    b->sent_ms = sim.now_ms;
    for (int i = 0; i < b->count; i++)
        note_entry(c, i);
    if (sim.queue_away || strikes(FAULT_batch_lost, 20)) {
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

struct queue queue_for(struct host *h)
{
    static const struct queue_ops ops = {.receive = receive, .cancel = cancel, .batch = batch};
    return (struct queue){.ops = &ops, .self = h};
}

/* The host is gone: what was on the wire executes or not, nobody hears of it. */
void queue_forget_calls(struct host *h)
{
    struct list *node;
    while ((node = list_pop(&h->calls))) {
        struct call *c = list_entry(node, struct call, node);
        for (int i = 0; i < c->count; i++) {
            struct record *r = &sim.records[c->records[i]];
            r->excused = true;
        }
        if (c->batch && chance(&sim.fault, 500))
            for (int i = 0; i < c->count; i++)
                execute_entry(c, i);
        free(c);
    }
}
