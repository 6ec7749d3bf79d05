/* So many a second, with small bursts: a token bucket in one number (GCRA). Pure; time is an
 * argument (CLOCK_BOOTTIME, milliseconds). Messages of the host, requests to a target.
 *
 * `tat` is when the bucket would be full again: it lies at most a burst ahead of now,
 * and more only when somebody took more than there was. */
#ifndef POLICY_RATE_H
#define POLICY_RATE_H

#include <stdint.h>

struct rate {
    double per_s; /* 0: no limit */
    double tat_ms;
};

enum { RATE_UNLIMITED = 1 << 30 };

/* A new rate applies from now on, not to time already past. */
void rate_set(struct rate *r, double per_s, int64_t now_ms);

/* How many may go now. */
int rate_grant(struct rate *r, int64_t now_ms);

/* They go; more than was granted is a debt, of at most ten seconds. */
void rate_take(struct rate *r, double n, int64_t now_ms);

/* Some of those taken did not come after all. */
void rate_refund(struct rate *r, int n);

/* Milliseconds until one may go; 0: now. */
int64_t rate_wait_ms(struct rate *r, int64_t now_ms);

#endif
