/* LD_PRELOAD: a process whose wall clock is off by SKEW_S seconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*next)(clockid_t, struct timespec *);
    static long skew_s;
    if (!next) {
        const char *text = getenv("SKEW_S");
        skew_s = text ? atol(text) : 0;
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int rc = next(id, t);
    if (rc == 0 && id == CLOCK_REALTIME)
        t->tv_sec += skew_s;
    return rc;
}
