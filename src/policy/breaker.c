#include "policy/breaker.h"

#include <string.h>

void breaker_init(struct breaker *b, const struct breaker_options *options)
{
    memset(b, 0, sizeof *b);
    b->options = *options;
    b->changed_ms = INT64_MIN;
}

void breaker_open(struct breaker *b, int64_t now_ms)
{
    if (b->open)
        return;
    b->row = 0;
    memset(b->buckets, 0, sizeof b->buckets);
    b->open = true;
    b->changed_ms = now_ms;
    b->probe_due_ms = now_ms + b->options.probe_ms;
}

void breaker_close(struct breaker *b, int64_t now_ms)
{
    if (!b->open)
        return;
    b->open = false; /* open, it has counted nothing */
    b->changed_ms = now_ms;
}

bool breaker_probe(struct breaker *b, int64_t now_ms)
{
    if (!b->open || now_ms < b->probe_due_ms)
        return false;
    b->probe_due_ms = now_ms + b->options.probe_ms;
    return true;
}

/* ---- counting ---- */

static int64_t bucket_index(const struct breaker *b, int64_t now_ms)
{
    int64_t length_ms = b->options.window_ms / BREAKER_BUCKETS;
    return now_ms / (length_ms > 0 ? length_ms : 1);
}

static void count_in_window(struct breaker *b, bool failed, int64_t now_ms)
{
    int64_t index = bucket_index(b, now_ms);
    int at = (int)((uint64_t)index % BREAKER_BUCKETS);
    if (b->buckets[at].index != index) {
        b->buckets[at].index = index;
        b->buckets[at].all = b->buckets[at].failed = 0;
    }
    b->buckets[at].all++;
    b->buckets[at].failed += failed;
}

static void sum_window(const struct breaker *b, int64_t now_ms, int *all, int *failed)
{
    int64_t index = bucket_index(b, now_ms);
    *all = *failed = 0;
    for (int i = 0; i < BREAKER_BUCKETS; i++) {
        int64_t age = index - b->buckets[i].index;
        if (age < 0 || age >= BREAKER_BUCKETS)
            continue;
        *all += b->buckets[i].all;
        *failed += b->buckets[i].failed;
    }
}

static void note_failure(struct breaker *b, int failed_before, int64_t started_ms, int64_t now_ms)
{
    if (b->row++ == 0) {
        b->row_failed_ms = now_ms;
        b->row_later = false;
    } else {
        b->row_later |= started_ms > b->row_failed_ms;
    }
    if (failed_before == 0) {
        b->window_failed_ms = now_ms;
        b->window_later = false;
    } else {
        b->window_later |= started_ms > b->window_failed_ms;
    }
}

static bool trips(const struct breaker *b, int64_t now_ms)
{
    int all, failed;
    if (b->row >= b->options.failures && (b->row_later || b->options.failures == 1))
        return true;
    sum_window(b, now_ms, &all, &failed);
    return failed >= b->options.failures && failed * 2 >= all && b->window_later;
}

enum breaker_step breaker_result(struct breaker *b, bool failed, int64_t started_ms, int64_t now_ms)
{
    if (started_ms < b->changed_ms)
        return BREAKER_STAYS;
    if (b->open) {
        if (failed)
            return BREAKER_STAYS;
        breaker_close(b, now_ms);
        return BREAKER_CLOSES;
    }
    int all, failed_before;
    sum_window(b, now_ms, &all, &failed_before);
    count_in_window(b, failed, now_ms);
    if (!failed) {
        b->row = 0;
        return BREAKER_STAYS;
    }
    note_failure(b, failed_before, started_ms, now_ms);
    if (!trips(b, now_ms))
        return BREAKER_STAYS;
    breaker_open(b, now_ms);
    return BREAKER_OPENS;
}
