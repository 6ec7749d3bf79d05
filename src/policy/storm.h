/* Nearly all of the last messages failed alike: then it is not the messages. A bad deployment or
 * a lost right must not carry a whole queue into the dead-letter queue. Pure.
 *
 * It goes by the last `window` runs that say something about the handler: those that acked, and
 * those that failed by themselves (a target's failure, a message given back, and a rejection that
 * the handler asked for are no failures of its). */
#ifndef POLICY_STORM_H
#define POLICY_STORM_H

#include <stdbool.h>
#include <stdint.h>

enum { STORM_WINDOW_MAX = 100 };

struct storm {
    int window; /* 0: it never says anything */
    int next, known;
    struct {
        uint64_t fingerprint; /* 0: it went well */
        uint64_t message;
    } runs[STORM_WINDOW_MAX];
};

void storm_init(struct storm *s, int window);

/* Failures with the same kind at the same place are alike; without a place, with the same words
 * but for numbers. Never 0. Any of them may be NULL. */
uint64_t storm_fingerprint(const char *kind, const char *at, const char *reason);

void storm_result(struct storm *s, uint64_t fingerprint, uint64_t message);

/* At least nine tenths of a full window have this fingerprint. */
bool storm_rages(const struct storm *s, uint64_t fingerprint);

/* No run went well within the window, and this failure has been seen with at least three
 * messages: enough to keep one from the dead-letter queue until more is known. */
bool storm_looms(const struct storm *s, uint64_t fingerprint);

void storm_forget(struct storm *s);

#endif
