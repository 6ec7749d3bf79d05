#include "policy/limit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double START = 2, CALM = 1.3, SLOW = 2.0, SHARE_BAD = 0.05;
static const double EWMA = 0.3, EWMA_PROBE = 0.5;
static const double EWMA_RECHECK = 0.8;
static const double HELPED = 0.85; /* lowering by 0.7 should do as much to the slowdown */
static const double FASTER = 0.6;  /* so much below its base: the server has changed */

enum {
    WINDOW_MS = 1000,
    WINDOW_QUICK_MS = 200, /* in slow start, with so many results: a short drain is over soon */
    RESULTS_QUICK = 100,
    WINDOW_MAX_MS = 10000,
    RESULTS_MIN = 4,
    RESULTS_ENOUGH = 20,
    REFUSALS_ENOUGH = 10,
    CEILING_HOLD_MS = 60000,
    CEILING_HOLD_MAX_MS = 600000,
    CEILING_STEP_MS = 10000,
    PROBE_FIRST_MS = 30000,
    PROBE_MAX_MS = 300000,
};

static void open_window(struct limit *l, int64_t now_ms)
{
    memset(&l->window, 0, sizeof l->window);
    l->window.since_ms = now_ms;
    for (int i = 0; i < LIMIT_CLASSES; i++) {
        l->classes[i].sum_us = l->classes[i].squares = 0;
        l->classes[i].count = 0;
    }
}

static int64_t jittered(struct limit *l, int64_t ms)
{
    return ms + (int64_t)(rng_next(&l->rng) % (uint64_t)(ms / 10));
}

void limit_init(struct limit *l, const struct limit_options *options, int64_t now_ms)
{
    memset(l, 0, sizeof *l);
    l->options = *options;
    rng_seed(&l->rng, options->seed);
    l->slowdown = 1;
    l->ceiling_hold_ms = CEILING_HOLD_MS;
    l->probe_every_ms = PROBE_FIRST_MS;
    l->probe_after_ms = jittered(l, PROBE_FIRST_MS);
    limit_restart(l, now_ms);
    limit_set(l, options->max, options->fixed);
}

void limit_set(struct limit *l, int max, int fixed)
{
    l->options.max = max > 0 && max < LIMIT_MOST ? max : LIMIT_MOST;
    l->options.fixed = fixed;
    l->reason = fixed > 0 ? LIMIT_FIXED : l->reason == LIMIT_FIXED ? LIMIT_HOLDING : l->reason;
}

void limit_restart(struct limit *l, int64_t now_ms)
{
    l->value = START;
    l->slow_start = true;
    l->probing = l->recheck = false;
    l->slow_windows = 0;
    l->reason = l->options.fixed > 0 ? LIMIT_FIXED : LIMIT_STARTING;
    open_window(l, now_ms);
}

void limit_disturbed(struct limit *l, int64_t now_ms)
{
    l->value = fmax(1, l->value / 2);
    l->probing = l->recheck = false;
    open_window(l, now_ms);
}

static double probe_value(const struct limit *l)
{
    return ceil(l->value / 4);
}

static int most_now(const struct limit *l)
{
    double v = floor(l->probing ? probe_value(l) : l->value);
    if (l->ceiling > 0 && v > l->ceiling)
        v = l->ceiling;
    if (v > l->options.max)
        v = l->options.max;
    return v < 1 ? 1 : (int)v;
}

int limit_permits(const struct limit *l, int64_t now_ms)
{
    if (now_ms < l->blocked_until_ms)
        return 0;
    return l->options.fixed > 0 ? l->options.fixed : most_now(l);
}

/* ---- what a window says ---- */

static struct limit_class *class_of(struct limit *l, const char *name)
{
    if (!*name)
        name = "other";
    for (int i = 0; i < LIMIT_CLASSES - 1; i++) {
        struct limit_class *c = &l->classes[i];
        if (!*c->name)
            snprintf(c->name, sizeof c->name, "%s", name);
        if (strncmp(c->name, name, sizeof c->name - 1) == 0)
            return c;
    }
    return &l->classes[LIMIT_CLASSES - 1];
}

/* Durations over what they are unloaded; 1 while nothing is known. */
static double slowdown(const struct limit *l)
{
    double took = 0, unloaded = 0;
    for (int i = 0; i < LIMIT_CLASSES; i++) {
        const struct limit_class *c = &l->classes[i];
        if (c->base_us <= 0 || c->count == 0)
            continue;
        took += c->sum_us;
        unloaded += c->base_us * c->count;
    }
    return unloaded > 0 ? took / unloaded : 1;
}

/* By how much the mean of what was seen may be off. */
static double error_us(const struct limit_class *c)
{
    double mean = c->sum_us / c->count, spread = c->squares / c->count - mean * mean;
    return c->count > 1 && spread > 0 ? sqrt(spread / c->count) : mean;
}

/* Few results say little: they move the base in proportion, and the first ones are averaged. Loaded
 * (`up` false) it falls only as far as the window leaves no doubt: the least of many noisy means
 * is a base that no load can reach. */
