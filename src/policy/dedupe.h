/* What was acked lately, in memory. Pure but for its allocations; time is an argument, in ms,
 * and never goes back.
 *
 * A pair of key and body is remembered from the ack until `ttl` has passed, or as long as it is
 * not the oldest of more than `max`. Only hashes of the two are kept, 64 bits each: two different
 * pairs are taken for one with a chance of 2^-128, two bodies under one key with 2^-64; the
 * hash is seeded by the process (base/table.h), so that nobody can write such a pair. */
#ifndef POLICY_DEDUPE_H
#define POLICY_DEDUPE_H

#include <stddef.h>
#include <stdint.h>

struct dedupe;

/* `max` from 1 to 10^8, `ttl_ms` up to 24 days. NULL: no memory. */
struct dedupe *dedupe_new(int64_t ttl_ms, size_t max);
void dedupe_free(struct dedupe *d);

enum dedupe_answer {
    DEDUPE_NEW,       /* not remembered; a place is kept for it until dedupe_done or _forget */
    DEDUPE_DONE,      /* acked before with the same body */
    DEDUPE_NO_MEMORY, /* no place could be had */
};
enum dedupe_answer dedupe_claim(struct dedupe *d, const char *key, uint64_t body_hash,
                                int64_t now_ms);
void dedupe_done(struct dedupe *d, const char *key, uint64_t body_hash, int64_t now_ms);
void dedupe_forget(struct dedupe *d);           /* one place is not needed after all */
size_t dedupe_count(const struct dedupe *d);    /* pairs that are remembered */
size_t dedupe_claimed(const struct dedupe *d);  /* places that are kept */
size_t dedupe_capacity(const struct dedupe *d); /* pairs that there are places for */

#endif
