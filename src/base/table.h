/* A hash table from strings to structs that carry their own node. Any thread, one at a time.
 *
 * The keys belong to the entries and must not change while they are in. Hashing is seeded per
 * process, so that whoever writes message bodies cannot choose collisions. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next;
    const char *key;
    uint64_t hash;
};

struct table {
    struct table_node **buckets;
    size_t mask; /* buckets - 1 */
    size_t count;
    size_t low; /* no bucket before this one has an entry: emptying a table walks it once */
};

#define table_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

int table_init(struct table *t);  /* -1: no memory */
void table_free(struct table *t); /* the entries stay, they are the caller's */

struct table_node *table_find(const struct table *t, const char *key);
/* The key must not be in yet. A table that cannot grow works on, slower. */
void table_add(struct table *t, struct table_node *node, const char *key);
void table_remove(struct table *t, struct table_node *node);

/* Any entry, or NULL: for emptying a table. */
struct table_node *table_any(struct table *t);

/* The seeded hash itself, for bodies. hash_seed fixes the seed, before the first use: tables are
 * then walked in the same order in every process, which the simulator needs to replay. */
void hash_seed(uint64_t fixed);
uint64_t hash_bytes(const void *bytes, size_t len);

#endif
