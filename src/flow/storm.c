/* Failure storms (policy/storm.h): when nearly all messages fail alike, receiving stops and what
 * failed waits here under its lease, as if a server were down; now and then one of them runs again.
 * So a bad deployment costs no receives and fills no dead-letter queue. That all of those that wait
 * are bad by themselves is possible too: so after every few failed tries a fresh message is
 * received, and the first that is acked lets everything go on. */
#include "flow/state.h"

#include <stdio.h>
#include <string.h>

static const char name[] = "(failure storm)"; /* no server has such a name */

/* The handler's own failure: an error, a kill, a contract error. Not what it asked for with
 * host.retry or host.reject, which have no kind, and not a server's failure. */
static bool failed(const struct message *m)
{
    const struct job *job = m->job;
    return job->ran && *job->kind && !job->target_failed && job->outcome != OUTCOME_ACK &&
           job->outcome != OUTCOME_RELEASE;
}

static void rise(struct flow *f, const struct job *job)
{
    char why[320];
    snprintf(why, sizeof why, "%s%s%s", job->reason ? job->reason : job->kind,
             *job->at ? " at " : "", job->at);
    if (!target_storm_rises(f, name, why))
        return;
    f->storm.raging = true;
    f->storm.ends = f->options.until_empty;
}

bool storm_catches(struct flow *f, struct message *m)
{
    const struct job *job = m->job;
    if (f->drain.draining || m->lost)
        return false;
    if (!failed(m)) {
        if (job->outcome == OUTCOME_ACK)
            storm_result(&f->storm.policy, 0, 0);
        return false;
    }
    uint64_t print = storm_fingerprint(job->kind, job->at, job->reason);
    bool dies = job->outcome == OUTCOME_REJECT || verdict_is_exhausted(f, m);
    storm_result(&f->storm.policy, print, hash_bytes(job->id, strlen(job->id)));
    if (!f->storm.raging &&
        (storm_rages(&f->storm.policy, print) || (dies && storm_looms(&f->storm.policy, print))))
        rise(f, job);
    return f->storm.raging;
}

void storm_park(struct flow *f, struct message *m)
{
    target_park_in(f, m, name);
}

void storm_over(struct flow *f)
{
    f->storm.raging = false;
    storm_forget(&f->storm.policy);
}

/* A run to the end of the queue has an end: a person, or the next run, comes after it. */
void storm_check_end(struct flow *f)
{
    if (f->storm.ends && !f->drain.draining)
        flow_drain(f);
}
