/* Claims in the store that several hosts share (contract 5.2): a key is claimed before its message
 * runs, renewed with the lease, told done at the ack before the queue is told to delete, and freed
 * when the run has failed. Keys stay in order with one call at a time each; what was decided while
 * a call was on the wire waits for its answer.
 *
 * The delete waits for the store because a crash between the two would run the event a second time
 * wherever its next delivery goes; it waits no longer than the claim lasts, since after that the
 * store keeps nobody out any more. A store that is away makes messages wait (fail = "closed": and
 * holds the intake, as a target does) or run unfenced, counted; one claim at a time tries it. */
#include "flow/state.h"

#include "policy/retry.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    AGAIN_BASE_MS = 200,
    AGAIN_CAP_MS = 5000,
    SOON_MS = 50,
    FREE_TRIES = 3, /* then it is left to expire */
    GATE_MS = 10000,
};

static void answered(struct shared_call *call);
static void take_answer(struct flow *f, struct shared_claim *c);

static bool closed(const struct flow *f) /* nothing runs without the store */
{
    return f->options.claims_closed;
}

/* ---- when what is due ---- */

static struct shared_claim *first_due(const struct flow *f)
{
    struct list *first = list_first(&f->claims.by_due);
    return first ? list_entry(first, struct shared_claim, due) : NULL;
}

static void arm(struct flow *f)
{
    struct shared_claim *first = first_due(f);
    if (first)
        flow_arm(f, &f->claims.timer, first->due_ms - flow_now(f));
    else
        flow_stop(f, &f->claims.timer);
}

/* Claims are of one length, so the place is almost always the tail. */
static void schedule(struct flow *f, struct shared_claim *c, int64_t due_ms)
{
    list_remove(&c->due);
    c->due_ms = due_ms;
    struct list *place = &f->claims.by_due;
    while (place->prev != &f->claims.by_due &&
           list_entry(place->prev, struct shared_claim, due)->due_ms > due_ms)
        place = place->prev;
    list_insert(place, &c->due);
    if (first_due(f) == c)
        arm(f);
}

static int64_t backoff_ms(struct flow *f, struct shared_claim *c)
{
    return retry_call_ms(AGAIN_BASE_MS, AGAIN_CAP_MS, c->tries++, -1, flow_random(f));
}

/* ---- calls ---- */

static void fill(struct shared_claim *c, enum shared_op op)
{
    const struct flow_options *o = &c->flow->options;
    const struct message *m = c->key->holder;
    c->call.op = op;
    c->call.key = c->key->text;
    c->call.body = m && op != SHARED_FREE ? m->job->body : NULL;
    c->call.body_len = m && op != SHARED_FREE ? m->job->body_len : 0;
    c->call.for_ms = op == SHARED_CLAIM ? o->claim_ms : o->remember_ms;
    c->call.done = answered;
    c->open = true;
    c->flow->claims.open++;
    if (op == SHARED_CLAIM)
        c->perhaps = true;
    if (op == SHARED_CLAIM && c->state == CLAIM_OURS) /* it may end before the answer comes */
        schedule(c->flow, c, c->until_ms);
}

static void start(struct flow *f, struct list *calls)
{
    struct list *node;
    f->seam.shared.ops->start(f->seam.shared.self, calls);
    while ((node = list_pop(calls))) /* whoever is in the middle of something kicks the others */
        take_answer(f, (struct shared_claim *)list_entry(node, struct shared_call, node));
}

static void call(struct flow *f, struct shared_claim *c, enum shared_op op)
{
    struct list calls;
    list_init(&calls);
    list_remove(&c->due);
    fill(c, op);
    list_append(&calls, &c->call.node);
    start(f, &calls);
}

/* ---- where the message is ---- */

static void await_claim(struct flow *f, struct message *m)
{
    if (m->state == CLAIMING)
        return;
    m->state = CLAIMING;
    list_append(&f->claims.asking, &m->node);
    f->claims.waiting++;
}

