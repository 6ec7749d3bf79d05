/* Which worker runs what: slots of a worker that is awake are filled before another is woken
 * (architecture, Speed), and while a target is down only its probe runs. */
#include "flow/state.h"

#include <stdlib.h>

enum { RATE_MS = 1000, RATE_QUICK_MS = 50, RATE_QUICK_COMPLETED = 20 };

int dispatch_init(struct flow *f)
{
    int workers = f->seam.workers.count;
    f->dispatch.workers = workers;
    list_init(&f->dispatch.buffered);
    f->dispatch.busy = calloc((size_t)workers, sizeof *f->dispatch.busy);
    f->dispatch.away = calloc((size_t)workers, sizeof *f->dispatch.away);
    f->dispatch.outgoing = calloc((size_t)workers, sizeof *f->dispatch.outgoing);
    if (!f->dispatch.busy || !f->dispatch.away || !f->dispatch.outgoing)
        return -1;
    for (int i = 0; i < workers; i++)
        list_init(&f->dispatch.outgoing[i]);
    return 0;
}

void dispatch_free(struct flow *f)
{
    free(f->dispatch.busy);
    free(f->dispatch.away);
    free(f->dispatch.outgoing);
}

void dispatch_buffer(struct flow *f, struct message *m, bool first)
{
    m->state = BUFFERED;
    job_reset(m->job);
    if (first)
        list_prepend(&f->dispatch.buffered, &m->node);
    else
        list_append(&f->dispatch.buffered, &m->node);
    f->dispatch.buffered_count++;
}

void dispatch_unbuffer(struct flow *f, struct message *m)
{
    list_remove(&m->node);
    f->dispatch.buffered_count--;
}

int dispatch_slots(const struct flow *f)
{
    return f->dispatch.workers * f->seam.workers.slots;
}

void flow_set_workers(struct flow *f, int n)
{
    int most = f->seam.workers.count;
    f->dispatch.workers = n < 1 ? 1 : n < most ? n : most;
    dispatch_kick(f);
    intake_kick(f);
}

/* The first awake worker with a free slot, else the first idle one, else -1. */
static int pick_worker(const struct flow *f)
{
    int idle = -1;
    for (int i = 0; i < f->dispatch.workers; i++) {
        int busy = f->dispatch.busy[i];
        if (f->dispatch.away[i])
            continue;
        if (busy > 0 && busy < f->seam.workers.slots)
            return i;
        if (busy == 0 && idle < 0)
            idle = i;
    }
    return idle;
}

static void hand_over(struct flow *f, struct message *m, int worker)
{
    struct job *job = m->job;
    dispatch_unbuffer(f, m);
    m->state = RUNNING;
    m->out = true;
    job->worker = worker;
    job->probes = m->probes && !m->probes->storm ? m->probes->name : NULL;
    job->attempt = m->receive_count + m->reruns;
    f->dispatch.busy[worker]++;
    f->dispatch.running++;
    if (f->dispatch.running >= dispatch_slots(f))
        f->dispatch.full = true;
    f->counts.started++;
    limits_started(f);
    list_append(&f->dispatch.outgoing[worker], &job->node);
}

void dispatch_kick(struct flow *f)
{
    bool any = false;
    const struct target *by;
    int permits = limits_permits(f, &by);
    list_for_each (node, &f->dispatch.buffered) {
        struct message *m = list_entry(node, struct message, node);
        if (f->targets.down > 0 && !m->probes)
            break; /* probes stand first */
        if (!claims_may_run(f, m))
            continue;
        if (!m->probes && (f->dispatch.running >= permits || !limits_rate(f)))
            break;
        int worker = pick_worker(f);
        if (worker < 0) {
            f->dispatch.full = true;
            break;
        }
        hand_over(f, m, worker);
        any = true;
    }
    if (!any)
        return;
    for (int i = 0; i < f->seam.workers.count; i++)
        if (!list_empty(&f->dispatch.outgoing[i]))
            f->seam.workers.ops->run(f->seam.workers.self, i, &f->dispatch.outgoing[i]);
}

/* Completions per second over the last second or so, or less if they are many: a drain that begins
 * should not wait a second for its first full receives. Drives the prefetch. */
static double measured_rate(struct flow *f)
{
    int64_t now = flow_now(f), passed_ms = now - f->dispatch.rate_ms;
    bool many = passed_ms >= RATE_QUICK_MS && f->dispatch.completed >= RATE_QUICK_COMPLETED;
    if (passed_ms >= RATE_MS || many) {
        f->dispatch.completed_per_s = (double)f->dispatch.completed * 1000.0 / (double)passed_ms;
        f->dispatch.completed = 0;
        f->dispatch.rate_ms = now;
    }
    return f->dispatch.completed_per_s;
}

int dispatch_capacity(struct flow *f)
{
    const struct target *by;
    int slots = dispatch_slots(f), permits = limits_permits(f, &by);
    if (slots > permits)
        slots = permits;
    return f->options.fifo ? slots
                           : slots + polls_prefetch(measured_rate(f), slots, f->options.batch);
}
