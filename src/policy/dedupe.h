/* What was acked lately, in memory. Pure but for its allocations; time is an argument.
 *
 * A key is held while its message is in hand, done once its handler acked, and forgotten on
 * failure, after `ttl`, or as the oldest done key when more than `max` are known. A held key
 * is never forgotten: the number of messages in hand bounds them. */
#ifndef POLICY_DEDUPE_H
#define POLICY_DEDUPE_H

#include <stddef.h>
#include <stdint.h>

struct dedupe;

struct dedupe *dedupe_new(int64_t ttl_ms, size_t max); /* NULL: no memory */
void dedupe_free(struct dedupe *d);

enum dedupe_answer {
    DEDUPE_NEW,  /* taken for the caller: now held */
    DEDUPE_DONE, /* acked before with the same body */
    DEDUPE_HELD, /* in hand */
    DEDUPE_NO_MEMORY,
};
enum dedupe_answer dedupe_claim(struct dedupe *d, const char *key, uint64_t body_hash,
                                int64_t now_ms);
void dedupe_done(struct dedupe *d, const char *key, int64_t now_ms); /* held → done */
void dedupe_forget(struct dedupe *d, const char *key);
size_t dedupe_count(const struct dedupe *d);

#endif