static void ask_later(struct flow *f, struct shared_claim *c, int64_t delay_ms)
{
    await_claim(f, c->key->holder);
    schedule(f, c, flow_now(f) + delay_ms);
}

static void run(struct flow *f, struct message *m)
{
    claims_leave(f, m);
    dispatch_buffer(f, m, false);
}

/* The end of the claim; its key goes on to who waits for it. */
static void finish(struct flow *f, struct shared_claim *c)
{
    struct key *k = c->key;
    list_remove(&c->due);
    f->claims.count--;
    free(c);
    k->claim = NULL;
    keys_hand_on(f, k);
}

static void settle_acked(struct flow *f, struct message *m)
{
    f->claims.recording--;
    m->key->holder = NULL;
    m->key = NULL;
    settle_message(f, m, SETTLE_ACK, 0);
}

/* ---- a store that is away ---- */

static int64_t now_and_then_ms(struct flow *f)
{
    int64_t probe_ms = f->options.probe_ms;
    return probe_ms - probe_ms / 10 + (int64_t)(flow_random(f) % (uint64_t)(probe_ms / 5 + 1));
}

static void store_away(struct flow *f, const struct shared_call *call)
{
    int64_t held_back, now = flow_now(f);
    if (!f->claims.away)
        f->claims.since_ms = now;
    f->claims.away = true;
    f->claims.try_ms = now + now_and_then_ms(f);
    if (log_gate_open(&f->claims.gate, GATE_MS, &held_back))
        log_with(call->answer == SHARED_FAULT ? LOG_ERROR : LOG_WARN,
                 "the shared dedupe store is away", LF_TEXT("error", call->text),
                 LF_TEXT("next", closed(f) ? "messages wait, nothing is received"
                                           : "messages run unfenced: one may run twice"),
                 held_back ? LF_INT("repeated", held_back) : LF_TEXT("repeated", NULL));
}

/* All that wait ask again at once, and what went on without does so now. */
static void store_back(struct flow *f)
{
    int64_t now = flow_now(f);
    if (!f->claims.away)
        return;
    f->claims.away = false;
    f->claims.gate = (struct log_gate){0};
    log_with(LOG_INFO, "the shared dedupe store is back",
             LF_SECONDS("away_s", (double)(now - f->claims.since_ms) / 1000.0),
             LF_INT("unfenced", f->counts.unfenced));
    list_for_each (node, &f->claims.by_due) {
        struct shared_claim *c = list_entry(node, struct shared_claim, due);
        bool waits =
            c->state == CLAIM_UNFENCED || (c->state == CLAIM_ASKING && c->held_until_ms <= now);
        if (waits && c->due_ms > now)
            schedule(f, c, now);
    }
}

/* One claim at a time tries a store that is away. */
static bool may_ask(const struct flow *f)
{
    return !f->claims.away || (f->claims.open == 0 && flow_now(f) >= f->claims.try_ms);
}

/* ---- claims that are not ours, or not any more ---- */

static void count_unfenced(struct flow *f, struct shared_claim *c)
{
    if (c->counted)
        return;
    c->counted = true;
    f->counts.unfenced++;
    log_with(LOG_WARN, "unfenced: the store cannot keep other hosts from this key",
             LF_TEXT("id", c->key->holder->job->id), LF_TEXT("key", c->key->text));
}

static void unfenced(struct flow *f, struct shared_claim *c)
{
    c->state = CLAIM_UNFENCED;
    count_unfenced(f, c);
    schedule(f, c, flow_now(f) + (f->claims.away ? now_and_then_ms(f) : 0));
}

