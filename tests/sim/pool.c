/* Workers and the target: each run takes a while, sends a request or two, and ends in a verdict
 * that the seed chooses. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char target_name[] = "http://target:80";

/* Linked in the place of job_free, to count what the program frees. */
void __real_job_free(struct job *job);
void __wrap_job_free(struct job *job);

void __wrap_job_free(struct job *job)
{
    sim.jobs_freed += job != NULL;
    __real_job_free(job);
}

static bool target_fails(const struct record *r)
{
    if (sim.now_ms >= sim.faults_end_ms)
        return false;
    fault_hits[FAULT_target_down] += sim.target_down;
    fault_hits[FAULT_target_breaker] += r->breaker;
    return sim.target_down || r->breaker;
}

static enum outcome choose(const struct run *run)
{
    bool faults = sim.now_ms < sim.faults_end_ms;
    if (run->record->poison && faults)
        return OUTCOME_RETRY;
    if (strikes(FAULT_handler_error, 50))
        return OUTCOME_RETRY;
    if (strikes(FAULT_handler_after, 20)) {
        run->job->after_ms = between(&sim.handler, 0, (sim.visibility_s - 2) * 1000);
        return OUTCOME_RETRY;
    }
    if (strikes(FAULT_handler_reject, 40))
        return OUTCOME_REJECT;
    return OUTCOME_ACK;
}

/* What a verdict tells its host about the target. */
static void target_seen(const struct run *run, bool blamed)
{
    struct host *h = run->host;
    if (run->probe) {
        h->probes--;
        h->probe_sent = run->sent;
    }
    if (run->job->target_failed && !h->draining && !blamed) {
        if (!h->down_known) {
            h->probed_ms = sim.now_ms;
            corners[CORNER_trip_with_polls_open] += queue_polls_open(h) > 0;
        }
        h->down_known = true;
    } else if (run->probe && run->job->probe_answered) {
        if (h->down_known)
            view_target_up(h, true);
        h->down_known = h->token_away = false;
    }
}

/* Of a run that was given up: nobody waits for it. */
static void comes_late(struct run *run)
{
    struct host *h = run->host;
    struct list jobs;
    list_init(&jobs);
    list_append(&jobs, &run->job->node);
    list_remove(&run->node);
    corners[CORNER_stuck_late_ack] += run->job->outcome == OUTCOME_ACK;
    tell(run->record, "verdict %d in host %d, too late", (int)run->job->outcome, h->index);
    free(run);
    enter_flow(h);
    flow_verdicts(h->flow, &jobs);
    leave_flow(h);
    view_check_waiting(h);
}

/* Its one call, as long as the message ran: so a limit on requests is one on messages. */
static void note_call(struct host *h, struct job *job)
{
    struct target_call *c = h->limit > 0 && job->ran ? job_add_call(job) : NULL;
    if (!c)
        return;
    snprintf(c->target, sizeof c->target, "%s", target_name);
    c->rtt_us = job->duration_us = 1000;
    c->started_ms = sim.now_ms - 1;
    h->heard = true;
}

static int running(const struct host *h)
{
    int n = 0;
    for (int i = 0; i < WORKERS_MAX; i++)
        n += h->busy[i];
    return n;
}

static void go_home(struct run *run)
{
    struct host *h = run->host;
    struct job *job = run->job;
    struct list jobs;
    if (run->given_up) {
        comes_late(run);
        return;
    }
    list_init(&jobs);
    list_append(&jobs, &job->node);
    h->busy[job->worker]--;
    list_remove(&run->node);
    note_call(h, job);
    if (job->outcome == OUTCOME_ACK)
        sim.records[run->record->pair].acked = true;
    bool blamed = view_blamed(h, run);
    view_verdict(h, run->record, job, blamed);
    target_seen(run, blamed);
    tell(run->record, "verdict %d in host %d", (int)job->outcome, h->index);
    note(3, (uint64_t)run->record->number << 4 | job->outcome);
    free(run);
    h->homing = 1;
    enter_flow(h);
    flow_verdicts(h->flow, &jobs);
    leave_flow(h);
    h->homing = 0;
    view_check_waiting(h);
}

static void run_ends(void *arg, uint64_t number)
{
    struct run *run = arg;
    struct job *job = run->job;
    (void)number;
    if (run_hangs(run, run_ends))
        return;
    atomic_store(&job->wire_until_ms, WIRE_ANSWERED);
    job->ran = true;
    if (run->given_up) {
        job->outcome = OUTCOME_ACK;
        go_home(run);
        return;
    }
    run->record->wire_until_ms = 0;
    if (target_fails(run->record)) {
        job->outcome = OUTCOME_RETRY;
        job->target_failed = true;
        snprintf(job->target, sizeof job->target, "%s", target_name);
    } else {
        job->probe_answered = job->probes != NULL;
        job->outcome = choose(run);
        run->record->failed |= job->outcome != OUTCOME_ACK;
    }
    go_home(run);
}

/* The fence was up before anything was sent. */
static void run_released(void *arg, uint64_t number)
{
    struct run *run = arg;
    (void)number;
    run->job->outcome = OUTCOME_RELEASE;
    go_home(run);
}

