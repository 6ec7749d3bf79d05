/* Workers and the target: each run takes a while, sends a request or two, and ends in a verdict
 * that the seed chooses. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char target_name[] = "http://target:80";

/* Linked in the place of job_free, to count what the program frees. */
void __real_job_free(struct job *job);
void __wrap_job_free(struct job *job);

void __wrap_job_free(struct job *job)
{
    sim.jobs_freed += job != NULL;
    __real_job_free(job);
}

static bool target_fails(void)
{
    return sim.target_down && sim.now_ms < sim.faults_end_ms;
}

static enum outcome choose(const struct run *run)
{
    bool faults = sim.now_ms < sim.faults_end_ms;
    if (run->record->poison && faults)
        return OUTCOME_RETRY;
    if (strikes(FAULT_handler_error, 50))
        return OUTCOME_RETRY;
    if (strikes(FAULT_handler_reject, 20))
        return OUTCOME_REJECT;
    return OUTCOME_ACK;
}

static void go_home(struct run *run)
{
    struct host *h = run->host;
    struct job *job = run->job;
    struct list jobs;
    list_init(&jobs);
    list_append(&jobs, &job->node);
    h->busy[job->worker]--;
    list_remove(&run->node);
    if (job->outcome == OUTCOME_ACK) {
        run->record->acked = true;
        h->acked[run->record->number] = 1;
    }
    if (run->probe)
        h->probes--;
    if (job->target_failed)
        h->down_known = true;
    else if (run->probe && run->sent)
        h->down_known = false;
    tell(run->record, "verdict %d in host %d", (int)job->outcome, h->index);
    note(3, (uint64_t)run->record->number << 4 | job->outcome);
    free(run);
    flow_verdicts(h->flow, &jobs);
}

static void run_ends(void *arg, uint64_t number)
{
    struct run *run = arg;
    struct job *job = run->job;
    (void)number;
    run->record->wire_until_ms = 0;
    atomic_store(&job->wire_until_ms, WIRE_ANSWERED);
    job->ran = true;
    if (target_fails()) {
        job->outcome = OUTCOME_RETRY;
        job->target_failed = true;
        snprintf(job->target, sizeof job->target, "%s", target_name);
        fault_hits[FAULT_target_down]++;
    } else {
        job->probe_answered = job->probes != NULL;
        job->outcome = choose(run);
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
    if (run->record->holder == run->host && run->record->holder_life == run->host->life)
        run->record->wire_until_ms = until_ms;
    later(takes_ms, run->host, run_ends, run, 0);
}

static void check_start(struct host *h, struct record *r, int worker)
{
    check(INV_slots, h->busy[worker] < h->slots, "host %d gives worker %d more than %d", h->index,
          worker, h->slots);
    list_for_each (node, &h->running) {
        struct run *other = list_entry(node, struct run, node);
        check(INV_one_runner, other->record != r, "%s runs twice in host %d", r->id, h->index);
    }
    check(INV_once, !h->acked[r->number], "%s was acked by host %d and runs again there", r->id,
          h->index);
    if (h->down_known)
        h->probes++;
    check(INV_outage, !h->down_known || h->probes <= 1, "two probes at once in host %d", h->index);
}

static void start(struct host *h, int worker, struct job *job)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    run->host = h;
    run->job = job;
    run->record = record_of(job->id);
    run->probe = h->down_known;
    check_start(h, run->record, worker);
    tell(run->record, "runs in host %d", h->index);
    h->busy[worker]++;
    list_append(&h->running, &run->node);
    later(between(&sim.handler, 0, 3), h, run_sends, run, 0);
}

static void run_jobs(void *self, int worker, struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs)))
        start(self, worker, list_entry(node, struct job, node));
}

/* The fence is looked at where the run sends; what has sent finishes. */
static void cancel_job(void *self, struct job *job)
{
    (void)self;
    (void)job;
}

struct workers workers_for(struct host *h)
{
    static const struct pool_ops ops = {.run = run_jobs, .cancel = cancel_job};
    return (struct workers){.ops = &ops, .self = h, .count = h->workers, .slots = h->slots};
}

void workers_forget(struct host *h)
{
    struct list *node;
    while ((node = list_pop(&h->running))) {
        struct run *run = list_entry(node, struct run, node);
        job_free(run->job);
        free(run);
    }
    memset(h->busy, 0, sizeof h->busy);
    h->probes = 0;
}
