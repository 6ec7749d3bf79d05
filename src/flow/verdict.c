/* What a handler's verdict means for its message (contract, section 4, Outcomes). */
#include "flow/state.h"

#include "policy/retry.h"

int verdict_backoff_s(struct flow *f, const struct message *m)
{
    return retry_backoff_s(f->options.retry_base_s, f->options.retry_cap_s,
                           m->receive_count + m->reruns, flow_random(f));
}

static int delay_s(struct flow *f, const struct message *m)
{
    const struct job *job = m->job;
    int64_t wanted_s = (job->after_ms + 999) / 1000;
    if (job->after_ms < 0 || job->after_least) {
        int own_s = verdict_backoff_s(f, m);
        wanted_s =
            job->after_ms < 0 ? own_s : retry_least_s(wanted_s, own_s, f->options.retry_cap_s);
    }
    return retry_clamp_s(wanted_s, flow_now(f) - m->received_ms);
}

void verdict_retry(struct flow *f, struct message *m)
{
    int wait_s = delay_s(f, m);
    if (group_again(f, m, wait_s))
        return;
    keys_free(f, m);
    settle_message(f, m, SETTLE_RETRY, wait_s);
}

/* Received as often as the queue allows: given back, the queue would move it to the dead-letter
 * queue at its next receive, without a word on why. */
bool verdict_is_last(const struct flow *f, const struct message *m)
{
    return f->options.max_receives > 0 && m->receive_count >= f->options.max_receives;
}

/* Runs again here count as receives do. */
static bool is_exhausted(const struct flow *f, const struct message *m)
{
    return f->options.max_receives > 0 && m->receive_count + m->failures > f->options.max_receives;
}

bool verdict_is_exhausted(const struct flow *f, const struct message *m)
{
    return f->options.max_receives > 0 && m->receive_count + m->failures >= f->options.max_receives;
}

static void verdict_dead(struct flow *f, struct message *m, bool exhausted)
{
    keys_free(f, m);
    if (exhausted)
        m->note = "exhausted: this was its last attempt";
    dlq_message(f, m, exhausted);
}

static void verdict_failed(struct flow *f, struct message *m, bool own)
{
    m->failures += own;
    if (own && is_exhausted(f, m))
        verdict_dead(f, m, true);
    else
        verdict_retry(f, m);
}

void verdict_stuck(struct flow *f, struct message *m)
{
    m->failures++;
    if (is_exhausted(f, m)) {
        verdict_dead(f, m, true);
        return;
    }
    int64_t held_ms = flow_now(f) - m->received_ms;
    settle_message(f, m, SETTLE_RETRY, retry_clamp_s(verdict_backoff_s(f, m), held_ms));
}

/* The lease lapsed while the handler ran: SQS may have shown the message to others, so nothing
 * but an ack changes anything, and that only perhaps. It is never counted as done; the key
 * stays remembered, so that the redelivery is deleted unrun. */
static void verdict_lost(struct flow *f, struct message *m)
{
    log_with(LOG_INFO, "ended without its lease: it runs when it is received again",
             LF_TEXT("id", m->job->id), LF_TEXT("reason", m->job->reason),
             LF_TEXT("kind", *m->job->kind ? m->job->kind : NULL),
             LF_TEXT("at", *m->job->at ? m->job->at : NULL));
    keys_free(f, m);
    message_drop(f, m);
}

static void verdict(struct flow *f, struct message *m)
{
    struct job *job = m->job;
    bool blamed = target_blames(m); /* asked while it still is what tries its target */
    bool own = job->ran && (!job->target_failed || blamed);
    bool failed_by_target =
        job->target_failed && job->outcome == OUTCOME_RETRY && !f->drain.draining && !blamed;
    bool park = failed_by_target && !m->claim_lost; /* it cannot wait here without its claim */
    bool storm = !failed_by_target && storm_catches(f, m);
    if (failed_by_target)
        target_failed(f, m);
    else if (m->probes && storm && m->probes->storm)
        target_storm_failed(m);
    else if (m->probes)
        target_probe_ended(m);
    if (storm && !m->claim_lost) {
        storm_park(f, m);
        return;
    }
    if (job->outcome == OUTCOME_ACK) {
        if (keys_acked(f, m))
            settle_message(f, m, SETTLE_ACK, 0);
        return;
    }
    if (m->claim_lost)
        keys_free(f, m);
    m->claim_lost = false;
    if (m->lost) {
        verdict_lost(f, m);
        return;
    }
    switch (job->outcome) {
    case OUTCOME_REJECT:
        verdict_dead(f, m, false);
        break;
    case OUTCOME_RELEASE:
        keys_free(f, m);
        settle_message(f, m, SETTLE_RELEASE, 0);
        break;
    case OUTCOME_ACK:
    case OUTCOME_NONE:
    case OUTCOME_RETRY:
        if (park)
            target_park(f, m);
        else
            verdict_failed(f, m, own);
    }
}

static void count_home(struct flow *f, const struct job *job)
{
    f->dispatch.busy[job->worker]--;
    f->dispatch.running--;
    f->dispatch.completed++;
    f->dispatch.all_completed++;
    limits_ran(f, job);
}

void flow_verdicts(struct flow *f, struct list *jobs)
{
    struct list *node;
    while ((node = list_pop(jobs))) {
        struct job *job = list_entry(node, struct job, node);
        struct message *m = job->home;
        bool stuck = job->worker == JOB_WORKER_STUCK;
        if (!stuck)
            count_home(f, job);
        if (!m) { /* settled without waiting for its worker */
            job_free(job);
            continue;
        }
        m->out = false;
        if (m->state == RUNNING && !stuck) /* otherwise it was given up, and that has decided */
            verdict(f, m);
    }
    storm_check_end(f);
    dispatch_kick(f);
    intake_kick(f);
    drain_check(f);
}
