#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int watched = -1;

void tell(const struct record *r, const char *format, ...)
{
    if (r->number != watched)
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