static void held_elsewhere(struct flow *f, struct shared_claim *c)
{
    const struct message *m = c->key->holder;
    int64_t delay_ms = backoff_ms(f, c), wait_ms = c->call.wait_ms;
    if (c->held_until_ms == 0)
        log_with(LOG_INFO, "parked: another host has its key", LF_TEXT("id", m->job->id),
                 LF_TEXT("key", c->key->text));
    if (wait_ms >= 0 && wait_ms < delay_ms)
        delay_ms = wait_ms > SOON_MS ? wait_ms : SOON_MS;
    c->held_until_ms = flow_now(f) + (wait_ms > delay_ms ? wait_ms : delay_ms);
    ask_later(f, c, delay_ms);
}

/* Another host may run it. What runs is treated as when its lease has lapsed. True: it does not
 * run, and asks now. */
static bool lost(struct flow *f, struct shared_claim *c, const char *why)
{
    struct message *m = c->key->holder;
    struct target *probed = m->probes;
    f->counts.claims_lost++;
    c->until_ms = 0;
    log_with(LOG_WARN, "claim lost: another host may run this key now", LF_TEXT("id", m->job->id),
             LF_TEXT("key", c->key->text), LF_TEXT("reason", why));
    if (m->state == RUNNING) {
        c->state = CLAIM_LOST;
        m->claim_lost = true;
        lease_fence(f, m);
        return false;
    }
    if (m->state == WAITING) { /* for its turn in its group, and asks for its key then */
        keys_free(f, m);
        return false;
    }
    if (m->state == BUFFERED) {
        dispatch_unbuffer(f, m);
    } else {
        target_leave(f, m);
        m->reruns++;
    }
    c->state = CLAIM_ASKING;
    m->asked_ms = flow_now(f);
    ask_later(f, c, backoff_ms(f, c));
    if (probed)
        target_probe_ended(m);
    return true;
}

/* Nothing has renewed it in time. */
static void expired(struct flow *f, struct shared_claim *c)
{
    if (closed(f))
        lost(f, c, "it could not be renewed");
    else
        unfenced(f, c);
}

/* ---- answers ---- */

static void ours(struct flow *f, struct shared_claim *c)
{
    int64_t until_ms = c->call.sent_ms + c->call.for_ms, now = flow_now(f);
    bool first = c->state == CLAIM_ASKING;
    c->tries = 0;
    if (until_ms <= now) { /* an answer that late is worth nothing */
        schedule(f, c, now);
        return;
    }
    c->state = CLAIM_OURS;
    c->until_ms = until_ms;
    schedule(f, c, c->call.sent_ms + f->options.visibility_s * INT64_C(1000) / 2);
    if (first)
        run(f, c->key->holder);
}

static void acked_elsewhere(struct flow *f, struct shared_claim *c)
{
    struct message *m = c->key->holder;
    claims_leave(f, m);
    keys_place_free(f, m);
    c->key->holder = NULL;
    m->key = NULL;
    f->counts.duplicates++;
    f->counts.acked_before++;
    settle_message(f, m, SETTLE_DUPLICATE, 0);
    finish(f, c);
}

/* The store has not said anything. */
static void unanswered(struct flow *f, struct shared_claim *c)
{
    int64_t now = flow_now(f), again_ms = now + now_and_then_ms(f);
    bool asking = c->state == CLAIM_ASKING;
    if (asking && (closed(f) || c->held_until_ms > now)) {
        ask_later(f, c, again_ms - now);
    } else if (asking) {
        unfenced(f, c);
        run(f, c->key->holder);
    } else if (c->state == CLAIM_OURS && c->until_ms <= now) {
        expired(f, c);
    } else {
        bool ends = c->state == CLAIM_OURS && c->until_ms < again_ms;
        schedule(f, c, ends ? c->until_ms : again_ms);
    }
}

