/* Tells the queue what became of messages: batches of ten or a few milliseconds, every entry of
 * every answer read, and what failed without our fault tried again with the newest receipt
 * handle for as long as the lease lasts (contract 5.6). */
#include "flow/state.h"

#include "base/metric.h"
#include "policy/retry.h"

#include <stdio.h>

enum { AGAIN_BASE_MS = 100, AGAIN_CAP_MS = 5000 };

/* In the words of the log and of messages_settled_total. */
static const char *const kind_names[] = {"ack", "duplicate", "retry", "reject", "retry", "release"};

static enum queue_op op_of(const struct message *m)
{
    bool done = m->kind == SETTLE_ACK || m->kind == SETTLE_DUPLICATE || m->kind == SETTLE_REJECT;
    return done ? QUEUE_DELETE : QUEUE_CHANGE;
}

static void flush_op(struct flow *f, enum queue_op op);

static void enqueue(struct flow *f, struct message *m)
{
    enum queue_op op = op_of(m);
    list_remove(&m->node);
    list_append(&f->settle.pending[op], &m->node);
    f->settle.pending_count[op]++;
    if (f->settle.pending_count[op] >= QUEUE_BATCH_MAX)
        flush_op(f, op);
    else if (!f->settle.linger.armed)
        flow_arm(f, &f->settle.linger, SETTLE_LINGER_MS);
}

void settle_message(struct flow *f, struct message *m, enum settle_kind kind, int visibility_s)
{
    lease_end(f, m);
    list_remove(&m->node);
    m->state = SETTLING;
    m->kind = kind;
    m->tries = 0;
    m->visibility_s = visibility_s;
    f->settle.settling++;
    /* An extension on the wire and this call could overtake each other: a release would then
     * be hidden again, so it waits for that answer. */
    if (!m->extending)
        enqueue(f, m);
}

void settle_extension_answered(struct flow *f, struct message *m)
{
    enqueue(f, m);
}

static void count_settled(struct flow *f, const struct message *m)
{
    switch (m->kind) {
    case SETTLE_ACK:
    case SETTLE_DUPLICATE:
        if (m->lost) /* a delete after the lapse proves nothing */
            break;
        f->counts.acked++;
        f->counts.deleted_unrun += m->kind == SETTLE_DUPLICATE;
        break;
    case SETTLE_RETRY:
    case SETTLE_KEEP:
        f->counts.retried++;
        until_empty_retry(f, m->job->id, m->visibility_s);
        break;
    case SETTLE_REJECT:
        if (!m->lost)
            f->counts.rejected++;
        break;
    case SETTLE_RELEASE:
        f->counts.released++;
    }
}

static bool worth_a_line(const struct flow *f, const struct message *m)
{
    if (m->kind != SETTLE_ACK || m->lost)
        return true;
    /* by the id's hash: drawing a number here would make the level of the log change a run */
    return (double)(m->by_id.hash >> 11) * 0x1p-53 < f->options.log_settled;
}

/* What the host makes of a failure. */
static void tell_next(const struct message *m, char *out, size_t size)
{
    if (m->kind == SETTLE_REJECT)
        snprintf(out, size, "moved to the dead-letter queue");
    else if (m->kind == SETTLE_KEEP)
        snprintf(out, size, "kept, and tried again in %d s: no copy could be made",
                 m->visibility_s);
    else
        snprintf(out, size, "retry in %d s", m->visibility_s);
}