static void learn(struct limit *l, double weight, bool up)
{
    for (int i = 0; i < LIMIT_CLASSES; i++) {
        struct limit_class *c = &l->classes[i];
        if (c->count == 0)
            continue;
        double mean = c->sum_us / c->count, share = weight * fmin(1, c->count / 10.0);
        if (!up && c->base_us > 0)
            mean = fmin(mean + error_us(c), c->base_us);
        if (c->known < RESULTS_ENOUGH) {
            share = fmax(share, (double)c->count / (double)(c->known + c->count));
            c->known += c->count;
        }
        c->base_us += share * (mean - c->base_us);
    }
}

/* ---- what follows ---- */

static void hit_ceiling(struct limit *l, int64_t now_ms)
{
    int were = most_now(l);
    l->ceiling = were > 1 ? were - 1 : 1;
    l->ceiling_raise_ms = now_ms + l->ceiling_hold_ms;
    l->ceiling_raised = 0;
    if (l->ceiling_hold_ms < CEILING_HOLD_MAX_MS)
        l->ceiling_hold_ms *= 2;
    if (l->ceiling_hold_ms > CEILING_HOLD_MAX_MS)
        l->ceiling_hold_ms = CEILING_HOLD_MAX_MS;
}

static void raise_ceiling(struct limit *l, int64_t now_ms)
{
    while (l->ceiling > 0 && now_ms >= l->ceiling_raise_ms) {
        l->ceiling_raise_ms += CEILING_STEP_MS;
        l->ceiling_raised++;
        if (++l->ceiling <= l->options.max && l->ceiling_raised <= l->ceiling / 2)
            continue;
        l->ceiling = 0; /* twice what it was: the server has changed */
        l->ceiling_hold_ms = CEILING_HOLD_MS;
    }
}

static void lower(struct limit *l, double factor, enum limit_reason reason)
{
    l->value = fmax(1, l->value * factor);
    l->slow_start = false;
    l->step = 1;
    l->reason = reason;
}

static void begin_probe(struct limit *l, int64_t now_ms)
{
    l->probing = true;
    l->probe_since_ms = now_ms;
}

/* Alone with it and still slow: that is how fast it is now. */
static void accept_slowness(struct limit *l)
{
    for (int i = 0; i < LIMIT_CLASSES; i++)
        if (l->classes[i].count > 0)
            l->classes[i].base_us = l->classes[i].sum_us / l->classes[i].count;
    l->slow_windows = 0;
    l->slow_start = true;
}

static void lower_for_slowness(struct limit *l, int64_t now_ms)
{
    bool alone = l->value < 2;
    bool helped = l->slowdown < HELPED * l->slow_before;
    if (l->slow_windows++ == 0)
        l->slow_from = l->value;
    l->slow_before = l->slowdown;
    lower(l, fmax(0.7, 1.6 / l->slowdown), LIMIT_SLOW);
    if (l->slow_windows < 2)
        return;
    if (alone) {
        accept_slowness(l);
    } else if (!helped) { /* perhaps it is not the load */
        l->recheck = true;
        begin_probe(l, now_ms);
    }
}

static void grow(struct limit *l)
{
    double most = l->options.max;
    if (l->ceiling > 0 && l->ceiling < most)
        most = l->ceiling;
    if (l->slow_start) {
        l->value *= 2;
    } else {
        l->value += l->step;
        l->step = fmax(1, fmin(l->step * 2, l->value / 4));
    }
    l->reason = l->value > most ? LIMIT_HOLDING : LIMIT_GROWING;
    l->value = fmin(l->value, most);
}

static void hold(struct limit *l)
{
    l->step = 1;
    if (l->slowdown > CALM)
        l->slow_start = false;
    if (l->reason != LIMIT_STARTING)
        l->reason = LIMIT_HOLDING;
}

static void decide(struct limit *l, int64_t now_ms)
{
    double results = l->window.results;
    bool slow = l->slowdown > SLOW;
    if (!slow)
        l->slow_windows = 0;
    if (l->window.refused > SHARE_BAD * results) {
        hit_ceiling(l, now_ms);
        l->lowered_ms = now_ms;
        lower(l, 0.7, LIMIT_REFUSALS);
    } else if (l->window.timeouts > SHARE_BAD * results) {
        lower(l, 0.5, LIMIT_TIMEOUTS);
    } else if (slow) {
        lower_for_slowness(l, now_ms);
    } else if (l->slowdown <= CALM && l->window.full) {
        grow(l);
    } else {
        hold(l);
    }
}

static void schedule_probe(struct limit *l)
{
    l->saturated_ms = 0;
    l->probe_every_ms = l->probe_every_ms * 2 < PROBE_MAX_MS ? l->probe_every_ms * 2 : PROBE_MAX_MS;
    l->probe_after_ms = jittered(l, l->probe_every_ms);
}

/* Slow also with a quarter of the load: then the load was not to blame. */
static void end_recheck(struct limit *l)
{
    if (l->slowdown > CALM)
        l->value = l->slow_from;
    l->slow_windows = 0;
}

