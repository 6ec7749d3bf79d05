/* Keeps what is in hand hidden from other receivers: extensions at half-life, ten a call, for
 * buffered and parked messages too, until the verdict. */
#include "flow/state.h"

#include "policy/retry.h"

enum { EXTEND_AGAIN_MS = 1000, GATE_MS = 10000 };

static int64_t visibility_ms(const struct flow *f)
{
    return f->options.visibility_s * INT64_C(1000);
}

static struct message *first_due(const struct flow *f)
{
    struct list *first = list_first(&f->leases.by_due);
    return first ? list_entry(first, struct message, lease) : NULL;
}

static void arm(struct flow *f)
{
    struct message *first = first_due(f);
    if (first)
        flow_arm(f, &f->leases.timer, first->lease_due_ms - flow_now(f));
    else
        flow_stop(f, &f->leases.timer);
}

/* Leases are of one length, so the place is almost always the tail. */
static void insert(struct flow *f, struct message *m, int64_t due_ms)
{
    list_remove(&m->lease);
    m->lease_due_ms = due_ms;
    struct list *place = &f->leases.by_due;
    while (place->prev != &f->leases.by_due &&
           list_entry(place->prev, struct message, lease)->lease_due_ms > due_ms)
        place = place->prev;
    list_insert(place, &m->lease);
    if (first_due(f) == m)
        arm(f);
}

void lease_begin(struct flow *f, struct message *m, int64_t first_byte_ms)
{
    m->received_ms = first_byte_ms;
    m->lease_until_ms = first_byte_ms + visibility_ms(f);
    insert(f, m, first_byte_ms + visibility_ms(f) / 2);
}

void lease_end(struct flow *f, struct message *m)
{
    (void)f;
    list_remove(&m->lease);
}

void lease_holds(struct message *m)
{
    m->lost = false;
    atomic_store(&m->job->lease_lost, m->claim_lost);
}

/* What has sent something finishes; what has not would only do it twice. */
void lease_fence(struct flow *f, struct message *m)
{
    if (atomic_load(&m->job->wire_until_ms) == WIRE_NEVER) {
        atomic_store(&m->job->fence, true);
        f->seam.workers.ops->cancel(f->seam.workers.self, m->job);
    }
    atomic_store(&m->job->lease_lost, true);
}

static const char *what_next(const struct message *m, bool unsent)
{
    if (m->state == RECORDING)
        return "deleted, before the shared store is told of its ack";
    if (m->state == COPYING && m->copy)
        return "the answer to its dead-letter copy decides";
    if (m->state != RUNNING)
        return "dropped: it runs when it is received again";
    return unsent ? "its run is cancelled: it has sent nothing"
                  : "its run may end, but sends nothing more; an ack is remembered";
}

static void lapse(struct flow *f, struct message *m)
{
    bool unsent = atomic_load(&m->job->wire_until_ms) == WIRE_NEVER;
    m->lost = true;
    f->counts.lease_lost++;
    lease_end(f, m);
    log_with(LOG_WARN, "lease lost: others may receive the message now", LF_TEXT("id", m->job->id),
             LF_INT("receives", m->receive_count), LF_TEXT("next", what_next(m, unsent)));
    if (m->state == RUNNING) {
        lease_fence(f, m);
        return;
    }
    if (m->state == RECORDING) {
        claims_settle_now(f, m);
        return;
    }
    if (m->state == COPYING && !dlq_lapsed(f, m))
        return;
    until_empty_retry(f, m->job->id, f->options.visibility_s);
    if (m->state == BUFFERED)
        dispatch_unbuffer(f, m);
    else if (m->state == PARKED && !keys_leave(f, m))
        f->targets.parked--;
    claims_leave(f, m);
    keys_free(f, m);
    if (m->probes)
        target_probe_ended(m);
    message_drop(f, m);
}

