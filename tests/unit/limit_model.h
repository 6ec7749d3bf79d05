/* A server of known capacity and hosts that keep it as busy as their limits allow, as a
 * discrete-event model in virtual microseconds. Service times are exponential; everything comes
 * from one seed. */
#ifndef LIMIT_MODEL_H
#define LIMIT_MODEL_H

#include "base/rand.h"
#include "policy/limit.h"

#include <math.h>
#include <string.h>

enum { MODEL_HOSTS = 3, MODEL_SLOTS = 40, MODEL_CALLS = MODEL_HOSTS * MODEL_SLOTS };
#define MODEL_S 1000000LL
#define MODEL_REFUSAL_US 10000
#define MODEL_NEVER INT64_MAX

enum call_state { CALL_FREE, CALL_QUEUED, CALL_SERVED, CALL_LOST };

struct model_call {
    enum call_state state;
    int host;
    int class;
    int64_t started_us;
    int64_t arrival; /* order of arrival */
    int64_t service_us;
    int64_t ends_us;
    bool refused;
};

struct model {
    struct rng rng;
    struct limit limits[MODEL_HOSTS];
    int hosts;
    int in_flight[MODEL_HOSTS];
    struct model_call calls[MODEL_CALLS];
    int64_t now_us, next_tick_us, arrivals, next_arrival_us;
    double waiting; /* messages that have arrived; INFINITY: endless backlog */

    /* The server. */
    int servers;
    double service_s[2]; /* of each class */
    double second_class; /* share of its calls */
    bool one_name;       /* the limiter is not told the classes */
    double speed;
    int collapse_at;  /* 0: never */
    int refuse_above; /* 0: never */
    bool black_hole;
    double timeout_s;
    double arrivals_per_s; /* with waiting != INFINITY */

    /* Since model_mark. */
    struct {
        int64_t since_us;
        double work_s;  /* unloaded seconds of what was answered */
        double could_s; /* server seconds that passed, times speed */
        double rtt_s;   /* of what was answered */
        double alone_s; /* the same, unloaded at the speed of the moment */
        double limit_s; /* integral of host 0's limit */
        int64_t answered, refused, by_host[MODEL_HOSTS];
        int highest; /* limit of host 0 */
    } seen;
};

static void model_mark(struct model *m)
{
    memset(&m->seen, 0, sizeof m->seen);
    m->seen.since_us = m->now_us;
}

static double model_utilisation(const struct model *m)
{
    return m->seen.work_s / m->seen.could_s;
}

static double model_slowdown(const struct model *m)
{
    return m->seen.rtt_s / m->seen.alone_s;
}

static double model_mean_limit(const struct model *m)
{
    return m->seen.limit_s * 1e6 / (double)(m->now_us - m->seen.since_us);
}

static void model_init(struct model *m, uint64_t seed, int hosts, int max)
{
    memset(m, 0, sizeof *m);
    rng_seed(&m->rng, seed);
    m->hosts = hosts;
    m->servers = 8;
    m->service_s[0] = m->service_s[1] = 0.1;
    m->speed = 1;
    m->timeout_s = 10;
    m->waiting = INFINITY;
    m->next_arrival_us = MODEL_NEVER;
    for (int i = 0; i < hosts; i++) {
        struct limit_options o = {.max = max, .seed = seed * 10 + (uint64_t)i};
        limit_init(&m->limits[i], &o, 0);
    }
}

static double model_unit(struct model *m)
{
    return (double)((rng_next(&m->rng) >> 11) + 1) * 0x1p-53; /* 0 < unit <= 1 */
}

static double model_exponential(struct model *m, double mean)
{
    return -log(model_unit(m)) * mean;
}

static int model_in_system(const struct model *m)
{
    int n = 0;
    for (int i = 0; i < m->hosts * MODEL_SLOTS; i++)
        n += (m->calls[i].state == CALL_QUEUED || m->calls[i].state == CALL_SERVED) &&
             !m->calls[i].refused;
    return n;
}

/* What waited longest goes to a server that is free. */
static void model_serve(struct model *m)
{
    for (;;) {
        struct model_call *first = NULL;
        int busy = 0;
        for (int i = 0; i < m->hosts * MODEL_SLOTS; i++) {
            struct model_call *c = &m->calls[i];
            busy += c->state == CALL_SERVED && !c->refused;
            if (c->state == CALL_QUEUED && (!first || c->arrival < first->arrival))
                first = c;
        }
        if (!first || busy >= m->servers)
            return;
        double took = (double)first->service_us / m->speed;
        int n = model_in_system(m);
        if (m->collapse_at > 0 && n > m->collapse_at)
            took *= pow((double)n / m->collapse_at, 1.5);
        first->state = CALL_SERVED;
        first->ends_us = m->now_us + (int64_t)took + 1;
    }
}

