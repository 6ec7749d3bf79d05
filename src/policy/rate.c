#include "policy/rate.h"

#include <math.h>

static const double BURST_MAX = 10; /* a receive's worth */
static const double DEBT_MAX_MS = 10000;

static double interval_ms(const struct rate *r)
{
    return 1000 / r->per_s;
}

/* What one second brings, so that the sum over any few seconds is close to the rate. */
static double burst_ms(const struct rate *r)
{
    return fmin(fmax(r->per_s, 1), BURST_MAX) * interval_ms(r);
}

/* A debt, of one that takes more than there was, is paid; but a clock that was set back must not
 * lock everybody out. */
static void clamp(struct rate *r, int64_t now_ms)
{
    r->tat_ms = fmin(fmax(r->tat_ms, (double)now_ms), (double)now_ms + burst_ms(r) + DEBT_MAX_MS);
}

void rate_set(struct rate *r, double per_s, int64_t now_ms)
{
    double debt = 0; /* intervals that were taken ahead of time */
    if (r->per_s > 0) {
        clamp(r, now_ms);
        debt = (r->tat_ms - (double)now_ms) / interval_ms(r);
    }
    r->per_s = per_s > 0 ? per_s : 0;
    r->tat_ms = (double)now_ms;
    if (r->per_s > 0)
        r->tat_ms += debt * interval_ms(r);
}

int rate_grant(struct rate *r, int64_t now_ms)
{
    if (r->per_s <= 0)
        return RATE_UNLIMITED;
    clamp(r, now_ms);
    double left_ms = burst_ms(r) - (r->tat_ms - (double)now_ms);
    double n = left_ms / interval_ms(r) + 1e-9; /* 0.1 + 0.2 and the like */
    return (int)fmax(0, n);
}

void rate_take(struct rate *r, double n, int64_t now_ms)
{
    if (r->per_s <= 0)
        return;
    clamp(r, now_ms);
    r->tat_ms += n * interval_ms(r);
}

void rate_refund(struct rate *r, int n)
{
    if (r->per_s > 0)
        r->tat_ms -= n * interval_ms(r);
}

int64_t rate_wait_ms(struct rate *r, int64_t now_ms)
{
    if (rate_grant(r, now_ms) > 0)
        return 0;
    double wait_ms = r->tat_ms + interval_ms(r) - burst_ms(r) - (double)now_ms;
    return (int64_t)fmax(1, ceil(wait_ms));
}
