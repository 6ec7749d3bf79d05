/* When calls to a target are pointless, going by their results: one `struct breaker` a target.
 * Pure; time is an argument (CLOCK_BOOTTIME, milliseconds).
 *
 * A failure is: no connection, no answer in time, an answer cut short, 5xx. Any other answer is a
 * success, 4xx included; 429 is the limit's and neither. It trips at `failures` in a row, or at as
 * many within `window` if they are half of all; in both cases only if one of them was begun after
 * the first had failed: a pool of connections that is reset kills forty requests at once, and that
 * is one event. Open, it says when one call may try; the first success that began after the
 * opening closes it. Times between tries do not grow: parked messages try for nothing. */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_BUCKETS = 10 };

struct breaker_options {
    int failures;
    int64_t window_ms;
    int64_t probe_ms;
};

struct breaker {
    struct breaker_options options;
    bool open;
    int64_t changed_ms; /* opened or closed */
    int64_t probe_due_ms;
    int row;                  /* failures in a row */
    int64_t row_failed_ms;    /* the first of them failed */
    bool row_later;           /* one of them began after that */
    int64_t window_failed_ms; /* the same of the failures within the window */
    bool window_later;
    struct {
        int64_t index; /* of its time */
        int all, failed;
    } buckets[BREAKER_BUCKETS];
};

void breaker_init(struct breaker *b, const struct breaker_options *options);

enum breaker_step { BREAKER_STAYS, BREAKER_OPENS, BREAKER_CLOSES };

/* A call has ended. Results of calls that were begun before the breaker last changed are
 * ignored. */
enum breaker_step breaker_result(struct breaker *b, bool failed, int64_t started_ms,
                                 int64_t now_ms);

/* For reasons that results do not tell. Already so: nothing. */
void breaker_open(struct breaker *b, int64_t now_ms);
void breaker_close(struct breaker *b, int64_t now_ms);

/* Open, and time for a call to try: then the next is due `probe_ms` later, whatever becomes of
 * this one. */
bool breaker_probe(struct breaker *b, int64_t now_ms);

#endif
