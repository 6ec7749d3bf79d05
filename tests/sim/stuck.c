/* Workers that do not come back from their handlers for a while, or never: their host notices,
 * gives up what they run, and replaces the first of them. With the second it drains and leaves. */
#include "world.h"

enum { REPLACED_MAX = 1 };

/* Happens when its worker is back, if that is ever. */
bool run_hangs(struct run *run, void (*happen)(void *, uint64_t))
{
    int64_t until_ms = run->hangs_until_ms;
    if (until_ms <= sim.now_ms) {
        atomic_store(&run->job->at_work, false);
        return false;
    }
    if (until_ms != INT64_MAX)
        later(until_ms - sim.now_ms, run->host, happen, run, 0);
    return true;
}

static void comes_back(void *arg, uint64_t worker)
{
    struct host *h = arg;
    if (h->ended)
        return;
    h->away[worker] = false;
    h->probe_sent = false; /* the next one may have waited for it, and is late */
    enter_flow(h);
    flow_worker_back(h->flow, (int)worker);
    leave_flow(h);
}

static void give_up(struct host *h, struct run *run)
{
    struct record *r = run->record;
    int64_t until_ms = atomic_load(&run->job->wire_until_ms);
    tell(r, "is given up in host %d, its worker is stuck", h->index);
    run->given_up = true;
    run->wire_until_ms = until_ms > sim.now_ms ? until_ms : 0;
    for (int i = 0; i < sim.count; i++) /* those behind it go back with it */
        if (sim.fifo && sim.records[i].holder == h && sim.records[i].group == r->group)
            sim.records[i].burnt = true;
    r->burnt = true;
    list_remove(&run->node);
    list_append(&h->stuck, &run->node);
    h->busy[run->job->worker]--;
    if (run->probe) { /* it has proved nothing: another one tries at once */
        h->probes--;
        h->probe_sent = false;
    }
    view_given_up(h, run);
}

static void noticed(void *arg, uint64_t worker)
{
    struct host *h = arg;
    if (h->ended || h->hangs_until_ms[worker] <= sim.now_ms)
        return;
    h->troubled = h->away[worker] = true;
    h->hangs_until_ms[worker] = 0; /* of the next one */
    list_for_each (node, &h->running) {
        struct run *run = list_entry(node, struct run, node);
        if (run->job->worker == (int)worker)
            give_up(h, run);
    }
    h->detaching = true;
    enter_flow(h);
    flow_worker_stuck(h->flow, (int)worker);
    leave_flow(h);
    h->detaching = false;
    if (++h->stuck_workers <= REPLACED_MAX)
        later(between(&sim.fault, 1, 3000), h, comes_back, h, worker);
    else if (!h->ended && !h->draining)
        host_drain(h);
}

/* One of those that it runs keeps it; the others, and what it is given now, wait for it. */
void worker_hangs(struct host *h)
{
    struct run *blamed = NULL;
    list_for_each (node, &h->running)
        if (!blamed || chance(&sim.fault, 300))
            blamed = list_entry(node, struct run, node);
    if (!blamed || h->hangs_until_ms[blamed->job->worker] > sim.now_ms)
        return;
    int worker = blamed->job->worker;
    int64_t until_ms =
        chance(&sim.fault, 500) ? INT64_MAX : sim.now_ms + between(&sim.fault, 100, 30000);
    h->hangs_until_ms[worker] = until_ms;
    atomic_store(&blamed->job->at_work, true);
    list_for_each (node, &h->running) {
        struct run *run = list_entry(node, struct run, node);
        if (run->job->worker == worker)
            run->hangs_until_ms = until_ms;
    }
    later(between(&sim.fault, 100, 8000), h, noticed, h, (uint64_t)worker);
}

/* What was given up with a worker may still be at the target. */
void stuck_check_start(const struct host *h, const struct record *r)
{
    list_for_each (node, &h->stuck) {
        const struct run *other = list_entry(node, struct run, node);
        if (other->record->key != r->key && !(sim.fifo && other->record->group == r->group))
            continue;
        check(INV_wire, other->wire_until_ms <= sim.now_ms,
              "%s runs in host %d, where %s was given up and has a request on the wire", r->id,
              h->index, other->record->id);
    }
}

bool stuck_on_wire(const struct host *h)
{
    list_for_each (node, &h->stuck)
        if (list_entry(node, struct run, node)->wire_until_ms + WIRE_MARGIN_MS >= sim.now_ms)
            return true;
    return false;
}
