/* The store that several hosts share: one record a key, an honest clock, calls that get lost, come
 * late, are throttled, or take effect after their sender has given up. What a host may do is judged
 * by the answers that it has heard. */
#include "view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_TIMEOUT_MS = 5000 };

/* A call on the wire. The flow's object is touched only if its host still lives. */
struct store_call {
    struct list node; /* in sim.store_calls, until it has happened and was heard of */
    struct host *host;
    uint64_t life;
    struct shared_call *shared;
    enum shared_op op;
    int key, pair;
    char token[SHARED_TOKEN_BYTES];
    int64_t sent_ms, for_ms;
    enum shared_answer answer;
    int64_t wait_ms;
    int events; /* still to come */
};

struct hold *hold_of(struct host *h, const struct record *r)
{
    return &h->holds[r->key];
}

static bool in_use(const struct item *i)
{
    return *i->token && i->until_ms > sim.now_ms;
}

static bool is_mine(const struct item *i, const struct store_call *s)
{
    return strcmp(i->token, s->token) == 0;
}

/* ---- what calls do ---- */

static void claim(struct store_call *s)
{
    struct item *i = &sim.items[s->key];
    s->answer = SHARED_OK;
    if (sim.items[s->pair].acked_until_ms > sim.now_ms) {
        s->answer = SHARED_ACKED;
        return;
    }
    if (in_use(i) && !is_mine(i, s)) {
        s->answer = SHARED_HELD;
        s->wait_ms = chance(&sim.fault, 800) ? i->until_ms - sim.now_ms : -1;
        return;
    }
    if (*i->token && !is_mine(i, s))
        corners[CORNER_claim_taken_over]++;
    int64_t until_ms = s->sent_ms + s->for_ms;
    if (!is_mine(i, s))
        i->claimed_ms = sim.now_ms;
    else if (until_ms <
             i->until_ms) /* carried out after a later one; a real store is not so late */
        return;
    memcpy(i->token, s->token, sizeof i->token);
    i->until_ms = until_ms;
}

static void execute(struct store_call *s)
{
    struct item *i = &sim.items[s->key];
    struct item *acked = &sim.items[s->pair];
    switch (s->op) {
    case SHARED_CLAIM:
        claim(s);
        break;
    case SHARED_DONE:
        s->answer = SHARED_OK;
        acked->acked_until_ms = sim.now_ms + s->for_ms;
        acked->acked_ms = acked->acked_ms ? acked->acked_ms : sim.now_ms;
        if (is_mine(i, s))
            *i->token = '\0';
        break;
    case SHARED_FREE:
        s->answer = SHARED_OK;
        if (is_mine(i, s))
            *i->token = '\0';
    }
    note(6, (uint64_t)s->key << 4 | (uint64_t)s->op << 2 | s->answer);
}

/* ---- what its host makes of the answer ---- */

static void asking_ends(struct host *h, struct record *r)
{
    view_of(h, r)->asking = false;
}

/* Another may run it, and what its host does is for the flow to decide. */
static void loses(struct host *h, struct hold *o)
{
    struct record *r = &sim.records[o->record];
    struct view *v = view_of(h, r);
    o->ours = false;
    if (v->phase == PHASE_GONE || v->phase == PHASE_DECIDED || v->phase == PHASE_RECORDING)
        return;
    corners[CORNER_claim_lost]++;
    tell(r, "host %d has lost the claim", h->index);
    v->doubtful = v->doubtful || !v->odd;
    v->odd = r->burnt = true;
    v->due_ms = 0;
}

static void claim_ends(void *arg, uint64_t until_ms)
{
    struct hold *o = arg;
    struct host *h = o->host;
    if (sim.closed && o->ours && o->until_ms == (int64_t)until_ms)
        loses(h, o);
}

