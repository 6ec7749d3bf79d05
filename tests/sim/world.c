/* Time and chance: one heap of events, one stream of random numbers per purpose, so that
 * switching a fault off leaves the others where they were. */
#include "world.h"

#include <stdlib.h>

struct world sim;
int64_t fault_hits[FAULT_COUNT];
int64_t checks[INV_COUNT];
int64_t corners[CORNER_COUNT];

const char *const fault_names[FAULT_COUNT] = {
#define X(name, least) #name,
    FAULTS(X)
#undef X
};

const char *const invariant_names[INV_COUNT] = {
#define X(name, least) #name,
    INVARIANTS(X)
#undef X
};

static bool before(const struct event *a, const struct event *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms;
    if (a->shuffle != b->shuffle)
        return a->shuffle < b->shuffle;
    return a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
    struct event t = *a;
    *a = *b;
    *b = t;
}

static void sift_up(size_t i)
{
    while (i > 0 && before(&sim.heap[i], &sim.heap[(i - 1) / 2])) {
        swap(&sim.heap[i], &sim.heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < sim.events; c++)
            if (before(&sim.heap[c], &sim.heap[least]))
                least = c;
        if (least == i)
            return;
        swap(&sim.heap[i], &sim.heap[least]);
        i = least;
    }
}

void later(int64_t delay_ms, struct host *host, void (*happen)(void *, uint64_t), void *arg,
           uint64_t number)
{
    if (sim.events == sim.room) {
        sim.room = sim.room ? sim.room * 2 : 1024;
        sim.heap = realloc(sim.heap, sim.room * sizeof *sim.heap);
        if (!sim.heap)
            abort();
    }
    sim.heap[sim.events] = (struct event){.at_ms = sim.now_ms + (delay_ms > 0 ? delay_ms : 0),
                                          .shuffle = rng_next(&sim.shuffle),
                                          .order = sim.order++,
                                          .happen = happen,
                                          .arg = arg,
                                          .number = number,
                                          .host = host,
                                          .life = host ? host->life : 0};
    sift_up(sim.events++);
}

static struct event take(void)
{
    struct event first = sim.heap[0];
    sim.heap[0] = sim.heap[--sim.events];
    sift_down(0);
    return first;
}

bool step(void)
{
    if (sim.events == 0)
        return false;
    struct event e = take();
    if (e.at_ms > sim.now_ms)
        sim.now_ms = e.at_ms;
    if (e.host && e.life != e.host->life)
        return true;
    if (e.host && e.host->ended && e.happen != host_leaves)
        return true; /* nobody listens any more: what it points at is freed with the host */
    if (e.host && host_asleep(e.host)) { /* happens when it wakes */
        later(e.host->asleep_until_ms - sim.now_ms, e.host, e.happen, e.arg, e.number);
        return true;
    }
    sim.steps++;
    e.happen(e.arg, e.number);
    return true;
}

int64_t between(struct rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(rng_next(r) % (uint64_t)(high - low + 1));
}

bool chance(struct rng *r, int per_mille)
{
    return (int)(rng_next(r) % 1000) < per_mille;
}

bool strikes(enum fault f, int per_mille)
{
    if (!sim.enabled[f] || sim.now_ms >= sim.faults_end_ms || !chance(&sim.fault, per_mille))
        return false;
    fault_hits[f]++;
    note(100 + f, (uint64_t)sim.now_ms);
    return true;
}

void note(uint64_t what, uint64_t which)
{
    sim.log_hash = (sim.log_hash ^ what) * 0x100000001b3u;
    sim.log_hash = (sim.log_hash ^ which ^ (uint64_t)sim.now_ms << 20) * 0x100000001b3u;
}
