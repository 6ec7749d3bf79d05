/* What comes in: is it in hand already, or does it look for its key? */
#include "flow/state.h"

#include <stdlib.h>

/* Delivered again while in hand: its lease lapsed on SQS's side, or SQS delivered twice. Only
 * the newest receipt handle is sure to delete, so that is taken over; nothing runs twice. Answers
 * of two polls can overtake each other: the receive count tells which handle is the newer one. */
static bool admit_again(struct flow *f, struct message *m, struct job *job, int64_t first_byte_ms)
{
    f->counts.duplicates++;
    if (group_join(f, m) != 0) /* it was being given back, and what comes now is behind it again */
        return false;
    bool newer = job->receive_count >= m->receive_count;
    if (newer && message_new_receipt(m, job->handle) == 0) {
        m->receive_count = job->receive_count;
        lease_holds(m);
        if (m->state != SETTLING)
            lease_begin(f, m, first_byte_ms);
        else
            m->lease_until_ms = first_byte_ms + f->options.visibility_s * INT64_C(1000);
    }
    log_with(LOG_INFO, "delivered again while in hand", LF_TEXT("id", job->id),
             LF_INT("receives", job->receive_count));
    job_free(job);
    return true;
}

/* False: no memory. */
static bool admit_job(struct flow *f, struct job *job, int64_t first_byte_ms)
{
    f->counts.received++;
    until_empty_received(f, job->id);
    struct table_node *known = table_find(&f->in_hand, job->id);
    if (known)
        return admit_again(f, table_entry(known, struct message, by_id), job, first_byte_ms);
    struct message *m = message_new(f, job, first_byte_ms);
    if (!m)
        return false;
    if (f->drain.draining)
        settle_message(f, m, SETTLE_RELEASE, 0);
    else if (group_turn(f, m))
        keys_admit(f, m);
    return true;
}

void admit_jobs(struct flow *f, struct list *jobs, int64_t first_byte_ms)
{
    struct list *node;
    while ((node = list_pop(jobs))) {
        struct job *job = list_entry(node, struct job, node);
        if (admit_job(f, job, first_byte_ms))
            continue;
        log_error("no memory for message %s: left to its visibility timeout", job->id);
        group_skip(f, jobs, job);
        job_free(job);
    }
    dispatch_kick(f);
}
