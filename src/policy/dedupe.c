/* A ring of the remembered pairs, oldest first, and beside it an index of their places by hash,
 * probed linearly. Both grow together, so that a ring is never fuller than the index bears. */
#include "policy/dedupe.h"

#include "base/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_INDEX = 64, AHEAD = 16 };

/* Of an index of `n` places so many are used at most: three quarters. */
#define RING_OF(n) ((n) / 4 * 3)

struct pair {
    uint64_t key, body;
};

struct dedupe {
    struct pair *pairs; /* `room` of them; the first is at `head` */
    uint32_t *done_ms;  /* of each, the lower half of the clock */
    uint32_t *index;    /* 1 + place in the ring; 0: free */
    size_t mask;        /* of the index */
    size_t room, head, count;
    size_t claimed;
    size_t max;
    int64_t ttl_ms;
    int64_t looked_ms;
};

struct dedupe *dedupe_new(int64_t ttl_ms, size_t max)
{
    struct dedupe *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->ttl_ms = ttl_ms;
    d->max = max;
    return d;
}

void dedupe_free(struct dedupe *d)
{
    if (!d)
        return;
    free(d->pairs);
    free(d->done_ms);
    free(d->index);
    free(d);
}

static size_t home(const struct dedupe *d, struct pair p)
{
    return (p.key ^ (p.body << 32 | p.body >> 32)) & d->mask;
}

static size_t place(const struct dedupe *d, size_t nth)
{
    size_t at = d->head + nth;
    return at < d->room ? at : at - d->room;
}

/* Where the pair stands in the index, or the free place where it would. */
static size_t seek(const struct dedupe *d, struct pair p)
{
    size_t i = home(d, p);
    for (; d->index[i]; i = (i + 1) & d->mask) {
        struct pair *q = &d->pairs[d->index[i] - 1];
        if (q->key == p.key && q->body == p.body)
            break;
    }
    return i;
}

/* Moves up what stands behind the hole only because its own place was taken. */
static void unindex(struct dedupe *d, size_t hole)
{
    for (size_t i = (hole + 1) & d->mask; d->index[i]; i = (i + 1) & d->mask) {
        size_t wanted = home(d, d->pairs[d->index[i] - 1]);
        if (((i - wanted) & d->mask) < ((i - hole) & d->mask))
            continue;
        d->index[hole] = d->index[i];
        hole = i;
    }
    d->index[hole] = 0;
}

static void drop_oldest(struct dedupe *d)
{
    unindex(d, seek(d, d->pairs[d->head]));
    d->head = place(d, 1);
    d->count--;
}

static void forget_old(struct dedupe *d, int64_t now_ms)
{
    bool all = now_ms - d->looked_ms > INT32_MAX; /* the halves of the clock say nothing more */
    d->looked_ms = now_ms;
    while (d->count > 0 && (all || (uint32_t)((uint32_t)now_ms - d->done_ms[d->head]) >= d->ttl_ms))
        drop_oldest(d);
}

/* An index of `places`, and the ring that goes with it. False: no memory, all is as before. */
static bool resize(struct dedupe *d, size_t places)
{
    size_t room = RING_OF(places) < d->max ? RING_OF(places) : d->max;
    struct pair *pairs = malloc(room * sizeof *pairs);
    uint32_t *done_ms = malloc(room * sizeof *done_ms);
    uint32_t *index = calloc(places, sizeof *index);
    if (!pairs || !done_ms || !index) {
        free(pairs);
        free(done_ms);
        free(index);
        return false;
    }
    for (size_t i = 0; i < d->count; i++) {
        pairs[i] = d->pairs[place(d, i)];
        done_ms[i] = d->done_ms[place(d, i)];
    }
    free(d->pairs);
    free(d->done_ms);
    free(d->index);
    d->pairs = pairs;
    d->done_ms = done_ms;
    d->index = index;
    d->mask = places - 1;
    d->room = room;
    d->head = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (i + AHEAD < d->count) /* millions of places at random: the wait for memory is all */
            __builtin_prefetch(&d->index[home(d, d->pairs[i + AHEAD])], 1);
        d->index[seek(d, d->pairs[i])] = (uint32_t)i + 1;
    }
    return true;
}

/* Room for all that is claimed, and one more; at `max` the oldest make room. */
static bool reserve(struct dedupe *d)
{
    size_t wanted = d->count + d->claimed + 1;
    if (wanted <= d->room || d->room == d->max)
        return true;
    return resize(d, d->index ? (d->mask + 1) * 2 : FIRST_INDEX);
}

enum dedupe_answer dedupe_claim(struct dedupe *d, const char *key, uint64_t body_hash,
                                int64_t now_ms)
{
    struct pair p = {hash_bytes(key, strlen(key)), body_hash};
    forget_old(d, now_ms);
    if (d->count > 0 && d->index[seek(d, p)])
        return DEDUPE_DONE;
    if (!reserve(d))
        return DEDUPE_NO_MEMORY;
    d->claimed++;
    return DEDUPE_NEW;
}

void dedupe_done(struct dedupe *d, const char *key, uint64_t body_hash, int64_t now_ms)
{
    struct pair p = {hash_bytes(key, strlen(key)), body_hash};
    dedupe_forget(d);
    forget_old(d, now_ms);
    if (d->room == 0 || d->index[seek(d, p)])
        return;
    if (d->count == d->room)
        drop_oldest(d);
    size_t at = place(d, d->count);
    d->pairs[at] = p;
    d->done_ms[at] = (uint32_t)now_ms;
    d->index[seek(d, p)] = (uint32_t)at + 1;
    d->count++;
}

void dedupe_forget(struct dedupe *d)
{
    if (d->claimed > 0)
        d->claimed--;
}

size_t dedupe_count(const struct dedupe *d)
{
    return d->count;
}

size_t dedupe_claimed(const struct dedupe *d)
{
    return d->claimed;
}

size_t dedupe_capacity(const struct dedupe *d)
{
    return d->room;
}
