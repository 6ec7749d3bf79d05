#include "policy/scale.h"

#include <math.h>
#include <string.h>

static const double SMOOTH_S = 30, DEAD_BAND = 0.1, CPU_HIGH = 0.8;

enum {
    REMEMBER_MS = 60000,
    BUCKET_MS = REMEMBER_MS / SCALE_WISHES,
    DEPTH_MAX = 1000000000, /* SQS holds fewer; an attribute that says more is nonsense */
};

void scale_init(struct scale *s, const struct scale_options *options, int workers)
{
    memset(s, 0, sizeof *s);
    s->options = *options;
    s->workers = workers;
    s->last_ms = INT64_MIN;
    s->last_depth = SCALE_UNKNOWN;
}

void scale_set(struct scale *s, int min, int max)
{
    s->options.min = min;
    s->options.max = max > min ? max : min;
}

static int within(const struct scale *s, double workers)
{
    if (!(workers > s->options.min))
        return s->options.min;
    return workers < s->options.max ? (int)workers : s->options.max;
}

static void learn_arrivals(struct scale *s, const struct scale_sample *x, int64_t depth,
                           double passed_s)
{
    double arrived = (double)x->completed;
    if (depth >= 0 && s->last_depth >= 0)
        arrived += (double)(depth - s->last_depth);
    double share = 1 - exp(-passed_s / SMOOTH_S), now = fmax(0, arrived / passed_s);
    s->arrivals_per_s += share * (now - s->arrivals_per_s);
}

/* Messages that should be in progress at once. */
static double concurrency(const struct scale *s, const struct scale_sample *x, int64_t depth)
{
    if (x->unloaded_s <= 0) /* nothing has ended yet: as now */
        return (double)s->workers * s->options.slots;
    double steady = s->arrivals_per_s * x->unloaded_s;
    if (depth >= 0)
        return steady + (double)depth * x->unloaded_s / s->options.drain_target_s;
    bool more = x->receives_full && x->slots_full;
    return more ? fmax(steady, 2.0 * s->workers * s->options.slots) : steady;
}

static int wish(const struct scale *s, const struct scale_sample *x, int64_t depth)
{
    double slots = s->options.slots;
    double exact = fmin(concurrency(s, x, depth), x->permits) / slots;
    if (fabs(exact - s->workers) <= DEAD_BAND * s->workers)
        exact = s->workers;
    int workers = within(s, ceil(exact - 1e-9));
    /* A thread whose CPU is used up cannot fill its slots; another one can. */
    bool busy = x->worker_cpu >= CPU_HIGH && (depth > 0 || x->receives_full);
    if (busy && workers <= s->workers)
        workers = within(s, s->workers + 1);
    if (workers > s->workers && !x->slots_full && !busy)
        workers = s->workers; /* those that are there are not used up */
    return workers;
}

/* The highest wish of the last minute, this one included. */
static int remember(struct scale *s, int workers, int64_t now_ms)
{
    int64_t index = now_ms / BUCKET_MS;
    int at = (int)((uint64_t)index % SCALE_WISHES), most = workers;
    if (s->wishes[at].index != index || s->wishes[at].workers < workers)
        s->wishes[at].workers = workers;
    s->wishes[at].index = index;
    for (int i = 0; i < SCALE_WISHES; i++) {
        int64_t age = index - s->wishes[i].index;
        if (age >= 0 && age < SCALE_WISHES && s->wishes[i].workers > most)
            most = s->wishes[i].workers;
    }
    return most;
}

int scale_next(struct scale *s, const struct scale_sample *x)
{
    int64_t depth = x->depth < 0 || x->depth > DEPTH_MAX ? SCALE_UNKNOWN : x->depth;
    bool first = s->last_ms == INT64_MIN || x->now_ms <= s->last_ms;
    if (!first && !x->frozen)
        learn_arrivals(s, x, depth, (double)(x->now_ms - s->last_ms) / 1000);
    s->last_ms = x->now_ms;
    s->last_depth = x->frozen ? SCALE_UNKNOWN : depth;
    if (x->frozen) {
        s->workers = within(s, s->workers);
        return s->workers;
    }
    int wanted = wish(s, x, depth), highest = remember(s, wanted, x->now_ms);
    if (wanted > s->workers)
        s->workers = wanted < 2 * s->workers ? wanted : 2 * s->workers;
    else if (highest < s->workers)
        s->workers--;
    s->workers = within(s, s->workers);
    return s->workers;
}
