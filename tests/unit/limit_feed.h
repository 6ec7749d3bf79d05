/* What the tests of the limit's rules feed it with: results, and whole windows of them. */
#ifndef TESTS_LIMIT_FEED_H
#define TESTS_LIMIT_FEED_H

#include "policy/limit.h"

#include <cmocka.h>

static inline struct limit made(int max, int fixed)
{
    struct limit l;
    struct limit_options o = {.max = max, .fixed = fixed, .seed = 1};
    limit_init(&l, &o, 0);
    return l;
}

static inline struct limit_result answer(const char *class, int64_t rtt_ms, int64_t now_ms)
{
    return (struct limit_result){.class = class,
                                 .outcome = LIMIT_ANSWERED,
                                 .rtt_us = rtt_ms * 1000,
                                 .started_ms = now_ms - rtt_ms,
                                 .retry_after_ms = -1};
}

/* So many windows of a second, all full. */
static inline void feed(struct limit *l, const char *class, int64_t rtt_ms, int windows,
                        int64_t *now_ms)
{
    for (int i = 0; i < windows * 100; i++) {
        *now_ms += 10;
        limit_in_flight(l, limit_permits(l, *now_ms), true);
        struct limit_result r = answer(class, rtt_ms, *now_ms);
        limit_result(l, &r, *now_ms);
    }
}

static inline void refuse(struct limit *l, int64_t now_ms, int64_t retry_after_ms)
{
    struct limit_result r = answer("a", 1, now_ms);
    r.outcome = LIMIT_REFUSED;
    r.retry_after_ms = retry_after_ms;
    limit_result(l, &r, now_ms);
}

/* A window of a second: so many results of each kind, spread over it, and full unless said. */
struct kinds {
    int answered, refused, timeouts;
    int64_t rtt_ms;
    bool slack; /* more would not have run if the limit had let them */
};

static inline void window(struct limit *l, struct kinds k, int64_t *now_ms)
{
    int all = k.answered + k.refused + k.timeouts;
    int64_t start_ms = *now_ms;
    for (int i = 0; i < all; i++) {
        *now_ms = start_ms + 1000 * (i + 1) / all;
        limit_in_flight(l, limit_permits(l, *now_ms), !k.slack);
        struct limit_result r = answer("a", k.rtt_ms > 0 ? k.rtt_ms : 1, *now_ms);
        r.outcome = i < k.refused                ? LIMIT_REFUSED
                    : i < k.refused + k.timeouts ? LIMIT_TIMEOUT
                                                 : LIMIT_ANSWERED;
        r.started_ms = *now_ms - 1;
        limit_result(l, &r, *now_ms);
    }
}

/* One that has come to so many by doubling. */
static inline struct limit grown(int to, int64_t *now_ms)
{
    struct limit l = made(0, 0);
    while (limit_permits(&l, *now_ms) < to)
        window(&l, (struct kinds){.answered = 50, .rtt_ms = 50}, now_ms);
    assert_int_equal(limit_permits(&l, *now_ms), to);
    return l;
}

#endif
