#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int watched = WATCH_NONE;

void tell(const struct record *r, const char *format, ...)
{
    if (r->number != watched && watched != WATCH_ALL)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%8lld %s ", (long long)sim.now_ms, r->id);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void check(enum invariant i, bool good, const char *format, ...)
{
    checks[i]++;
    if (good)
        return;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "VIOLATED %s at %lld ms, seed %llu: %s\n  again: make sim SEED=%llu\n",
            invariant_names[i], (long long)sim.now_ms, (unsigned long long)sim.seed, text,
            (unsigned long long)sim.seed);
    exit(1);
}

static const int fault_least[FAULT_COUNT] = {
#define X(name, least) least,
    FAULTS(X)
#undef X
};

static const int invariant_least[INV_COUNT] = {
#define X(name, least) least,
    INVARIANTS(X)
#undef X
};

static const char *const corner_names[CORNER_COUNT] = {
#define X(name, least) #name,
    CORNERS(X)
#undef X
};

static const int corner_least[CORNER_COUNT] = {
#define X(name, least) least,
    CORNERS(X)
#undef X
};

/* How one kind of thing that can be exercised has fared. */
struct reach {
    const char *what;
    const char *const *names;
    const int64_t *counts;
    const int *least; /* in a thousand seeds */
    int count;
};

static const struct reach reaches[] = {
    {"fault", fault_names, fault_hits, fault_least, FAULT_COUNT},
    {"check", invariant_names, checks, invariant_least, INV_COUNT},
    {"corner", corner_names, corners, corner_least, CORNER_COUNT},
};

void check_report(void)
{
    for (size_t k = 0; k < sizeof reaches / sizeof *reaches; k++)
        for (int i = 0; i < reaches[k].count; i++)
            printf("  %-6s %-26s %12lld\n", reaches[k].what, reaches[k].names[i],
                   (long long)reaches[k].counts[i]);
}

/* A run that did not exercise a fault, a check or a corner has shown nothing about it. Of few seeds
 * nothing is wanted: what is rare comes in bunches. */
int check_reach(uint64_t seeds)
{
    int missed = 0;
    if (seeds < 1000)
        return 0;
    for (size_t k = 0; k < sizeof reaches / sizeof *reaches; k++)
        for (int i = 0; i < reaches[k].count; i++) {
            int64_t least = reaches[k].least[i] * (int64_t)seeds / 1000;
            if (reaches[k].counts[i] >= least)
                continue;
            fprintf(stderr, "too rare to prove anything: %s %s %lld times, at least %lld wanted\n",
                    reaches[k].what, reaches[k].names[i], (long long)reaches[k].counts[i],
                    (long long)least);
            missed = 1;
        }
    return missed;
}
