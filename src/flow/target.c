/* Servers that handlers call. When one fails by itself, receiving stops, what is in hand waits
 * parked under its lease, and one parked message tries it again every few seconds: an outage costs
 * no receives (contract 5.7).
 *
 * Some messages make a healthy server fail: an account that Keycloak answers with 500, say. One of
 * them must not stop everybody: so the parked ones take turns, the oldest first; a single one gets
 * company after a while; and a message that fails again each time after others have brought its
 * target back is a failed message, not the sign of an outage. */
#include "flow/state.h"

#include "board.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPANY_AFTER = 5, /* tries of each for each that waits, then one more is received */
    STORM_GATHERS = 100,
    COMEBACKS_MAX = 3,
    WATCHED_MAX = 64, /* handlers may take addresses from events */
};

static struct target *find(struct flow *f, const char *name)
{
    struct table_node *n = table_find(&f->targets.by_name, name);
    return n ? table_entry(n, struct target, by_name) : NULL;
}

static void probe_again(struct target *t)
{
    struct flow *f = t->flow;
    int64_t probe_ms = f->options.probe_ms;
    int64_t jitter_ms = (int64_t)(flow_random(f) % (uint64_t)(probe_ms / 5 + 1));
    flow_arm(f, &t->timer, probe_ms - probe_ms / 10 + jitter_ms);
}

static void unpark(struct flow *f, struct message *m)
{
    list_remove(&m->node);
    f->targets.parked--;
}

void target_leave(struct flow *f, struct message *m)
{
    unpark(f, m);
}

/* Not if that would be its end: the queue would move it to the dead-letter queue at its next
 * receive, for an outage. */
static bool may_expire(const struct flow *f, const struct message *m, int64_t now)
{
    return now - m->parked_ms >= f->options.hold_ms && !verdict_is_last(f, m);
}

/* What has been parked for too long goes back to the queue, with its backoff. */
static void expire(struct target *t)
{
    struct flow *f = t->flow;
    int64_t now = flow_now(f);
    list_for_each (node, &t->parked) {
        struct message *m = list_entry(node, struct message, node);
        if (!may_expire(f, m, now))
            continue;
        unpark(f, m);
        verdict_retry(f, m);
    }
}

/* Of those that may run and try nothing yet the one that has tried least often, the first. */
static struct message *least_tried(const struct flow *f, struct list *waiting)
{
    struct message *best = NULL;
    list_for_each (node, waiting) {
        struct message *m = list_entry(node, struct message, node);
        if (!m->probes && claims_may_run(f, m) && (!best || m->probed < best->probed))
            best = m;
    }
    return best;
}

static struct message *next_to_probe(struct target *t)
{
    struct flow *f = t->flow;
    struct message *m = least_tried(f, &t->parked);
    struct message *buffered = least_tried(f, &f->dispatch.buffered);
    if (buffered && (!m || buffered->probed < m->probed)) {
        dispatch_unbuffer(f, buffered);
        return buffered;
    }
    if (m) {
        unpark(f, m);
        m->reruns++;
    }
    return m;
}

/* A storm asks for a fresh one after every few tries, whatever they fill, since none that waits may
 * ever go well, and at its last receive none leaves. So many that fail alike are enough, though. */
static int storm_company(struct target *t, const struct message *m)
{
    struct flow *f = t->flow;
    int in_hand = intake_held(f) - f->keys.waiting + (m != NULL);
    if (m && ++t->tries % COMPANY_AFTER != 0)
        return 0;
    return in_hand < dispatch_slots(f) + STORM_GATHERS ? in_hand + 1 : 0;
}

static bool all_tried(const struct list *waiting, int times)
{
    list_for_each (node, waiting)
        if (list_entry(node, struct message, node)->probed < times)
            return false;
    return true;
}

/* How many messages may be in hand to try the target with, `m` among them; 0: no more are needed.
 * The more of them it fails, the surer it is that it is not they. */