static void log_settled(struct flow *f, const struct message *m)
{
    if (!log_enabled(LOG_INFO) || !worth_a_line(f, m))
        return;
    const struct job *job = m->job;
    bool ran = !m->out && job->ran;
    bool again = m->kind == SETTLE_RETRY || m->kind == SETTLE_KEEP;
    bool failed = again || m->kind == SETTLE_REJECT;
    enum telling telling = !m->out && (failed || m->lost) ? failures_line(f, m) : TELL_ALL;
    char trace[TRACE_BYTES];
    if (telling == TELL_NOT)
        return;
    bool all = failed && !m->out && telling == TELL_ALL;
    char next[80];
    tell_next(m, next, sizeof next);
    job_trace(job, trace);
    log_with(failed || m->lost ? LOG_WARN : LOG_INFO, "settled", LF_TEXT("id", job->id),
             LF_TEXT("queue", f->options.queue_name),
             LF_TEXT("outcome", m->lost ? "lease_lost" : kind_names[m->kind]),
             LF_TEXT("reason", m->out ? NULL : job->reason),
             LF_TEXT("kind", ran && *job->kind ? job->kind : NULL),
             LF_TEXT("target", ran && *job->target ? job->target : NULL),
             LF_INT("attempt", m->receive_count + m->reruns),
             ran ? LF_SECONDS("dur_s", (double)job->duration_us / 1e6) : LF_TEXT("dur_s", NULL),
             ran ? LF_SECONDS("wait_s", (double)(job->started_us - job->received_us) / 1e6)
                 : LF_TEXT("wait_s", NULL),
             ran ? LF_INT("gen", job->generation) : LF_TEXT("gen", NULL),
             LF_TEXT("at", ran && *job->at ? job->at : NULL),
             again ? LF_INT("again_s", m->visibility_s) : LF_TEXT("again_s", NULL),
             LF_TEXT("trace", *trace ? trace : NULL), LF_TEXT("note", m->note),
             LF_BLOCK("source", all ? job->source : NULL),
             LF_BLOCK("detail", all ? job->detail : NULL),
             LF_BLOCK("next", all && *job->kind ? next : NULL));
}

static void gone(struct flow *f, struct message *m)
{
    f->settle.settling--;
    message_drop(f, m);
}

static void settled(struct flow *f, struct message *m)
{
    count_settled(f, m);
    log_settled(f, m);
    m->deleted = op_of(m) == QUEUE_DELETE;
    gone(f, m);
}

static void entry_failed(struct flow *f, const struct message *m, const char *code)
{
    const char *values[] = {op_of(m) == QUEUE_DELETE ? "delete" : "change", *code ? code : "none"};
    f->counts.entries_failed++;
    metric_add(f->options.entries_failed, values, 1);
}

static void gave_up(struct flow *f, struct message *m, enum queue_status status, const char *code,
                    const char *text)
{
    entry_failed(f, m, code);
    log_with(LOG_WARN,
             status == QUEUE_MISSING
                 ? "not settled: the queue does not exist"
                 : "not settled: the queue keeps the message and will show it again",
             LF_TEXT("id", m->job->id), LF_TEXT("outcome", kind_names[m->kind]),
             LF_TEXT("code", code), LF_TEXT("error", text));
    if (op_of(m) == QUEUE_DELETE && !m->lost)
        f->counts.lease_lost++;
    f->drain.gave_up += f->drain.draining;
    until_empty_retry(f, m->job->id, f->options.visibility_s);
    gone(f, m);
}

static void try_later(struct flow *f, struct message *m, enum queue_status status, const char *code,
                      const char *text, int64_t wish_ms)
{
    int64_t now = flow_now(f);
    int64_t delay_ms =
        retry_call_ms(AGAIN_BASE_MS, AGAIN_CAP_MS, m->tries++, wish_ms, flow_random(f));
    if (now + delay_ms >= m->lease_until_ms) {
        gave_up(f, m, status, code, text);
        return;
    }
    m->again_ms = now + delay_ms;
    list_append(&f->settle.later, &m->node);
    if (!f->settle.again.armed)
        flow_arm(f, &f->settle.again, delay_ms);
}

