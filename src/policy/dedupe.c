#include "policy/dedupe.h"

#include "base/list.h"
#include "base/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct table_node by_key;
    struct list by_age; /* of the done ones, oldest first */
    uint64_t body_hash;
    int64_t done_ms;
    bool done;
    char key[];
};

struct dedupe {
    struct table entries;
    struct list done;
    int64_t ttl_ms;
    size_t max;
};

struct dedupe *dedupe_new(int64_t ttl_ms, size_t max)
{
    struct dedupe *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    if (table_init(&d->entries) != 0) {
        free(d);
        return NULL;
    }
    list_init(&d->done);
    d->ttl_ms = ttl_ms;
    d->max = max;
    return d;
}

static void drop(struct dedupe *d, struct entry *e)
{
    table_remove(&d->entries, &e->by_key);
    list_remove(&e->by_age);
    free(e);
}

void dedupe_free(struct dedupe *d)
{
    if (!d)
        return;
    struct table_node *n;
    while ((n = table_any(&d->entries)))
        drop(d, table_entry(n, struct entry, by_key));
    table_free(&d->entries);
    free(d);
}

static struct entry *find(struct dedupe *d, const char *key)
{
    struct table_node *n = table_find(&d->entries, key);
    return n ? table_entry(n, struct entry, by_key) : NULL;
}

static void forget_old(struct dedupe *d, int64_t now_ms)
{
    struct list *oldest;
    while ((oldest = list_first(&d->done))) {
        struct entry *e = list_entry(oldest, struct entry, by_age);
        if (d->entries.count <= d->max && now_ms - e->done_ms < d->ttl_ms)
            break;
        drop(d, e);
    }
}

enum dedupe_answer dedupe_claim(struct dedupe *d, const char *key, uint64_t body_hash,
                                int64_t now_ms)
{
    forget_old(d, now_ms);
    struct entry *e = find(d, key);
    if (e && !e->done)
        return DEDUPE_HELD;
    if (e && e->body_hash == body_hash)
        return DEDUPE_DONE;
    if (e) { /* same key, other body: another event, which takes the key's place */
        list_remove(&e->by_age);
        e->done = false;
        e->body_hash = body_hash;
        return DEDUPE_NEW;
    }
    size_t len = strlen(key);
    e = calloc(1, sizeof *e + len + 1);
    if (!e)
        return DEDUPE_NO_MEMORY;
    memcpy(e->key, key, len + 1);
    list_init(&e->by_age);
    e->body_hash = body_hash;
    table_add(&d->entries, &e->by_key, e->key);
    return DEDUPE_NEW;
}

void dedupe_done(struct dedupe *d, const char *key, int64_t now_ms)
{
    struct entry *e = find(d, key);
    if (!e || e->done)
        return;
    e->done = true;
    e->done_ms = now_ms;
    list_append(&d->done, &e->by_age);
    forget_old(d, now_ms);
}

void dedupe_forget(struct dedupe *d, const char *key)
{
    struct entry *e = find(d, key);
    if (e && !e->done)
        drop(d, e);
}

size_t dedupe_count(const struct dedupe *d)
{
    return d->entries.count;
}