static void hears_of_claim(struct host *h, struct hold *o, const struct shared_call *c)
{
    struct record *r = &sim.records[o->record];
    struct view *v = view_of(h, r);
    bool asking = v->phase == PHASE_WAITING && v->starts == 0;
    switch (c->answer) {
    case SHARED_OK:
        o->ours = true;
        o->foreign_until_ms = 0;
        o->until_ms = c->sent_ms + c->for_ms;
        if (o->until_ms <= sim.now_ms)
            return;
        asking_ends(h, r);
        later(o->until_ms - sim.now_ms - 1, h, claim_ends, o, (uint64_t)o->until_ms);
        return;
    case SHARED_ACKED:
        v->told_acked = v->phase != PHASE_RUNNING || v->odd;
        if (!asking) {
            widen(&h->tally.again, false);
            loses(h, o);
            return;
        }
        corners[CORNER_acked_elsewhere]++;
        asking_ends(h, r);
        v->odd = v->odd || lapsed(v) || hold_over(h, v); /* let go of perhaps */
        widen(&h->tally.again, !v->odd);
        if (!v->odd)
            decide(v, KIND_DELETE, 0, 0);
        return;
    case SHARED_HELD:
        if (!asking)
            loses(h, o);
        corners[CORNER_claim_lost] += asking && !v->asking;
        v->asking = v->asking || asking;
        o->ours = false;
        o->foreign_until_ms = c->wait_ms >= 0 ? sim.now_ms + c->wait_ms : sim.now_ms;
        corners[CORNER_claimed_elsewhere]++;
        return;
    case SHARED_AWAY:
    case SHARED_FAULT:
        if (!sim.closed && o->foreign_until_ms <= sim.now_ms)
            asking_ends(h, r);
    }
}

static void hears(struct host *h, int key, const struct shared_call *c)
{
    struct hold *o = &h->holds[key];
    struct view *v = view_of(h, &sim.records[o->record]);
    o->open = false;
    o->failed = c->answer == SHARED_AWAY || c->answer == SHARED_FAULT;
    h->store_away = o->failed;
    tell(&sim.records[o->record], "host %d hears %d of its call %d", h->index, (int)c->answer,
         (int)c->op);
    if (c->op == SHARED_CLAIM)
        hears_of_claim(h, o, c);
    else if (c->op == SHARED_DONE && !o->failed && !v->odd && v->phase == PHASE_RECORDING)
        decide(v, KIND_DELETE, 0, 0);
    o->told = o->told || (c->op == SHARED_DONE && !o->failed);
}

/* ---- calls on their way ---- */

static void over(struct store_call *s)
{
    if (--s->events > 0)
        return;
    list_remove(&s->node);
    free(s);
}

static void arrives(void *arg, uint64_t number)
{
    struct store_call *s = arg;
    (void)number;
    execute(s);
    over(s);
}

static void answered(void *arg, uint64_t away)
{
    struct store_call *s = arg;
    struct host *h = s->host;
    struct shared_call *c = s->shared;
    c->answer = away ? (enum shared_answer)away : s->answer;
    c->wait_ms = away ? -1 : s->wait_ms;
    if (away && strikes(FAULT_store_busy, 500))
        c->wait_ms = between(&sim.fault, 0, 8000);
    c->call = NULL;
    hears(h, s->key, c);
    over(s);
    enter_flow(h);
    c->done(c);
    leave_flow(h);
}

static void send(struct store_call *s)
{
    struct host *h = s->host;
    s->events = 1;
    if (sim.store_away && sim.now_ms < sim.faults_end_ms) {
        fault_hits[FAULT_store_away]++;
        later(between(&sim.fault, 1, CALL_TIMEOUT_MS), h, answered, s,
              sim.store_denied ? SHARED_FAULT : SHARED_AWAY);
        return;
    }
    if (strikes(FAULT_store_lost, 20) || strikes(FAULT_store_busy, 20)) {
        later(between(&sim.fault, 1, CALL_TIMEOUT_MS), h, answered, s, SHARED_AWAY);
        return;
    }
    s->events = 2;
    if (strikes(FAULT_store_after_all, 20)) { /* given up, and carried out long after */
        later(between(&sim.fault, CALL_TIMEOUT_MS, 4 * CALL_TIMEOUT_MS), NULL, arrives, s, 0);
        later(CALL_TIMEOUT_MS, h, answered, s, SHARED_AWAY);
        return;
    }
    int64_t there_ms = between(&sim.fault, 1, 10), back_ms = between(&sim.fault, 1, 20);
    later(there_ms, NULL, arrives, s, 0);
    if (strikes(FAULT_store_unheard, 20))
        later(CALL_TIMEOUT_MS, h, answered, s, SHARED_AWAY);
    else if (strikes(FAULT_store_late, 10))
        later(between(&sim.fault, 1000, CALL_TIMEOUT_MS - 1), h, answered, s, 0);
    else
        later(there_ms + back_ms, h, answered, s, 0);
}

