#include "policy/retry.h"

#include <math.h>

int retry_backoff_s(double base_s, double cap_s, int attempt, uint64_t random)
{
    int doublings = attempt > 1 ? (attempt < 32 ? attempt - 1 : 31) : 0;
    double ceiling = fmin(fmin(cap_s, VISIBILITY_MAX_S), ldexp(base_s, doublings));
    double unit = (double)(random >> 11) * 0x1p-53; /* 0 <= unit < 1 */
    return RETRY_MIN_S + (int)(unit * (ceiling - RETRY_MIN_S + 1));
}

int64_t retry_longest_s(double base_s, double cap_s, int receives)
{
    enum { AT_THE_CAP = 32 }; /* doublings end there */
    int64_t sum_s = 0;
    for (int i = 1; i < receives && i < AT_THE_CAP; i++)
        sum_s += retry_backoff_s(base_s, cap_s, i, UINT64_MAX);
    if (receives > AT_THE_CAP)
        sum_s += (receives - AT_THE_CAP) *
                 (int64_t)retry_backoff_s(base_s, cap_s, AT_THE_CAP, UINT64_MAX);
    return sum_s;
}

int64_t retry_least_s(int64_t least_s, int backoff_s, double cap_s)
{
    int64_t sum_s = least_s + backoff_s, cap = (int64_t)cap_s;
    if (sum_s <= cap)
        return sum_s;
    return least_s > cap ? least_s : cap;
}

int64_t retry_call_ms(int64_t base_ms, int64_t cap_ms, int tries, int64_t wish_ms, uint64_t random)
{
    enum { DOUBLINGS_MAX = 10 };
    int64_t most_ms = base_ms << (tries < DOUBLINGS_MAX ? tries : DOUBLINGS_MAX);
    if (most_ms > cap_ms)
        most_ms = cap_ms;
    int64_t delay_ms = most_ms / 2 + (int64_t)(random % (uint64_t)(most_ms / 2 + 1));
    if (wish_ms > cap_ms)
        wish_ms = cap_ms;
    return wish_ms > delay_ms ? wish_ms : delay_ms;
}

int retry_clamp_s(int64_t wanted_s, int64_t held_ms)
{
    int64_t left_s = VISIBILITY_MAX_S - VISIBILITY_MARGIN_S - held_ms / 1000;
    if (left_s < 0)
        left_s = 0;
    if (wanted_s > left_s)
        wanted_s = left_s;
    return wanted_s < 0 ? 0 : (int)wanted_s;
}
