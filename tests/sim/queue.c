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
    struct queue_copy *copy;
    int64_t give_up_ms; /* the long poll's end */
    int count;
    uint64_t handles[QUEUE_BATCH_MAX];
    int records[QUEUE_BATCH_MAX];
    int receives[QUEUE_BATCH_MAX];
    bool extension[QUEUE_BATCH_MAX];
    bool heard;
};

/* From here on a receive of it, or the end of its lease, may be nobody's fault. */
static void excuse_record(struct record *r)
{
    r->excused = r->burnt = true;
}

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
    sim.records = grab((size_t)count * sizeof *sim.records);
    sim.count = count;
    list_init(&sim.ready);
    list_init(&sim.hidden);
    for (int i = 0; i < count; i++) {
        struct record *r = &sim.records[i];
        r->number = i;
        snprintf(r->id, sizeof r->id, "m%d", i);
        list_init(&r->visible);
        r->visible_ms = between(&sim.load, 0, ARRIVALS_MS);
        r->poison = !sim.quiet && chance(&sim.load, 10);
        r->breaker = sim.enabled[FAULT_target_breaker] && chance(&sim.load, 10);
        arrange(r);
    }
}

struct record *record_of(const char *id)
{
    return &sim.records[atoi(id + 1)];
}

static struct call *call_new(struct host *h)
{
    struct call *c = grab(sizeof *c);
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
    if (status == QUEUE_BUSY && chance(&sim.fault, 200))
        r.retry_after_ms = between(&sim.fault, 0, 8000);
    snprintf(r.code, sizeof r.code, "Simulated");
    return r;
}

/* ---- receive ---- */