static int company(struct target *t, const struct message *m)
{
    struct flow *f = t->flow;
    int others = f->targets.parked + f->dispatch.buffered_count;
    int times = COMPANY_AFTER * (others + 1);
    if (t->storm)
        return storm_company(t, m);
    if (!m)
        return 1;
    return m->probed >= times && all_tried(&t->parked, times) &&
                   all_tried(&f->dispatch.buffered, times)
               ? others + 2
               : 0;
}

static void send_probe(struct target *t)
{
    struct flow *f = t->flow;
    if (!t->down || t->external || t->probe || f->drain.draining)
        return;
    struct message *m = next_to_probe(t);
    t->trial = company(t, m);
    if (m) {
        t->probe = m;
        m->probes = t;
        m->probed++;
        dispatch_buffer(f, m, true);
        dispatch_kick(f);
    }
    intake_kick(f);
    if (m)
        t->trial = 0; /* for company, the poll that was opened just now is enough */
}

/* Calls to it fail at once, but for those that are to try it. */
static void publish(const struct target *t)
{
    if (t->flow->options.board && !t->storm)
        board_set(t->flow->options.board, t->name, t->down ? !t->external : t->breaker.open);
}

static void on_timer(struct timer *timer)
{
    struct target *t = (struct target *)((char *)timer - offsetof(struct target, timer));
    if (!t->down) { /* its handlers catch its errors: one of their calls tries it */
        board_let_pass(t->flow->options.board, t->name);
        probe_again(t);
        return;
    }
    expire(t);
    if (limits_blocked_ms(t->flow, t) == 0)
        send_probe(t);
    probe_again(t); /* also when nothing was sent: parked messages expire by this timer */
}

static bool is_coupled(const struct flow *f, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = f->options.couple; at && *at;) {
        size_t item = strcspn(at, ",");
        if (item == len && strncmp(at, name, len) == 0)
            return true;
        at += item + strspn(at + item, ",");
    }
    return false;
}

static struct target *get(struct flow *f, const char *name)
{
    struct target *t = find(f, name);
    if (t)
        return t;
    struct limit_options limit = {
        .max = f->options.limit.max, .fixed = f->options.limit.fixed, .seed = flow_random(f)};
    struct breaker_options breaker = {.failures = f->options.breaker_failures,
                                      .window_ms = f->options.breaker_window_ms,
                                      .probe_ms = f->options.probe_ms};
    size_t len = strlen(name);
    t = calloc(1, sizeof *t + len + 1);
    if (!t)
        return NULL;
    memcpy(t->name, name, len + 1);
    t->flow = f;
    t->timer.fire = on_timer;
    list_init(&t->parked);
    list_init(&t->in_all);
    list_append(&f->targets.all, &t->in_all);
    limit_init(&t->limit, &limit, flow_now(f));
    breaker_init(&t->breaker, &breaker);
    rate_set(&t->rate, f->options.limit.rate, flow_now(f));
    t->coupled = is_coupled(f, name);
    table_add(&f->targets.by_name, &t->by_name, t->name);
    return t;
}

static void go_down(struct target *t, const char *why, bool external)
{
    struct flow *f = t->flow;
    if (t->down)
        return;
    t->down = true;
    t->external = external;
    t->since_ms = flow_now(f);
    f->targets.down++;
    breaker_open(&t->breaker, t->since_ms);
    publish(t);
    if (t->storm)
        log_with(
            LOG_ERROR,
            "failure storm: nearly all messages fail alike, so the handler or what it relies on "
            "is at fault, not they; receiving nothing, they wait here and one of them tries "
            "again every few seconds (breaker.storm)",
            LF_TEXT("reason", why));
    else
        log_with(LOG_WARN, "target is down: receiving nothing, what is in hand waits here",
                 LF_TEXT("target", t->name), LF_TEXT("reason", why));
    probe_again(t);
}

