/* sim [--from SEED] [--seeds N]: runs seeds until one violates a promise.
 * sim --seed SEED [--watch M]: one seed, with the program's log and the life of message M. */
#include "base/log.h"
#include "base/table.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_BOUND_MS = 900000 };

static uint64_t stream(uint64_t seed, const char *name)
{
    uint64_t h = seed * 0x9e3779b97f4a7c15u + 0x7f4a7c15u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static void target_changes(void *arg, uint64_t down)
{
    (void)arg;
    if (sim.now_ms >= sim.faults_end_ms) {
        sim.target_down = false;
        return;
    }
    sim.target_down = down;
    later(down ? between(&sim.fault, 1000, 40000) : between(&sim.fault, 5000, 60000), NULL,
          target_changes, NULL, !down);
}

static void queue_goes(void *arg, uint64_t away)
{
    (void)arg;
    if (sim.now_ms >= sim.faults_end_ms) {
        sim.queue_away = false;
        return;
    }
    sim.queue_away = away;
    fault_hits[FAULT_queue_away] += (int64_t)away;
    later(away ? between(&sim.fault, 1000, 40000) : between(&sim.fault, 5000, 60000), NULL,
          queue_goes, NULL, !away);
}

static void begin(uint64_t seed)
{
    sim = (struct world){.seed = seed, .now_ms = 1};
    struct rng setup;
    rng_seed(&setup, stream(seed, "setup"));
    rng_seed(&sim.shuffle, stream(seed, "shuffle"));
    rng_seed(&sim.load, stream(seed, "load"));
    rng_seed(&sim.fault, stream(seed, "fault"));
    rng_seed(&sim.handler, stream(seed, "handler"));
    rng_seed(&sim.host_random, stream(seed, "host"));
    for (int i = 0; i < FAULT_COUNT; i++)
        sim.enabled[i] = chance(&setup, 400);
    sim.visibility_s = (int)between(&setup, 6, 40);
    sim.retry_cap_s = (double)between(&setup, 3, sim.visibility_s - 2);
    sim.faults_end_ms = between(&setup, 20000, 120000);
    sim.host_count = (int)between(&setup, 1, HOSTS_MAX);
    queue_fill((int)between(&setup, 20, 400));
    for (int i = 0; i < sim.host_count; i++) {
        sim.hosts[i].index = i;
        host_start(&sim.hosts[i]);
        later(between(&sim.fault, 500, 5000), NULL, host_trouble, &sim.hosts[i], 0);
    }
    if (sim.enabled[FAULT_target_down])
        later(between(&setup, 1000, 20000), NULL, target_changes, NULL, 1);
    if (sim.enabled[FAULT_queue_away])
        later(between(&setup, 1000, 20000), NULL, queue_goes, NULL, 1);
}

static void end(void)
{
    for (int i = 0; i < sim.host_count; i++)
        host_free(&sim.hosts[i]);
    check(INV_clean, sim.jobs_made == sim.jobs_freed,
          "%" PRId64 " jobs were made, %" PRId64 " freed", sim.jobs_made, sim.jobs_freed);
    queue_forget_events(); /* the rest of the heap belongs to hosts that are gone */
    free(sim.heap);
    free(sim.records);
}

static uint64_t run(uint64_t seed)
{
    begin(seed);
    int64_t bound_ms = sim.faults_end_ms + SETTLE_BOUND_MS;
    while (sim.deleted < sim.count && sim.now_ms < bound_ms && step())
        ;
    int left = -1;
    for (int i = 0; i < sim.count && left < 0; i++)
        if (!sim.records[i].deleted)
            left = i;
    check(INV_settled, sim.deleted == sim.count,
          "%d of %d messages are left %d s after the last fault, m%d among them",
          sim.count - sim.deleted, sim.count, SETTLE_BOUND_MS / 1000, left);
    uint64_t hash = sim.log_hash;
    end();
    return hash;
}

static void report(uint64_t first, uint64_t seeds, int64_t lives, int64_t steps)
{
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRId64 " message lives, %" PRId64 " events\n",
           seeds, first, lives, steps);
    for (int i = 0; i < FAULT_COUNT; i++)
        printf("  fault %-16s %12" PRId64 "\n", fault_names[i], fault_hits[i]);
    for (int i = 0; i < INV_COUNT; i++)
        printf("  check %-16s %12" PRId64 "\n", invariant_names[i], checks[i]);
}

/* A run that never exercised a fault or a check has shown nothing about it. */
static int reach(void)
{
    int bad = 0;
    for (int i = 0; i < FAULT_COUNT; i++)
        if (fault_hits[i] == 0)
            bad = fprintf(stderr, "fault %s never struck\n", fault_names[i]);
    for (int i = 0; i < INV_COUNT; i++)
        if (checks[i] == 0)
            bad = fprintf(stderr, "invariant %s was never checked\n", invariant_names[i]);
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 200;
    bool one = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--from") == 0)
            first = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            first = strtoull(argv[i + 1], NULL, 10), seeds = 1, one = true;
        else if (strcmp(argv[i], "--watch") == 0)
            watched = atoi(argv[i + 1]);
        else
            return fprintf(stderr, "sim [--from SEED] [--seeds N] [--seed SEED [--watch M]]\n"), 2;
    }
    hash_seed(1);
    log_setup(LOG_JSON, one ? LOG_DEBUG : LOG_ERROR);
    int64_t lives = 0, steps = 0;
    for (uint64_t i = 0; i < seeds; i++) {
        uint64_t hash = run(first + i);
        lives += sim.count;
        steps += sim.steps;
        if (i % 100 == 0 && run(first + i) != hash)
            return fprintf(stderr, "seed %" PRIu64 " does not replay\n", first + i), 1;
    }
    report(first, seeds, lives, steps);
    return one ? 0 : reach();
}