static struct job *make_job(const struct record *r, uint64_t handle, int receives)
{
    char text[300];
    snprintf(text, sizeof text,
             "{\"MessageId\":\"%s\",\"ReceiptHandle\":\"%d-%llu\",\"Body\":\"b%d\","
             "\"Attributes\":{\"ApproximateReceiveCount\":\"%d\",\"SentTimestamp\":\"1\"}}",
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

static void leave_queue(struct record *r, uint64_t how)
{
    r->gone = true;
    sim.gone++;
    list_remove(&r->visible);
    note(how, (uint64_t)r->number);
}

/* SQS moves what was received too often, unseen, at the next receive. */
static bool redrives(struct record *r)
{
    if (sim.max_receives == 0 || r->receives < sim.max_receives)
        return false;
    fault_hits[FAULT_redrive]++;
    tell(r, "moved to the dead-letter queue by the queue");
    check(INV_unrun, r->failed || r->burnt,
          "%s was received %d times, never failed by itself, and is a dead letter", r->id,
          r->receives);
    leave_queue(r, 4);
    return true;
}

static struct record *pick_next(struct call *c, bool *duplicate)
{
    struct record *r = pick_duplicate();
    *duplicate = r != NULL;
    if (!r)
        r = pick();
    for (int i = 0; r && i < c->count; i++)
        if (c->records[i] == r->number)
            return NULL;
    return r;
}

static bool take(struct call *c, int visibility_s)
{
    bool duplicate;
    struct record *r = pick_next(c, &duplicate);
    if (!r)
        return false;
    check_hidden(r, duplicate);
    if (!duplicate && redrives(r))
        return true;
    r->burnt = r->burnt || duplicate;
    if (r->holder)
        r->holder->troubled = true;
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

/* Hands the answer over, to a host that may be told of an end of its in there. */
static void receive_done(struct host *h, struct queue_receive *q)
{
    enter_flow(h);
    q->done(q);
    leave_flow(h);
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
            excuse_record(&sim.records[c->records[i]]);
    } else {
        q->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
        for (int i = 0; i < c->count; i++) {
            struct record *r = &sim.records[c->records[i]];
            struct job *job = make_job(r, c->handles[i], c->receives[i]);
            list_append(&q->jobs, &job->node);
            view_heard(h, r, c->handles[i], c->receives[i], q->first_byte_ms);
            if (r->handle != c->handles[i]) { /* handed out again meanwhile */
                excuse_record(r);
                continue;
            }
            r->excused = r->visible_ms - sim.now_ms < sim.visibility_s * 600 || being_settled(h, r);
            r->burnt = r->burnt || r->excused || h->draining;
            r->holder = h;
            r->holder_life = h->life;
            tell(r, "host %d hears of handle %llu%s", h->index, (unsigned long long)r->handle,
                 r->excused ? ", excused" : "");
        }
    }
    call_free(c);
    receive_done(h, q);
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
        c->host->troubled = true;
    if (delay_ms > 20)
        for (int i = 0; i < c->count; i++)
            excuse_record(&sim.records[c->records[i]]);
    later(delay_ms, c->host, receive_answered, c, 0);
}

static void receive_looks(void *arg, uint64_t number)
{
    struct call *c = arg;
    (void)number;
    show_due();
    while (c->count < c->receive->max && take(c, c->receive->visibility_s))
        ;
    int64_t left_ms = c->give_up_ms - sim.now_ms;
    if (c->count == 0 && left_ms > 0)
        later(sim.gone == sim.count || left_ms < LONG_POLL_LOOK_MS ? left_ms : LONG_POLL_LOOK_MS,
              c->host, receive_looks, c, 0);
    else
        answer_receive(c);
}

static void receive_failed(void *arg, uint64_t status)
{
    struct call *c = arg;
    struct queue_receive *q = c->receive;
    q->call = NULL;
    q->result = failure((enum queue_status)status);
    struct host *h = c->host;
    call_free(c);
    receive_done(h, q);
}

/* A host that knows of an outage may receive one message, to have something to try it with. */
static void check_receive(struct host *h, const struct queue_receive *q)
{
    check(INV_drain, !h->draining, "host %d receives after its drain began", h->index);
    check(INV_held, !h->held, "host %d receives while it is paused", h->index);
    check(INV_outage, !h->token_away || h->trialled || h->unsure,
          "host %d receives while it can have no token", h->index);
    int in_hand = view_in_hand(h), open = queue_polls_open(h), slots = h->workers * h->slots;
    check(INV_permits, q->max >= 1 && q->max <= h->batch && q->wait_s <= h->wait_s,
          "host %d asks for %d of at most %d, waiting %d s", h->index, q->max, h->batch, q->wait_s);
    check(INV_permits, in_hand + queue_reserved(h) + q->max <= 2 * slots + h->homing,
          "host %d has %d in hand and %d asked for, asks for %d more and has %d slots", h->index,
          in_hand, queue_reserved(h), q->max, slots);
    if (!h->down_known || h->unsure)
        return;
    check(INV_outage, q->max == 1 && open == 0 && (in_hand == 0 || view_has_company(h)),
          "host %d receives %d while its target is down, %d are in hand and %d polls open",
          h->index, q->max, in_hand, open);
    corners[in_hand == 0 ? CORNER_trial_receive : CORNER_company_received]++;
}

static int receive(void *self, struct queue_receive *q)
{
    struct host *h = self;
    check_receive(h, q);
    if (strikes(FAULT_call_refused, 3)) {
        q->result = failure(QUEUE_FAULT);
        return -1;
    }
    struct call *c = call_new(h);
    c->receive = q;
    c->give_up_ms = sim.now_ms + q->wait_s * 1000;
    q->call = c;
    if ((sim.queue_away && sim.now_ms < sim.faults_end_ms) || strikes(FAULT_receive_lost, 20))
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
        excuse_record(&sim.records[c->records[i]]);
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
    if (!r->gone) {
        check(INV_no_loss, r->acked || r->confirmed,
              "%s was deleted, no handler had acked it and no copy was confirmed", r->id);
        leave_queue(r, 2);
    }
    return true;
}

static bool change_entry(struct record *r, uint64_t handle, int visibility_s)
{
    show_due();
    if (r->gone || handle != r->handle)
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
        c->batch->result = failure(QUEUE_UNREACHABLE);
        excuse(c);
    }
    batch_done(c);
}

static void execute_entry(struct call *c, int i)
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
    bool good = c->batch->op == QUEUE_DELETE ? delete_entry(r, c->handles[i])
                                             : change_entry(r, c->handles[i], e->visibility_s);
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
    c->batch->result = failure((enum queue_status)status);
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
    c->batch->result = failure(QUEUE_FAULT);
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

/* ---- copies to the dead-letter queue ---- */

static void copy_executes(struct record *r)
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
                                      : failure((enum queue_status)status);
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
    if (strikes(FAULT_copy_unheard, 100))
        later(TIMEOUT_MS, c->host, copy_answered, c, QUEUE_UNREACHABLE);
    else if (strikes(FAULT_copy_late, 100))
        later(between(&sim.fault, 1000, TIMEOUT_MS - 1), c->host, copy_answered, c, QUEUE_OK);
    else
        later(between(&sim.fault, 1, 20), c->host, copy_answered, c, QUEUE_OK);
}

static int copy(void *self, struct queue_copy *q)
{
    struct host *h = self;
    struct record *r = record_of(q->job->id);
    tell(r, "host %d sends a copy", h->index);
    view_copies(h, r, q);
    if (strikes(FAULT_call_refused, 3)) {
        q->result = failure(QUEUE_FAULT);
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
               strikes(FAULT_copy_lost, 100)) {
        later(between(&sim.fault, 1, TIMEOUT_MS), h, copy_answered, c, QUEUE_UNREACHABLE);
    } else if (strikes(FAULT_copy_busy, 100)) {
        later(between(&sim.fault, 1, 50), h, copy_answered, c, QUEUE_BUSY);
    } else {
        later(between(&sim.fault, 1, 10), h, copy_arrives, c, 0);
    }
    return 0;
}

struct queue queue_for(struct host *h)
{
    static const struct queue_ops ops = {
        .receive = receive, .cancel = cancel, .batch = batch, .copy = copy};
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
                execute_entry(c, i);
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
