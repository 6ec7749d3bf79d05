#include "base/table.h"

#include "base/rand.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

static uint64_t seed;
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
    if (seed == 0)
        seed = rand_seed() | 1;
}

void hash_seed(uint64_t fixed)
{
    seed = fixed | 1;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const void *bytes, size_t len)
{
    pthread_once(&seeded, make_seed);
    const unsigned char *p = bytes;
    uint64_t h = mix(seed ^ len, 0x9e3779b97f4a7c15u);
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = mix(h ^ word, seed ^ 0xa0761d6478bd642fu);
    }
    uint64_t last = 0;
    memcpy(&last, p, len);
    h = mix(h ^ last, seed ^ 0xe7037ed1a0b428dbu);
    return mix(h, 0x8ebc6af09c88c6e3u);
}

int table_init(struct table *t)
{
    *t = (struct table){0};
    t->buckets = calloc(FIRST_BUCKETS, sizeof *t->buckets);
    if (!t->buckets)
        return -1;
    t->mask = FIRST_BUCKETS - 1;
    return 0;
}

void table_free(struct table *t)
{
    free(t->buckets);
    *t = (struct table){0};
}

struct table_node *table_find(const struct table *t, const char *key)
{
    uint64_t hash = hash_bytes(key, strlen(key));
    struct table_node *n = t->buckets[hash & t->mask];
    while (n && (n->hash != hash || strcmp(n->key, key) != 0))
        n = n->next;
    return n;
}

static void grow(struct table *t)
{
    size_t mask = t->mask * 2 + 1;
    struct table_node **buckets = calloc(mask + 1, sizeof *buckets);
    if (!buckets)
        return;
    for (size_t i = 0; i <= t->mask; i++) {
        for (struct table_node *n = t->buckets[i], *next; n; n = next) {
            next = n->next;
            n->next = buckets[n->hash & mask];
            buckets[n->hash & mask] = n;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->mask = mask;
    t->low = 0;
}

void table_add(struct table *t, struct table_node *node, const char *key)
{
    if (t->count > t->mask)
        grow(t);
    node->key = key;
    node->hash = hash_bytes(key, strlen(key));
    struct table_node **bucket = &t->buckets[node->hash & t->mask];
    node->next = *bucket;
    *bucket = node;
    t->count++;
    if ((node->hash & t->mask) < t->low)
        t->low = node->hash & t->mask;
}

void table_remove(struct table *t, struct table_node *node)
{
    struct table_node **at = &t->buckets[node->hash & t->mask];
    while (*at && *at != node)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = node->next;
    node->next = NULL;
    t->count--;
}

struct table_node *table_any(struct table *t)
{
    if (t->count == 0)
        return NULL;
    while (!t->buckets[t->low])
        t->low++;
    return t->buckets[t->low];
}