/* `proven`: by a message like those that wait. */
static void go_up(struct target *t, bool proven)
{
    struct flow *f = t->flow;
    if (!t->down)
        return;
    t->down = t->external = false;
    t->trial = 0;
    f->targets.down--;
    flow_stop(f, &t->timer);
    breaker_close(&t->breaker, flow_now(f));
    limit_restart(&t->limit, flow_now(f));
    publish(t);
    if (t->storm)
        storm_over(f);
    log_with(LOG_INFO,
             t->storm ? "the failure storm is over: receiving again"
                      : "target is back: receiving again",
             LF_TEXT("target", t->storm ? NULL : t->name),
             LF_SECONDS("down_s", (double)(flow_now(f) - t->since_ms) / 1000.0));
    struct list *node;
    while ((node = list_first(&t->parked))) {
        struct message *m = list_entry(node, struct message, node);
        unpark(f, m);
        m->comebacks += proven && !t->storm;
        m->reruns++;
        dispatch_buffer(f, m, false);
    }
    dispatch_kick(f);
    intake_kick(f);
}

static void park(struct target *t, struct message *m)
{
    struct list *place = &t->parked;
    while (place->prev != &t->parked &&
           list_entry(place->prev, struct message, node)->received_ms > m->received_ms)
        place = place->prev;
    m->state = PARKED;
    list_insert(place, &m->node);
    t->flow->targets.parked++;
}

static void end_probe(struct message *m)
{
    m->probes->probe = NULL;
    m->probes = NULL;
}

bool target_blames(const struct message *m)
{
    bool called = strcmp(m->job->kind, "breaker_open") != 0; /* else it has done nothing */
    return m->comebacks >= COMEBACKS_MAX && !m->probes && called;
}

void target_failed(struct flow *f, struct message *m)
{
    struct job *job = m->job;
    struct target *t = get(f, job->target);
    if (t)
        go_down(t, job->reason, false); /* first: the return of another must not start anything */
    if (m->probes && m->probes != t)
        target_probe_ended(m); /* it got past that one, and failed at this */
    else if (m->probes)
        end_probe(m);
}

void target_park(struct flow *f, struct message *m)
{
    target_park_in(f, m, m->job->target);
}

static void log_parked(struct flow *f, const struct message *m, const struct target *t)
{
    const struct job *job = m->job;
    enum telling telling = log_enabled(LOG_INFO) ? failures_line(f, m) : TELL_NOT;
    char next[200];
    if (telling == TELL_NOT)
        return;
    bool all = telling == TELL_ALL;
    snprintf(next, sizeof next, "parked, %s %s every %.3g s",
             t->storm ? "trying one of those that wait" : "probing", t->storm ? "again" : t->name,
             (double)f->options.probe_ms / 1000);
    log_with(LOG_INFO, "parked", LF_TEXT("id", job->id),
             LF_TEXT("target", t->storm ? NULL : t->name), LF_TEXT("reason", job->reason),
             LF_TEXT("at", *job->at ? job->at : NULL), LF_INT("attempt", job->attempt),
             LF_BLOCK("source", all ? job->source : NULL),
             LF_BLOCK("detail", all ? job->detail : NULL), LF_BLOCK("next", all ? next : NULL));
}

void target_park_in(struct flow *f, struct message *m, const char *name)
{
    struct target *t = find(f, name);
    int64_t now = flow_now(f);
    if (m->parked_ms == 0)
        m->parked_ms = now;
    if (!t || may_expire(f, m, now)) {
        verdict_retry(f, m);
        return;
    }
    log_parked(f, m, t);
    park(t, m);
}

/* It did what its author wanted. */
static bool ended_well(const struct job *job)
{
    return job->outcome == OUTCOME_ACK || (job->outcome == OUTCOME_REJECT && !*job->kind);
}

bool target_storm_rises(struct flow *f, const char *name, const char *why)
{
    struct target *t = get(f, name);
    if (!t)
        return false;
    t->storm = true;
    t->tries = 0;
    go_down(t, why, false);
    return true;
}