static void entry_answered(struct flow *f, struct message *m, const struct queue_batch *b,
                           const struct queue_entry *e)
{
    bool newer = e->handle != m->handle; /* delivered again meanwhile: its lease counts */
    if (b->result.status == QUEUE_OK && e->ok) {
        f->counts.extensions++;
        int64_t until_ms = b->sent_ms + e->visibility_s * INT64_C(1000);
        if (!newer && until_ms > m->lease_until_ms)
            m->lease_until_ms = until_ms;
    } else if (b->result.status == QUEUE_OK && e->sender_fault) {
        f->counts.extensions_refused++;
    } else {
        f->counts.extensions_failed++;
    }
    if (m->state == SETTLING) {
        settle_extension_answered(f, m);
        return;
    }
    if (newer) {
        if (!m->lost)
            insert(f, m, m->lease_until_ms - visibility_ms(f) / 2);
        return;
    }
    if (b->result.status == QUEUE_OK && e->ok) {
        lease_holds(m); /* the answer was late */
        insert(f, m, m->lease_until_ms - visibility_ms(f) / 2);
    } else if (m->lost) {
        return;
    } else if (b->result.status == QUEUE_OK && e->sender_fault) {
        log_with(LOG_WARN, "lease not extended", LF_TEXT("id", m->job->id),
                 LF_TEXT("code", e->code), LF_TEXT("error", e->text));
        lapse(f, m); /* the handle is not good any more: no use in asking again */
    } else {
        int64_t again_ms = flow_now(f) + EXTEND_AGAIN_MS;
        insert(f, m, again_ms < m->lease_until_ms ? again_ms : m->lease_until_ms);
    }
}

static void extension_answered(struct queue_batch *b)
{
    struct batch_call *x = (struct batch_call *)b;
    struct flow *f = x->flow;
    int64_t held_back;
    if (b->result.status != QUEUE_OK && log_gate_open(&f->leases.gate, GATE_MS, &held_back))
        log_with(LOG_WARN, "leases not extended, trying again",
                 LF_TEXT("code", *b->result.code ? b->result.code : NULL),
                 LF_TEXT("error", b->result.text), LF_INT("messages", b->count),
                 held_back ? LF_INT("repeated", held_back) : LF_TEXT("repeated", NULL));
    for (int i = 0; i < b->count; i++) {
        struct message *m = b->entries[i].tag;
        m->extending = false;
        if (m->dropped)
            message_drop(f, m);
        else
            entry_answered(f, m, b, &b->entries[i]);
    }
    batch_free(x);
    dispatch_kick(f); /* who waited for the key of one that lapsed */
    intake_kick(f);
    drain_check(f);
}

/* Seconds to extend by; 0: not now, or the twelve hours are used up. Then the lease runs out, and
 * lapse() sees to it. */
static int extension_s(struct flow *f, const struct message *m, int64_t now)
{
    int allowed_s = retry_clamp_s(f->options.visibility_s, now - m->received_ms);
    bool gains = now + allowed_s * INT64_C(1000) > m->lease_until_ms;
    return gains && !m->extending ? allowed_s : 0;
}

/* The first message whose lease needs a look, now or, to fill a batch, soon. */
static struct message *take_due(struct flow *f, int64_t until_ms)
{
    struct message *m = first_due(f);
    if (!m || m->lease_due_ms > until_ms)
        return NULL;
    list_remove(&m->lease);
    return m;
}

/* One batch of what is due, and of what soon will be, to fill it. False: nothing was due. */
static bool extend_some(struct flow *f, int64_t now)
{
    struct batch_call *x = batch_new(f, QUEUE_CHANGE, extension_answered);
    struct list looked_at; /* back into the order afterwards, due when the lease ends */
    struct message *m;
    int64_t until_ms = now;
    list_init(&looked_at);
    while ((!x || x->batch.count < QUEUE_BATCH_MAX) && (m = take_due(f, until_ms))) {
        if (m->lease_until_ms <= now) {
            lapse(f, m);
            continue;
        }
        list_append(&looked_at, &m->lease);
        int seconds = extension_s(f, m, now);
        if (x && seconds > 0) {
            batch_add(x, m, seconds);
            m->extending = true;
            until_ms = now + visibility_ms(f) / 10;
        }
    }
    struct list *node;
    while ((node = list_pop(&looked_at))) {
        m = list_entry(node, struct message, lease);
        insert(f, m, x ? m->lease_until_ms : now + EXTEND_AGAIN_MS);
    }
    if (x && x->batch.count > 0) {
        batch_send(x);
        return true;
    }
    if (x)
        batch_free(x);
    return false;
}

static void on_due(struct timer *t)
{
    struct flow *f = flow_of(t, leases.timer);
    while (extend_some(f, flow_now(f)))
        ;
    arm(f);
    dispatch_kick(f);
    intake_kick(f); /* a lapsed one has left its place, and nothing else may happen any more */
    drain_check(f);
}

void lease_init(struct flow *f)
{
    list_init(&f->leases.by_due);
    f->leases.timer.fire = on_due;
}