static void model_start(struct model *m, int host)
{
    struct model_call *c = m->calls;
    while (c->state != CALL_FREE)
        c++;
    int before = model_in_system(m);
    *c = (struct model_call){.host = host, .started_us = m->now_us, .arrival = m->arrivals++};
    c->class = model_unit(m) < m->second_class;
    c->service_us = (int64_t)(model_exponential(m, m->service_s[c->class]) * 1e6);
    m->in_flight[host]++;
    m->waiting--;
    if (m->black_hole) {
        c->state = CALL_LOST;
        c->ends_us = m->now_us + (int64_t)(m->timeout_s * 1e6);
    } else if (m->refuse_above > 0 && before >= m->refuse_above) {
        c->state = CALL_SERVED;
        c->refused = true;
        c->ends_us = m->now_us + MODEL_REFUSAL_US;
    } else {
        c->state = CALL_QUEUED;
    }
    model_serve(m);
}

static void model_fill(struct model *m)
{
    bool any = true;
    while (any && m->waiting >= 1) { /* hosts take turns */
        any = false;
        for (int h = 0; h < m->hosts && m->waiting >= 1; h++) {
            int permits = limit_permits(&m->limits[h], m->now_us / 1000);
            bool may = m->in_flight[h] < permits && m->in_flight[h] < MODEL_SLOTS;
            if (may)
                model_start(m, h);
            limit_in_flight(&m->limits[h], m->in_flight[h], m->in_flight[h] >= permits);
            any |= may;
        }
    }
}

static void model_end(struct model *m, struct model_call *c)
{
    static const char *const names[] = {"light", "heavy"};
    struct limit_result r = {.class = names[m->one_name ? 0 : c->class],
                             .outcome = c->state == CALL_LOST ? LIMIT_TIMEOUT
                                        : c->refused          ? LIMIT_REFUSED
                                                              : LIMIT_ANSWERED,
                             .rtt_us = m->now_us - c->started_us,
                             .started_ms = c->started_us / 1000,
                             .retry_after_ms = -1};
    m->seen.refused += c->refused;
    if (r.outcome == LIMIT_ANSWERED) {
        m->seen.answered++;
        m->seen.by_host[c->host]++;
        m->seen.work_s += (double)c->service_us / 1e6;
        m->seen.rtt_s += (double)r.rtt_us / 1e6;
        m->seen.alone_s += m->service_s[c->class] / m->speed;
    } else {
        m->waiting++; /* tried again at once */
    }
    m->in_flight[c->host]--;
    c->state = CALL_FREE;
    limit_result(&m->limits[c->host], &r, m->now_us / 1000);
}

static int64_t model_next(const struct model *m)
{
    int64_t next = m->next_tick_us < m->next_arrival_us ? m->next_tick_us : m->next_arrival_us;
    for (int i = 0; i < m->hosts * MODEL_SLOTS; i++) {
        const struct model_call *c = &m->calls[i];
        if ((c->state == CALL_SERVED || c->state == CALL_LOST) && c->ends_us < next)
            next = c->ends_us;
    }
    return next;
}

static void model_pass(struct model *m, int64_t to_us)
{
    double s = (double)(to_us - m->now_us) / 1e6;
    int limit = limit_permits(&m->limits[0], m->now_us / 1000);
    m->seen.could_s += s * m->servers * m->speed;
    m->seen.limit_s += s * limit;
    if (limit > m->seen.highest)
        m->seen.highest = limit;
    m->now_us = to_us;
}

/* Goes on for so many seconds. */
static void model_run(struct model *m, double seconds)
{
    int64_t until = m->now_us + (int64_t)(seconds * 1e6);
    model_fill(m);
    for (int64_t next; (next = model_next(m)) <= until;) {
        model_pass(m, next);
        if (m->now_us == m->next_tick_us) {
            m->next_tick_us += MODEL_S;
            for (int h = 0; h < m->hosts; h++)
                limit_tick(&m->limits[h], m->now_us / 1000);
        }
        if (m->now_us == m->next_arrival_us) {
            m->waiting++;
            m->next_arrival_us += (int64_t)(model_exponential(m, 1 / m->arrivals_per_s) * 1e6) + 1;
        }
        for (int i = 0; i < m->hosts * MODEL_SLOTS; i++) {
            struct model_call *c = &m->calls[i];
            if ((c->state == CALL_SERVED || c->state == CALL_LOST) && c->ends_us <= m->now_us)
                model_end(m, c);
        }
        model_serve(m);
        model_fill(m);
    }
    model_pass(m, until);
}

static void model_arrivals(struct model *m, double per_s)
{
    m->arrivals_per_s = per_s;
    m->waiting = 0;
    m->next_arrival_us = m->now_us + 1;
}

static void model_backlog(struct model *m)
{
    m->waiting = INFINITY;
    m->next_arrival_us = MODEL_NEVER;
}

#endif
