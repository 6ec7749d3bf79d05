/* SQS, a standard or a FIFO queue, as AWS documents it (reference: sqs, simulation section 3): what
 * it holds and what a call does to that. How calls travel is wire.c's. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

enum { TWELVE_HOURS_MS = 43200 * 1000 };

/* From here on a receive of it, or the end of its lease, may be nobody's fault. */
void excuse_record(struct record *r)
{
    r->excused = r->burnt = true;
    for (int i = r->number + 1; sim.fifo && i < sim.count; i++) /* they cannot come before it */
        if (sim.records[i].group == r->group)
            sim.records[i].burnt = true;
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

void queue_show_due(void)
{
    struct list *node;
    while ((node = list_first(&sim.hidden))) {
        struct record *r = list_entry(node, struct record, visible);
        if (r->visible_ms > sim.now_ms)
            return;
        arrange(r);
    }
}

/* A tenth are sent twice by their producer, some of those with another body. */
static void choose_key(struct record *r)
{
    r->key = r->body = r->pair = r->number;
    r->keyless = sim.key && chance(&sim.load, 20);
    if (!sim.key || r->keyless || r->number == 0 || !chance(&sim.load, 200))
        return;
    const struct record *first = &sim.records[between(&sim.load, 0, r->number - 1)];
    if (first->keyless)
        return;
    r->key = first->key;
    if (chance(&sim.load, 700)) {
        r->body = first->body;
        r->pair = first->pair;
    }
}

/* On a standard queue a group is a tenant, and means nothing to the flow. */
static void choose_group(struct record *r)
{
    r->group = sim.fifo ? (int)between(&sim.load, 0, sim.groups - 1) : r->number % 7;
    for (int i = r->number - 1; sim.fifo && i >= 0; i--)
        if (sim.records[i].group == r->group) {
            if (r->visible_ms < sim.records[i].visible_ms)
                r->visible_ms = sim.records[i].visible_ms; /* sent in order */
            return;
        }
}

void queue_fill(int count)
{
    sim.records = grab((size_t)count * sizeof *sim.records);
    sim.items = grab((size_t)count * sizeof *sim.items);
    list_init(&sim.store_calls);
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
        choose_key(r);
        if (r->key != r->number && chance(&sim.load, 700)) /* most come soon after the first */
            r->visible_ms = sim.records[r->key].visible_ms + between(&sim.load, 0, 300);
        choose_group(r);
        arrange(r);
    }
}

struct record *record_of(const char *id)
{
    return &sim.records[atoi(id + 1)];
}

/* ---- what calls do ---- */

/* Another host may see it now: was it in somebody's hand? */
static void check_hidden(const struct record *r, bool duplicate)
{
    struct host *h = r->holder;
    bool in_hand = h && h->up && h->life == r->holder_life && !duplicate;
    check_if(in_hand, INV_lease, r->excused,
             "%s was shown again while host %d held it and nothing had gone wrong", r->id,
             h ? h->index : -1);
    check_if(r->wire_until_ms > 0 && !duplicate && !r->excused, INV_wire,
             r->wire_until_ms <= sim.now_ms,
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
    if (list_empty(&sim.hidden) || !strikes(FAULT_duplicate, 20))
        return NULL;
    /* either one whose lease has long run, or one whose first answer may still be on its way */
    struct list *node = chance(&sim.fault, 500) ? sim.hidden.next : sim.hidden.prev;
    return list_entry(node, struct record, visible);
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

bool queue_take(struct call *c, int visibility_s)
{
    bool duplicate = false;
    struct record *r = sim.fifo ? fifo_pick(c) : pick_next(c, &duplicate);
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

bool queue_delete(struct record *r, uint64_t handle)
{
    if (sim.fifo && !r->gone && (handle != r->handle || r->visible_ms <= sim.now_ms))
        return false; /* "The receipt handle has expired" */
    if (handle != r->handle && chance(&sim.fault, 500))
        return true; /* "succeeds but may not delete" */
    if (!r->gone) {
        check(INV_no_loss, sim.records[r->pair].acked || r->confirmed,
              "%s was deleted, no handler had acked it and no copy was confirmed", r->id);
        leave_queue(r, 2);
    }
    return true;
}

bool queue_change(struct record *r, uint64_t handle, int visibility_s)
{
    queue_show_due();
    if (r->gone || handle != r->handle)
        return !sim.fifo && chance(&sim.fault, 500);
    if (r->visible_ms <= sim.now_ms)
        return false; /* MessageNotInflight */
    if (sim.now_ms + visibility_s * INT64_C(1000) > r->received_ms + TWELVE_HOURS_MS)
        return false;
    r->visible_ms = sim.now_ms + visibility_s * INT64_C(1000);
    arrange(r);
    return true;
}
