/* How many requests a server may have from us at once, found by watching it: one `struct limit` a
 * target. Pure; time is an argument (CLOCK_BOOTTIME, milliseconds).
 *
 * A consumer can lower its own concurrency at no cost, since the queue keeps the rest. So the
 * unloaded duration of a call (the base) is measured on purpose: at the start, whenever little is
 * in flight, and by a probe at a quarter of the limit now and then. The limit goes by the
 * slowdown, the durations of a window over what the same calls take unloaded. Calls differ
 * tenfold (a create with and without a password), so the base is kept for each class of call: a
 * change of the mix is no slowdown. A running average instead of a base would follow the load up
 * to any number. */
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include "base/rand.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LIMIT_CLASSES = 17, /* the last one is for all that came after 16 */
    LIMIT_CLASS_BYTES = 48,
    LIMIT_MOST = 1000,
    LIMIT_RETRY_AFTER_MAX_MS = 300000, /* a server that asks for more is asked again after this */
};

enum limit_outcome {
    LIMIT_ANSWERED, /* its duration counts */
    LIMIT_REFUSED,  /* 429, or 503 with Retry-After */
    LIMIT_TIMEOUT,
    LIMIT_FAILED, /* no connection, cut, 5xx: the breaker's; its duration says nothing */
};

struct limit_result {
    const char *class; /* name of the call */
    enum limit_outcome outcome;
    int64_t rtt_us;
    int64_t started_ms;
    int64_t retry_after_ms; /* with LIMIT_REFUSED; -1: none */
};

struct limit_class {
    char name[LIMIT_CLASS_BYTES]; /* "": free, or the last one */
    double base_us;               /* 0: not known yet */
    int64_t known;                /* results that made the base */
    double sum_us;                /* of the window */
    double squares;               /* us² */
    int count;
};

/* What the last window decided, for people. */
enum limit_reason {
    LIMIT_STARTING,
    LIMIT_GROWING,
    LIMIT_HOLDING,
    LIMIT_SLOW,     /* lowered: the server is slower than 2 x unloaded */
    LIMIT_TIMEOUTS, /* lowered */
    LIMIT_REFUSALS, /* lowered, and remembered as a ceiling for a while */
    LIMIT_FIXED,
};

struct limit_options {
    int max;   /* never more; 0: LIMIT_MOST */
    int fixed; /* not found but given; 0: found */
    uint64_t seed;
};

struct limit {
    struct limit_options options;
    struct rng rng;
    struct limit_class classes[LIMIT_CLASSES];
    double value;
    bool slow_start;
    double step;
    double slowdown; /* of the last window; 1 at the start */
    enum limit_reason reason;
    int slow_windows;   /* in a row */
    double slow_before; /* the slowdown of the last of them */
    double slow_from;   /* the limit before the first of them */
    int64_t lowered_ms; /* for refusals: earlier requests say nothing new */

    int ceiling; /* 0: none */
    int64_t ceiling_raise_ms;
    int64_t ceiling_hold_ms; /* how long it stays after the next hit */
    int ceiling_raised;      /* times since the last hit */
    int64_t blocked_until_ms;

    struct {
        int64_t since_ms;
        int results, answered, refused, timeouts;
        int most; /* in flight */
        bool full;
        double sum_us;
    } window;

    bool probing;
    bool recheck; /* the probe is out of turn: lowering did not help */
    int64_t probe_since_ms;
    int64_t saturated_ms; /* since the last probe */
    int64_t probe_after_ms, probe_every_ms;
};

void limit_init(struct limit *l, const struct limit_options *options, int64_t now_ms);
void limit_set(struct limit *l, int max, int fixed); /* as in limit_options */

/* A call has ended. */
void limit_result(struct limit *l, const struct limit_result *r, int64_t now_ms);

/* So many requests are in flight, and whether more would be if the limit let them: to be told
 * whenever one starts. */
void limit_in_flight(struct limit *l, double requests, bool full);

/* Once a second or so: closes windows that no result closes. */
void limit_tick(struct limit *l, int64_t now_ms);

/* The machine slept, or stood still: what is being measured means nothing. */
void limit_disturbed(struct limit *l, int64_t now_ms);

/* The target is back: from 2 up, as at the start, but with its bases. */
void limit_restart(struct limit *l, int64_t now_ms);

/* Requests that may be in flight; 0 until a Retry-After has passed. */
int limit_permits(const struct limit *l, int64_t now_ms);

/* Why it is what it is now, in words. */
const char *limit_why(const struct limit *l);

#endif