static void claim_answered(struct flow *f, struct shared_claim *c)
{
    bool asking = c->state == CLAIM_ASKING;
    if (c->state == CLAIM_LOST) /* meanwhile: what runs on it has been told */
        return;
    switch (c->call.answer) {
    case SHARED_OK:
        ours(f, c);
        return;
    case SHARED_ACKED:
        if (asking || lost(f, c, "another host has acked it"))
            acked_elsewhere(f, c);
        return;
    case SHARED_HELD:
        if (asking || lost(f, c, "another host has claimed it"))
            held_elsewhere(f, c);
        return;
    case SHARED_AWAY:
    case SHARED_FAULT:
        unanswered(f, c);
    }
}

static bool is_away(const struct shared_claim *c)
{
    return c->call.answer == SHARED_AWAY || c->call.answer == SHARED_FAULT;
}

static void done_answered(struct flow *f, struct shared_claim *c)
{
    struct message *m = c->key->holder;
    int64_t again_ms = flow_now(f) + backoff_ms(f, c);
    if (m && is_away(c) && again_ms < c->until_ms) {
        schedule(f, c, again_ms);
        return;
    }
    if (m && is_away(c))
        count_unfenced(f, c);
    if (m)
        settle_acked(f, m);
    finish(f, c);
}

static void free_answered(struct flow *f, struct shared_claim *c)
{
    int64_t delay_ms = backoff_ms(f, c);
    if (is_away(c) && c->tries < FREE_TRIES && !f->drain.draining)
        schedule(f, c, flow_now(f) + delay_ms);
    else
        finish(f, c);
}

/* What its message has come to since, in state TELLING or FREEING, goes before the answer to an
 * earlier claim. */
static void proceed(struct flow *f, struct shared_claim *c)
{
    if (c->state == CLAIM_TELLING && c->key->holder)
        call(f, c, SHARED_DONE);
    else if (c->state == CLAIM_FREEING && c->perhaps)
        call(f, c, SHARED_FREE);
    else
        finish(f, c);
}

static void take_answer(struct flow *f, struct shared_claim *c)
{
    struct shared_call *shared = &c->call;
    list_remove(&c->due);
    c->open = false;
    f->claims.open--;
    if (is_away(c))
        store_away(f, shared);
    else
        store_back(f);
    if (shared->op == SHARED_DONE)
        done_answered(f, c);
    else if (shared->op == SHARED_FREE)
        free_answered(f, c);
    else {
        if (shared->answer == SHARED_HELD || shared->answer == SHARED_ACKED)
            c->perhaps = false;
        if (c->state == CLAIM_TELLING || c->state == CLAIM_FREEING)
            proceed(f, c);
        else
            claim_answered(f, c);
    }
}

static void answered(struct shared_call *shared)
{
    struct flow *f = ((struct shared_claim *)shared)->flow;
    take_answer(f, (struct shared_claim *)shared);
    dispatch_kick(f);
    intake_kick(f);
    drain_check(f);
}

/* ---- what others ask for ---- */

int claims_take(struct flow *f, struct key *k)
{
    struct shared_claim *c = calloc(1, sizeof *c);
    struct message *m = k->holder;
    if (!c)
        return -1;
    c->flow = f;
    c->key = k;
    k->claim = c;
    list_init(&c->due);
    snprintf(c->call.token, sizeof c->call.token, "%016" PRIx64 "%016" PRIx64, flow_random(f),
             flow_random(f));
    f->claims.count++;
    m->asked_ms = flow_now(f);
    await_claim(f, m);
    if (may_ask(f))
        call(f, c, SHARED_CLAIM);
    else
        unanswered(f, c);
    return 0;
}

void claims_acked(struct flow *f, struct message *m)
{
    struct shared_claim *c = m->key->claim;
    bool in_vain = c->state == CLAIM_UNFENCED && f->claims.away && !c->open;
    c->state = CLAIM_TELLING;
    c->tries = 0;
    m->state = RECORDING;
    list_append(&f->claims.recorded, &m->node);
    f->claims.recording++;
    if (in_vain)
        settle_acked(f, m);
    if (!c->open)
        proceed(f, c);
}