void target_storm_failed(struct message *m)
{
    end_probe(m);
}

void target_probe_ended(struct message *m)
{
    struct target *t = m->probes;
    bool answered = !m->out && (t->storm ? ended_well(m->job) : m->job->probe_answered);
    end_probe(m);
    if (answered)
        go_up(t, true);
    else if (!t->storm)
        send_probe(t); /* it proved nothing: the next one */
}

/* ---- calls ------------------------------------------------------------------------------ */

struct target *target_called(struct flow *f, const char *name)
{
    struct target *t = find(f, name);
    return t || f->targets.by_name.count >= WATCHED_MAX ? t : get(f, name);
}

static void trips(struct target *t)
{
    struct flow *f = t->flow;
    if (t->coupled) {
        go_down(t, "its calls fail (breaker.couple)", false);
        return;
    }
    publish(t);
    log_with(LOG_WARN,
             "a target's calls fail, and handlers catch their errors: calls to it fail at once "
             "(breaker_open), but for one now and then; receiving goes on (breaker.couple)",
             LF_TEXT("target", t->name), LF_INT("failures", f->options.breaker_failures));
    probe_again(t);
}

/* Of one that is down the message that tries it decides: its answer may be a refusal. */
void target_call_ended(struct target *t, bool failed, int64_t started_ms)
{
    struct flow *f = t->flow;
    if (t->down || f->options.breaker_failures == 0 || !f->options.board)
        return;
    switch (breaker_result(&t->breaker, failed, started_ms, flow_now(f))) {
    case BREAKER_OPENS:
        trips(t);
        break;
    case BREAKER_CLOSES:
        flow_stop(f, &t->timer);
        publish(t);
        log_with(LOG_INFO, "a target answers again", LF_TEXT("target", t->name));
        break;
    case BREAKER_STAYS:
        break;
    }
}

/* ---- from elsewhere --------------------------------------------------------------------- */

void flow_target_down(struct flow *f, const char *name, const char *why)
{
    struct target *t = get(f, name);
    if (!t)
        return;
    go_down(t, why, true);
    t->external = true;
    publish(t);
    intake_kick(f);
}

void flow_target_up(struct flow *f, const char *name)
{
    struct target *t = find(f, name);
    if (t)
        go_up(t, false);
}

void target_unpark_all(struct flow *f, void (*put)(struct flow *, struct message *))
{
    for (size_t i = 0; i <= f->targets.by_name.mask; i++) {
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            struct target *t = table_entry(n, struct target, by_name);
            struct list *node;
            while ((node = list_first(&t->parked))) {
                struct message *m = list_entry(node, struct message, node);
                unpark(f, m);
                put(f, m);
            }
        }
    }
}

const struct target *target_longest_down(const struct flow *f)
{
    const struct target *found = NULL;
    for (size_t i = 0; i <= f->targets.by_name.mask; i++)
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            const struct target *t = table_entry(n, struct target, by_name);
            if (t->down && (!found || t->since_ms < found->since_ms))
                found = t;
        }
    return found;
}

int target_permits(const struct flow *f)
{
    int permits = INT_MAX;
    if (f->targets.down == 0)
        return permits;
    for (size_t i = 0; i <= f->targets.by_name.mask; i++)
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            struct target *t = table_entry(n, struct target, by_name);
            int trial = t->trial > 0 ? t->trial + f->keys.waiting + f->claims.waiting
                                     : 0; /* those cannot try it */
            if (t->down && trial < permits)
                permits = trial;
        }
    return permits;
}

void target_init(struct flow *f)
{
    f->targets.down = f->targets.parked = 0;
    list_init(&f->targets.all);
}

void target_free(struct flow *f)
{
    struct table_node *n;
    while ((n = table_any(&f->targets.by_name))) {
        struct target *t = table_entry(n, struct target, by_name);
        flow_stop(f, &t->timer);
        table_remove(&f->targets.by_name, n);
        free(t);
    }
    table_free(&f->targets.by_name);
}