static void note_faster(struct limit *l)
{
    if (l->slowdown >= FASTER)
        return;
    l->probe_every_ms = PROBE_FIRST_MS;
    if (l->probe_after_ms > PROBE_FIRST_MS)
        l->probe_after_ms = jittered(l, PROBE_FIRST_MS);
}

static void close_window(struct limit *l, int64_t now_ms)
{
    if (l->window.answered > 0)
        l->slowdown = slowdown(l);
    note_faster(l);
    if (l->probing) {
        learn(l, l->recheck ? EWMA_RECHECK : EWMA_PROBE, true);
        if (l->recheck)
            end_recheck(l);
        l->probing = l->recheck = false;
    } else {
        bool unloaded = l->window.most <= fmax(1, l->value / 2);
        if (l->window.full)
            l->saturated_ms += now_ms - l->window.since_ms;
        decide(l, now_ms);
        learn(l, EWMA, unloaded);
        if (l->saturated_ms >= l->probe_after_ms && l->value >= 2) {
            schedule_probe(l);
            begin_probe(l, now_ms);
        }
    }
    open_window(l, now_ms);
}

static void close_if_due(struct limit *l, int64_t now_ms)
{
    int64_t age_ms = now_ms - l->window.since_ms;
    double mean_ms = l->window.answered > 0 ? l->window.sum_us / 1000 / l->window.answered : 0;
    double need =
        l->probing ? RESULTS_ENOUGH : fmin(fmax(4 * most_now(l), RESULTS_MIN), RESULTS_ENOUGH);
    bool quick = l->slow_start && !l->probing && l->window.results >= RESULTS_QUICK;
    bool refused =
        l->window.refused >= REFUSALS_ENOUGH && l->window.refused > SHARE_BAD * l->window.results;
    if (refused) /* at once: each of them costs somebody a try */
        close_window(l, now_ms);
    else if (age_ms >= fmax(quick ? WINDOW_QUICK_MS : WINDOW_MS, 2 * mean_ms) &&
             l->window.results >= need)
        close_window(l, now_ms);
    else if (age_ms >= WINDOW_MAX_MS && l->window.results >= RESULTS_MIN)
        close_window(l, now_ms);
    else if (age_ms >= WINDOW_MAX_MS && !l->probing)
        open_window(l, now_ms);
    else if (age_ms >= 6 * WINDOW_MAX_MS) { /* a probe that gets no answers */
        l->probing = l->recheck = false;
        open_window(l, now_ms);
    }
}

/* ---- what comes in ---- */

static void block(struct limit *l, int64_t retry_after_ms, int64_t now_ms)
{
    if (retry_after_ms <= 0)
        return;
    if (retry_after_ms > LIMIT_RETRY_AFTER_MAX_MS)
        retry_after_ms = LIMIT_RETRY_AFTER_MAX_MS;
    if (now_ms + retry_after_ms > l->blocked_until_ms)
        l->blocked_until_ms = now_ms + retry_after_ms;
}

void limit_result(struct limit *l, const struct limit_result *r, int64_t now_ms)
{
    if (r->outcome == LIMIT_REFUSED)
        block(l, r->retry_after_ms, now_ms);
    if (l->options.fixed > 0 || (l->probing && r->started_ms <= l->probe_since_ms))
        return;
    if (r->outcome == LIMIT_REFUSED && r->started_ms <= l->lowered_ms)
        return; /* of the requests that were too many; told already */
    l->window.results++;
    switch (r->outcome) {
    case LIMIT_ANSWERED: {
        struct limit_class *c = class_of(l, r->class);
        double rtt_us = r->rtt_us > 0 ? (double)r->rtt_us : 1;
        c->sum_us += rtt_us;
        c->squares += rtt_us * rtt_us;
        c->count++;
        l->window.sum_us += rtt_us;
        l->window.answered++;
        break;
    }
    case LIMIT_REFUSED:
        l->window.refused++;
        break;
    case LIMIT_TIMEOUT:
        l->window.timeouts++;
        break;
    case LIMIT_FAILED:
        break;
    }
    close_if_due(l, now_ms);
}

void limit_in_flight(struct limit *l, double requests, bool full)
{
    int n = (int)ceil(requests);
    if (n > l->window.most)
        l->window.most = n;
    l->window.full |= full;
}

void limit_tick(struct limit *l, int64_t now_ms)
{
    raise_ceiling(l, now_ms);
    close_if_due(l, now_ms);
}

const char *limit_why(const struct limit *l)
{
    if (l->probing && l->options.fixed == 0)
        return "lowered for a moment, to see how fast it is unloaded";
    switch (l->reason) {
    case LIMIT_STARTING:
        return "starting low";
    case LIMIT_GROWING:
        return "growing: it answers about as fast as unloaded";
    case LIMIT_HOLDING:
        return "holding";
    case LIMIT_SLOW:
        return "lowered: it answers twice as slowly as unloaded, or worse";
    case LIMIT_TIMEOUTS:
        return "lowered: it did not answer in time";
    case LIMIT_REFUSALS:
        return "lowered: it answered 429, or 503 with Retry-After";
    case LIMIT_FIXED:
        break;
    }
    return "fixed by the configuration";
}
