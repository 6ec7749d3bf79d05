/* Receives on their way: long polls, answers that are late or lost, polls that are cut. */
#include "wire.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG_POLL_LOOK_MS = 100, EMPTIES_MOST = 20 };

static struct job *make_job(const struct record *r, uint64_t handle, int receives)
{
    char text[400], key[40] = "null", dedup[80] = "";
    if (!r->keyless)
        snprintf(key, sizeof key, r->key % 2 ? "%d" : "\\\"K%d\\\"", r->key);
    if (!r->keyless)
        snprintf(dedup, sizeof dedup, ",\"MessageDeduplicationId\":\"D%d\"", r->key);
    snprintf(text, sizeof text,
             "{\"MessageId\":\"%s\",\"ReceiptHandle\":\"%d-%llu\","
             "\"Body\":\"{\\\"k\\\":%s,\\\"b\\\":%d}\","
             "\"Attributes\":{\"ApproximateReceiveCount\":\"%d\",\"SentTimestamp\":\"1\","
             "\"MessageGroupId\":\"G%d\"%s}}",
             r->id, r->number, (unsigned long long)handle, key, r->body, receives, r->group, dedup);
    sim.jobs_made++;
    return job_new(json_tokener_parse(text));
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
        q->result = call_failure(QUEUE_UNREACHABLE);
        q->result.unheard = true;
        h->unheard_until_ms = sim.now_ms + sim.visibility_s * INT64_C(1000);
        for (int i = 0; i < c->count; i++)
            excuse_record(&sim.records[c->records[i]]);
    } else {
        q->result = (struct queue_result){.status = QUEUE_OK, .retry_after_ms = -1};
        if (c->count == 0)
            host_calm(h, &h->empties, EMPTIES_MOST);
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
    queue_show_due();
    while (c->count < c->receive->max && queue_take(c, c->receive->visibility_s))
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
    q->result = call_failure((enum queue_status)status);
    q->result.unheard = status == QUEUE_UNREACHABLE; /* for all that its host knows */
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
    check_if(sim.closed && h->store_away && !h->unsure, INV_waits,
             q->max == 1 && open == 0 && in_hand <= h->homing,
             "host %d receives %d while the store is away, %d are in hand", h->index, q->max,
             in_hand);
    check(INV_permits, q->max >= 1 && q->max <= h->batch && q->wait_s <= h->wait_s,
          "host %d asks for %d of at most %d, waiting %d s", h->index, q->max, h->batch, q->wait_s);
    int ahead = sim.fifo ? 0 : slots > h->batch ? slots : h->batch; /* fetched before its time */
    check_if(!h->down_known, INV_permits,
             in_hand + queue_reserved(h) + q->max <= slots + ahead + h->homing,
             "host %d has %d in hand and %d asked for, asks for %d more and has %d slots", h->index,
             in_hand, queue_reserved(h), q->max, slots);
    if (!h->down_known || h->unsure)
        return;
    in_hand -= view_key_waiting(h); /* those cannot try it */
    check(INV_outage, q->max == 1 && open == 0 && (in_hand == 0 || view_has_company(h)),
          "host %d receives %d while its target is down, %d are in hand and %d polls open",
          h->index, q->max, in_hand, open);
    corners[in_hand == 0 ? CORNER_trial_receive : CORNER_company_received]++;
}

int wire_receive(void *self, struct queue_receive *q)
{
    struct host *h = self;
    check_receive(h, q);
    if (strikes(FAULT_call_refused, 3)) {
        q->result = call_failure(QUEUE_FAULT);
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

void wire_cancel(void *self, struct queue_receive *q)
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