void claims_free(struct flow *f, struct shared_claim *c)
{
    c->state = CLAIM_FREEING;
    c->tries = 0;
    if (!c->open)
        proceed(f, c);
}

/* Its answer, should one come, changes nothing. */
void claims_abandon(struct flow *f, struct shared_claim *c)
{
    c->perhaps = false;
    claims_free(f, c);
}

void claims_leave(struct flow *f, struct message *m)
{
    if (m->state != CLAIMING)
        return;
    list_remove(&m->node);
    f->claims.waiting--;
}

void claims_settle_now(struct flow *f, struct message *m)
{
    count_unfenced(f, m->key->claim);
    settle_acked(f, m);
}

void claims_hurry(struct flow *f)
{
    struct list *node;
    while ((node = list_first(&f->claims.recorded)))
        claims_settle_now(f, list_entry(node, struct message, node));
}

void claims_give_back(struct flow *f, void (*put)(struct flow *, struct message *))
{
    struct list *node;
    while ((node = list_first(&f->claims.asking))) {
        struct message *m = list_entry(node, struct message, node);
        claims_leave(f, m);
        put(f, m);
    }
}

bool claims_may_run(const struct flow *f, const struct message *m)
{
    const struct shared_claim *c = m->key ? m->key->claim : NULL;
    if (c && c->state == CLAIM_UNFENCED) /* a store that is back is about to say whose key it is */
        return f->claims.away;
    return !c || c->state != CLAIM_OURS || c->until_ms > flow_now(f);
}

int claims_permits(const struct flow *f)
{
    if (!closed(f) || !f->claims.away)
        return INT_MAX;
    return f->claims.waiting > 0 ? 0 : 1; /* one to try it with */
}

/* ---- time ---- */

/* It has waited for so long that it goes back to the queue, unless that would be its end. */
static bool hold_over(struct flow *f, const struct shared_claim *c)
{
    const struct message *m = c->key->holder;
    return c->state == CLAIM_ASKING && flow_now(f) - m->asked_ms >= f->options.hold_ms &&
           !verdict_is_last(f, m);
}

static void give_up(struct flow *f, struct shared_claim *c)
{
    struct message *m = c->key->holder;
    m->note = "another host has its key, or the store is away";
    claims_leave(f, m);
    keys_free(f, m);
    verdict_retry(f, m);
}

/* Its renewal is on the wire. What waits does not start any more (claims_may_run). */
static void ended_unanswered(struct flow *f, struct shared_claim *c)
{
    if (closed(f) && c->state == CLAIM_OURS && c->key->holder->state == RUNNING)
        lost(f, c, "it could not be renewed in time");
}

static void on_due(struct timer *t)
{
    struct flow *f = flow_of(t, claims.timer);
    int64_t now = flow_now(f);
    struct list calls;
    struct shared_claim *c;
    list_init(&calls);
    while ((c = first_due(f)) && c->due_ms <= now) {
        list_remove(&c->due);
        bool claims = c->state != CLAIM_TELLING && c->state != CLAIM_FREEING;
        if (c->open) {
            ended_unanswered(f, c);
        } else if (hold_over(f, c)) {
            give_up(f, c);
        } else if (c->state == CLAIM_OURS && c->until_ms <= now) {
            expired(f, c);
        } else if (!claims) {
            proceed(f, c);
        } else if (!may_ask(f)) {
            unanswered(f, c);
        } else {
            fill(c, SHARED_CLAIM);
            list_append(&calls, &c->call.node);
        }
    }
    if (!list_empty(&calls))
        start(f, &calls);
    arm(f);
    dispatch_kick(f);
    intake_kick(f);
    drain_check(f);
}

void claims_init(struct flow *f)
{
    list_init(&f->claims.by_due);
    list_init(&f->claims.asking);
    list_init(&f->claims.recorded);
    f->claims.timer.fire = on_due;
}