static int number_in(const char *text)
{
    return atoi(text + strcspn(text, "0123456789"));
}

static void starts(struct host *h, struct hold *o, const struct shared_call *c)
{
    struct view *v = view_of(h, &sim.records[o->record]);
    check(INV_claims, !o->open, "host %d has two calls open for one key", h->index);
    tell(&sim.records[o->record], "host %d sends a call %d", h->index, (int)c->op);
    o->open = true;
    if (c->op == SHARED_CLAIM && v->phase == PHASE_WAITING && !o->ours && v->starts == 0)
        v->asking = true;
    if (c->op == SHARED_DONE)
        check(INV_remembered, sim.records[sim.records[o->record].pair].acked,
              "host %d tells the store of %s, which nobody has acked", h->index,
              sim.records[o->record].id);
    if (c->op != SHARED_CLAIM)
        o->ours = false;
}

static void start(void *self, struct list *calls)
{
    struct host *h = self;
    list_for_each (node, calls) {
        struct shared_call *c = list_entry(node, struct shared_call, node);
        int key = number_in(c->key);
        c->sent_ms = sim.now_ms;
        starts(h, &h->holds[key], c);
        if (strikes(FAULT_call_refused, 3)) {
            c->answer = SHARED_AWAY;
            c->wait_ms = -1;
            hears(h, key, c);
            continue;
        }
        list_remove(node);
        struct store_call *s = grab(sizeof *s);
        *s = (struct store_call){.host = h,
                                 .life = h->life,
                                 .shared = c,
                                 .op = c->op,
                                 .key = key,
                                 .sent_ms = sim.now_ms,
                                 .for_ms = c->for_ms,
                                 .wait_ms = -1};
        if (c->body)
            s->pair = number_in(strstr(c->body, "\"b\":"));
        memcpy(s->token, c->token, sizeof s->token);
        list_append(&sim.store_calls, &s->node);
        send(s);
    }
}

struct shared store_for(struct host *h)
{
    static const struct shared_ops ops = {.start = start};
    if (!sim.shared)
        return (struct shared){0};
    return (struct shared){.ops = &ops, .self = h, .timeout_ms = CALL_TIMEOUT_MS};
}

/* Its host is gone: nobody hears of it, what is on its way arrives. */
void store_forget_calls(struct host *h)
{
    list_for_each (node, &sim.store_calls) {
        struct store_call *s = list_entry(node, struct store_call, node);
        if (s->host != h || s->life != h->life || !s->shared)
            continue;
        s->shared = NULL;
    }
}

void store_free(void)
{
    struct list *node;
    while ((node = list_pop(&sim.store_calls)))
        free(list_entry(node, struct store_call, node));
    free(sim.items);
}

/* ---- what is promised ---- */

void store_check_start(struct host *h, const struct record *r)
{
    const struct hold *o = hold_of(h, r);
    bool valid = o->ours && o->until_ms > sim.now_ms;
    bool excused = !sim.closed && h->store_away && o->foreign_until_ms <= sim.now_ms;
    if (!sim.shared || h->unsure || h->slept || view_of(h, r)->odd)
        return;
    corners[CORNER_runs_unfenced] += !valid;
    check(INV_claimed, valid || excused, "%s runs in host %d, which has no claim", r->id, h->index);
    check_if(valid, INV_once,
             sim.items[r->pair].acked_until_ms <= sim.now_ms ||
                 sim.items[r->pair].acked_ms >= sim.items[r->key].claimed_ms,
             "%s runs in host %d, and the store knew it as acked", r->id, h->index);
    for (int i = 0; i < sim.host_count; i++) {
        struct host *other = &sim.hosts[i];
        if (other == h || !other->up)
            continue;
        list_for_each (node, &other->running) {
            const struct record *theirs = list_entry(node, struct run, node)->record;
            const struct hold *p = hold_of(other, theirs);
            if (theirs->key == r->key)
                check_if(valid, INV_claims, !p->ours || p->until_ms <= sim.now_ms,
                         "%s runs in host %d beside %s in host %d, and both have claims", r->id,
                         h->index, theirs->id, other->index);
        }
    }
}
