/* When a failed message is visible again: exponential backoff with full jitter. Pure. */
#ifndef POLICY_RETRY_H
#define POLICY_RETRY_H

#include <stdint.h>

enum {
    RETRY_MIN_S = 1,
    VISIBILITY_MAX_S = 43200, /* 12 hours from the receive (reference: sqs, section 7) */
    VISIBILITY_MARGIN_S = 60, /* kept off the 12 hours: clocks and a call in between */
};

/* Seconds for attempt 1, 2, …: uniform between RETRY_MIN_S and min(cap, base · 2^(attempt−1)).
 * `random` is any 64-bit random number. */
int retry_backoff_s(double base_s, double cap_s, int attempt, uint64_t random);

/* The longest that the backoffs between so many receives may take in all, each at its most. */
int64_t retry_longest_s(double base_s, double cap_s, int receives);

/* For a failure that came with a wish, a server's Retry-After: at least that long, and the backoff
 * on top of it as far as `cap` goes. So a server that says "1" for a minute does not use up a
 * message's receives, and those it sent away together do not come back together. */
int64_t retry_least_s(int64_t least_s, int backoff_s, double cap_s);

/* Before our own call is made again after `tries` repetitions: between half of min(cap, base ·
 * 2^tries) and all of it; longer only by a server's wish, up to the cap. -1: no wish. */
int64_t retry_call_ms(int64_t base_ms, int64_t cap_ms, int tries, int64_t wish_ms, uint64_t random);

/* What SQS will accept for a message that was received `held_ms` ago: between 0 and what is
 * left of the 12 hours less the margin. */
int retry_clamp_s(int64_t wanted_s, int64_t held_ms);

#endif
