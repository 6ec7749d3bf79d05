/* Dead letters (contract, section 4): a copy on the dead-letter queue, confirmed, and only then
 * the delete. Until then the message stays in hand under its lease. What cannot be copied is
 * kept: visible again at the retry cap, with a warning as the end of its retention nears. */
#include "flow/state.h"

#include "policy/retry.h"

#include <stdlib.h>

enum {
    COPIES_MAX = 16, /* on the wire at once */
    AGAIN_BASE_MS = 200,
    AGAIN_CAP_MS = 20000,
    GATE_MS = 10000,
    RETENTION_PARTS = 10, /* the last tenth is near the end */
};

struct copy_call {
    struct queue_copy copy;
    struct flow *flow;
    struct message *message;
    struct list node; /* in flow->dlq.calls */
};

static void warn_of_retention(const struct flow *f, const struct message *m)
{
    int64_t retention_ms = f->options.retention_ms, sent_ms = m->job->sent_at_ms;
    if (retention_ms <= 0 || sent_ms <= 0)
        return;
    int64_t left_ms = sent_ms + retention_ms - f->seam.clock.ops->wall_ms(f->seam.clock.self);
    if (left_ms < retention_ms / RETENTION_PARTS)
        log_with(LOG_WARN,
                 "kept message nears the end of the queue's retention, then SQS drops it: give the "
                 "queue a dead-letter queue, or make the handler accept it",
                 LF_TEXT("id", m->job->id), LF_TEXT("queue", f->options.queue_name),
                 LF_INT("left_s", left_ms > 0 ? left_ms / 1000 : 0));
}

static void keep(struct flow *f, struct message *m, const char *note)
{
    int delay_s = retry_clamp_s((int64_t)f->options.retry_cap_s, flow_now(f) - m->received_ms);
    m->note = note;
    warn_of_retention(f, m);
    if (m->to_blame || !group_again(f, m, delay_s)) /* its job is not back to be run again */
        settle_message(f, m, SETTLE_KEEP, delay_s);
}

static void leave_copying(struct flow *f, struct message *m)
{
    list_remove(&m->node);
    f->dlq.copying--;
}

static void free_call(struct flow *f, struct copy_call *c)
{
    list_remove(&c->node);
    f->dlq.open--;
    c->message->copy = NULL;
    free(c);
}

static void try_later(struct flow *f, struct message *m, int64_t wish_ms)
{
    m->again_ms = flow_now(f) +
                  retry_call_ms(AGAIN_BASE_MS, AGAIN_CAP_MS, m->tries++, wish_ms, flow_random(f));
    list_append(&f->dlq.waiting, &m->node);
}

/* A queue may take less than SQS does: 256 KiB was the default until 2025. What is ours is given up
 * before the sender's message is kept for it. */
static bool worth_a_bare_try(const struct message *m, const struct queue_result *result)
{
    return result->status == QUEUE_FAULT && result->http_status >= 400 && !m->bare_copy;
}

static void copy_failed(struct flow *f, struct message *m, const struct queue_result *result)
{
    bool passing = result->status == QUEUE_UNREACHABLE || result->status == QUEUE_BUSY;
    bool bare = worth_a_bare_try(m, result);
    bool later = (passing || bare) && !m->lost && !f->drain.flushing &&
                 flow_now(f) - m->copying_ms < f->options.hold_ms;
    int64_t held_back;
    if (log_gate_open(&f->dlq.gate, GATE_MS, &held_back))
        log_with(LOG_WARN, "dead letter not sent: nothing is deleted", LF_TEXT("id", m->job->id),
                 LF_TEXT("error", result->text),
                 LF_TEXT("code", *result->code ? result->code : NULL),
                 LF_TEXT("next", !later ? "kept, retried at the cap"
                                 : bare ? "trying without the attribute host.failure"
                                        : "trying again"),
                 held_back ? LF_INT("repeated", held_back) : LF_TEXT("repeated", NULL));
    if (later) {
        m->bare_copy |= bare;
        try_later(f, m, result->retry_after_ms);
        return;
    }
    leave_copying(f, m);
    if (m->lost) {
        until_empty_retry(f, m->job->id, f->options.visibility_s);
        message_drop(f, m);
        return;
    }
    keep(f, m, "kept: the dead-letter queue did not take it");
}