static void run_sends(void *arg, uint64_t number)
{
    struct run *run = arg;
    struct job *job = run->job;
    (void)number;
    if (run_hangs(run, run_sends))
        return;
    int64_t takes_ms = between(&sim.handler, 5, 200);
    if (strikes(FAULT_slow_handler, 30))
        takes_ms = between(&sim.handler, 1000, sim.visibility_s * 2500);
    int64_t until_ms = sim.now_ms + takes_ms + 1;
    atomic_store(&job->wire_until_ms, until_ms);
    if (atomic_load(&job->fence)) { /* as the product: the mark first, then the fence */
        atomic_store(&job->wire_until_ms, WIRE_NEVER);
        run_released(run, 0);
        return;
    }
    run->sent = true;
    struct record *r = run->record;
    bool newest = view_of(run->host, r)->handle == r->handle; /* nobody has received it since */
    if (newest && r->holder == run->host && r->holder_life == run->host->life)
        r->wire_until_ms = until_ms;
    later(takes_ms, run->host, run_ends, run, 0);
}

static void check_start(struct host *h, const struct run *run, int worker)
{
    struct record *r = run->record;
    check(INV_slots, !h->away[worker], "host %d gives worker %d something, which is stuck",
          h->index, worker);
    check(INV_slots, h->busy[worker] < h->slots, "host %d gives worker %d more than %d", h->index,
          worker, h->slots);
    check_if(h->limit > 0 && h->heard && !run->probe && !h->unsure, INV_slots,
             running(h) < h->limit, "host %d runs more than %d at once", h->index, h->limit);
    list_for_each (node, &h->running) {
        struct run *other = list_entry(node, struct run, node);
        check(INV_one_runner, other->record->key != r->key, "%s runs beside %s in host %d", r->id,
              other->record->id, h->index);
    }
    stuck_check_start(h, r);
    fifo_check_start(h, r);
    int64_t since_ms = *acked_ms(h, r);
    check_if(since_ms > 0, INV_once, sim.now_ms - since_ms >= h->ttl_ms,
             "%s was acked by host %d and runs again there", r->id, h->index);
    store_check_start(h, r);
    h->probes += run->probe;
    if (h->unsure)
        return; /* perhaps it had no memory to note the outage */
    check_if(h->down_known, INV_outage, run->probe, "%s runs in host %d while its target is down",
             r->id, h->index);
    if (!run->probe)
        return;
    view_probes(h, r);
    check(INV_outage, h->probes <= 1, "two probes at once in host %d", h->index);
    check_if(h->probe_sent, INV_outage, sim.now_ms - h->probed_ms >= h->probe_ms * 9 / 10,
             "host %d probes again after %lld ms", h->index,
             (long long)(sim.now_ms - h->probed_ms));
    if (h->probe_sent)
        h->probed_ms = sim.now_ms; /* else another took the turn of one that proved nothing */
    h->probe_sent = true;
}

static void start(struct host *h, int worker, struct job *job)
{
    struct run *run = grab(sizeof *run);
    run->host = h;
    run->job = job;
    run->record = record_of(job->id);
    run->probe = job->probes != NULL;
    run->hangs_until_ms = h->hangs_until_ms[worker];
    check_start(h, run, worker);
    view_started(h, run->record, job);
    h->tally.started++;
    tell(run->record, "runs in host %d", h->index);
    h->busy[worker]++;
    list_append(&h->running, &run->node);
    bool thinks = !sim.quiet && chance(&sim.handler, 30); /* before it sends anything */
    later(between(&sim.handler, 0, thinks ? 8000 : 3), h, run_sends, run, 0);
}

static void run_jobs(void *self, int worker, struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs)))
        start(self, worker, list_entry(node, struct job, node));
}

/* Some workers end what has not sent at once; others find the fence where they would send. What
 * has sent finishes. */
static void cancel_job(void *self, struct job *job)
{
    struct host *h = self;
    check(INV_fence, atomic_load(&job->fence), "%s is cancelled and may still send", job->id);
    if (h->detaching)
        return;
    bool sent = false;
    list_for_each (node, &h->running) {
        const struct run *run = list_entry(node, struct run, node);
        sent = sent || (run->job == job && run->sent);
    }
    int64_t until_ms = atomic_load(&job->wire_until_ms);
    bool stuck = job->worker == JOB_WORKER_STUCK; /* it may be home already, too late */
    view_cancelled(h, record_of(job->id), sent || (stuck && until_ms > sim.now_ms), until_ms);
}

struct workers workers_for(struct host *h)
{
    static const struct pool_ops ops = {.run = run_jobs, .cancel = cancel_job};
    return (struct workers){.ops = &ops, .self = h, .count = h->workers, .slots = h->slots};
}

void workers_forget(struct host *h)
{
    struct list *node;
    while ((node = list_pop(&h->running)) || (node = list_pop(&h->stuck))) {
        struct run *run = list_entry(node, struct run, node);
        job_free(run->job);
        free(run);
    }
    memset(h->busy, 0, sizeof h->busy);
    h->probes = 0;
}