static void entry_answered(struct flow *f, struct message *m, const struct queue_batch *b,
                           const struct queue_entry *e)
{
    if (b->result.status != QUEUE_OK) {
        try_later(f, m, b->result.status, b->result.code, b->result.text, b->result.retry_after_ms);
    } else if (e->ok && e->handle != m->handle) {
        enqueue(f, m); /* delivered again meanwhile: only the newest handle is sure to work */
    } else if (e->ok) {
        settled(f, m);
    } else if (!e->sender_fault) {
        entry_failed(f, m, e->code);
        try_later(f, m, QUEUE_OK, e->code, e->text, -1);
    } else if (e->handle != m->handle) {
        enqueue(f, m);
    } else {
        gave_up(f, m, QUEUE_OK, e->code, e->text);
    }
}

static void answered(struct queue_batch *b)
{
    struct batch_call *c = (struct batch_call *)b;
    struct flow *f = c->flow;
    for (int i = 0; i < b->count; i++)
        entry_answered(f, b->entries[i].tag, b, &b->entries[i]);
    batch_free(c);
    intake_kick(f);
    drain_check(f);
}

/* No memory for the call: the messages wait as if the call had failed. */
static void put_off(struct flow *f, enum queue_op op)
{
    struct list *node;
    while ((node = list_pop(&f->settle.pending[op])))
        try_later(f, list_entry(node, struct message, node), QUEUE_BUSY, "", "no memory", -1);
    f->settle.pending_count[op] = 0;
}

/* After a wait for an extension, or a standstill. A queue may still take the old handle, and what
 * was to hide our message then ends the lease of whoever has it now. A delete is sent even so: it
 * can only spare a run. */
static void drop_lapsed(struct flow *f)
{
    int64_t now = flow_now(f);
    list_for_each (node, &f->settle.pending[QUEUE_CHANGE]) {
        struct message *m = list_entry(node, struct message, node);
        if (now < m->lease_until_ms)
            continue;
        list_remove(&m->node);
        f->settle.pending_count[QUEUE_CHANGE]--;
        log_with(LOG_WARN,
                 "the queue is told nothing: the lease has ended, so the message is visible again, "
                 "or somebody else has it",
                 LF_TEXT("id", m->job->id), LF_TEXT("outcome", kind_names[m->kind]));
        until_empty_retry(f, m->job->id, f->options.visibility_s);
        gone(f, m);
    }
}

static void flush_op(struct flow *f, enum queue_op op)
{
    if (op == QUEUE_CHANGE)
        drop_lapsed(f);
    while (f->settle.pending_count[op] > 0) {
        struct batch_call *c = batch_new(f, op, answered);
        if (!c) {
            put_off(f, op);
            return;
        }
        while (c->batch.count < QUEUE_BATCH_MAX && f->settle.pending_count[op] > 0) {
            struct message *m = list_entry(list_pop(&f->settle.pending[op]), struct message, node);
            f->settle.pending_count[op]--;
            batch_add(c, m, m->visibility_s);
        }
        batch_send(c);
    }
}

void settle_flush(struct flow *f)
{
    flush_op(f, QUEUE_DELETE);
    flush_op(f, QUEUE_CHANGE);
}

/* By a timer; what was dropped has left its place, and nothing else may happen any more. */
static void flush_late(struct flow *f)
{
    settle_flush(f);
    intake_kick(f);
    drain_check(f);
}

static void on_linger(struct timer *t)
{
    flush_late(flow_of(t, settle.linger));
}

static void on_again(struct timer *t)
{
    struct flow *f = flow_of(t, settle.again);
    int64_t now = flow_now(f), next_ms = INT64_MAX;
    list_for_each (node, &f->settle.later) {
        struct message *m = list_entry(node, struct message, node);
        if (m->again_ms <= now)
            enqueue(f, m);
        else if (m->again_ms < next_ms)
            next_ms = m->again_ms;
    }
    if (next_ms != INT64_MAX)
        flow_arm(f, &f->settle.again, next_ms - now);
    flush_late(f);
}

void settle_init(struct flow *f)
{
    list_init(&f->settle.pending[QUEUE_DELETE]);
    list_init(&f->settle.pending[QUEUE_CHANGE]);
    list_init(&f->settle.later);
    f->settle.linger.fire = on_linger;
    f->settle.again.fire = on_again;
}