static void answered(struct queue_copy *copy)
{
    struct copy_call *c = (struct copy_call *)copy;
    struct flow *f = c->flow;
    struct message *m = c->message;
    struct queue_result result = copy->result;
    free_call(f, c);
    if (result.status == QUEUE_OK) {
        leave_copying(f, m);
        settle_message(f, m, SETTLE_REJECT, 0);
    } else {
        copy_failed(f, m, &result);
    }
    dlq_kick(f);
    intake_kick(f);
    drain_check(f);
}

static void send_copy(struct flow *f, struct message *m)
{
    struct copy_call *c = calloc(1, sizeof *c);
    list_remove(&m->node);
    if (!c) {
        try_later(f, m, -1);
        return;
    }
    c->flow = f;
    c->message = m;
    c->copy = (struct queue_copy){.job = m->job,
                                  .stuck = m->to_blame ? ABANDON_STUCK : NULL,
                                  .exhausted = m->exhausted,
                                  .bare = m->bare_copy,
                                  .wall_ms = f->seam.clock.ops->wall_ms(f->seam.clock.self),
                                  .done = answered};
    list_append(&f->dlq.calls, &c->node);
    m->copy = c;
    f->dlq.open++;
    if (f->seam.queue.ops->copy(f->seam.queue.self, &c->copy) == 0)
        return;
    struct queue_result result = c->copy.result;
    free_call(f, c);
    copy_failed(f, m, &result);
}

/* What is due and found no room waits for the next answer, which comes back to dlq_kick. */
static void arm(struct flow *f, int64_t now)
{
    int64_t next_ms = INT64_MAX;
    list_for_each (node, &f->dlq.waiting) {
        const struct message *m = list_entry(node, struct message, node);
        if (m->again_ms > now && m->again_ms < next_ms)
            next_ms = m->again_ms;
    }
    if (next_ms != INT64_MAX)
        flow_arm(f, &f->dlq.again, next_ms - now);
}

void dlq_kick(struct flow *f)
{
    int64_t now = flow_now(f);
    list_for_each (node, &f->dlq.waiting) {
        struct message *m = list_entry(node, struct message, node);
        if (m->again_ms <= now && f->dlq.open < COPIES_MAX)
            send_copy(f, m);
    }
    arm(f, now);
}

static void on_again(struct timer *t)
{
    dlq_kick(flow_of(t, dlq.again));
}

void dlq_message(struct flow *f, struct message *m, bool exhausted)
{
    m->exhausted = exhausted;
    if (!f->options.dead_letters) {
        keep(f, m, "kept: the queue has no dead-letter queue");
        return;
    }
    m->state = COPYING;
    m->copying_ms = m->again_ms = flow_now(f);
    f->dlq.copying++;
    list_append(&f->dlq.waiting, &m->node);
    dlq_kick(f);
}

bool dlq_lapsed(struct flow *f, struct message *m)
{
    if (m->copy)
        return false;
    leave_copying(f, m);
    return true;
}

void dlq_hurry(struct flow *f)
{
    struct list *node;
    while ((node = list_first(&f->dlq.waiting))) {
        struct message *m = list_entry(node, struct message, node);
        leave_copying(f, m);
        keep(f, m, "kept: time was up before the dead-letter queue took it");
    }
}

void dlq_init(struct flow *f)
{
    list_init(&f->dlq.waiting);
    list_init(&f->dlq.calls);
    f->dlq.again.fire = on_again;
}

void dlq_free(struct flow *f)
{
    struct list *node;
    flow_stop(f, &f->dlq.again);
    while ((node = list_first(&f->dlq.calls)))
        free_call(f, list_entry(node, struct copy_call, node));
}
