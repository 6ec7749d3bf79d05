#include "vm/cache.h"

#include "base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct table_node by_key;
    struct list by_use; /* while it has a value; most recently used last */
    char *value;        /* NULL: none */
    size_t len;
    int64_t ends_ms;     /* 0: never */
    const void *owner;   /* who computes it; NULL: nobody */
    struct list waiting; /* struct cache_waiter, while somebody computes */
    char key[];
};

struct cache {
    pthread_mutex_t lock;
    struct table entries;
    struct list by_use;
    size_t used_bytes, max_bytes;
};

struct cache *cache_new(size_t max_bytes)
{
    struct cache *c = calloc(1, sizeof *c);
    if (!c || table_init(&c->entries) != 0) {
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->by_use);
    c->max_bytes = max_bytes;
    return c;
}

static size_t cost(const struct entry *e)
{
    return sizeof *e + strlen(e->key) + e->len;
}

static void drop_value(struct cache *c, struct entry *e)
{
    if (!e->value)
        return;
    c->used_bytes -= cost(e);
    list_remove(&e->by_use);
    free(e->value);
    e->value = NULL;
    e->len = 0;
}

/* An entry with neither value nor owner is nothing. */
static void tidy(struct cache *c, struct entry *e)
{
    if (e->value || e->owner)
        return;
    table_remove(&c->entries, &e->by_key);
    free(e);
}

void cache_free(struct cache *c)
{
    struct table_node *n;
    if (!c)
        return;
    while ((n = table_any(&c->entries))) {
        struct entry *e = table_entry(n, struct entry, by_key);
        drop_value(c, e);
        e->owner = NULL;
        tidy(c, e);
    }
    table_free(&c->entries);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- ports and waiters ---------------------------------------------------------------------- */

static void on_wake(struct ev_loop *loop, ev_async *a, int events)
{
    (void)loop;
    (void)events;
    struct cache_port *p = a->data;
    for (;;) {
        pthread_mutex_lock(&p->cache->lock);
        struct list *node = list_pop(&p->woken);
        pthread_mutex_unlock(&p->cache->lock);
        if (!node)
            return;
        struct cache_waiter *w = list_entry(node, struct cache_waiter, node);
        w->ready(w);
    }
}

void cache_port_open(struct cache_port *p, struct cache *c, struct ev_loop *loop)
{
    p->cache = c;
    p->loop = loop;
    list_init(&p->woken);
    ev_async_init(&p->wake, on_wake);
    p->wake.data = p;
    ev_async_start(loop, &p->wake);
    ev_unref(loop); /* it does not keep the loop alive */
}

void cache_port_close(struct cache_port *p)
{
    if (!p->cache)
        return;
    ev_ref(p->loop);
    ev_async_stop(p->loop, &p->wake);
    p->cache = NULL;
}

void cache_waiter_init(struct cache_waiter *w, struct cache_port *p,
                       void (*ready)(struct cache_waiter *))
{
    list_init(&w->node);
    w->port = p;
    w->ready = ready;
}

void cache_waiter_stop(struct cache_waiter *w)
{
    pthread_mutex_lock(&w->port->cache->lock);
    list_remove(&w->node);
    pthread_mutex_unlock(&w->port->cache->lock);
}

/* The waiters look again; each loop is woken from outside, as it may be another thread's. */
static void wake_all(struct entry *e)
{
    struct list *node;
    while ((node = list_pop(&e->waiting))) {
        struct cache_waiter *w = list_entry(node, struct cache_waiter, node);
        list_append(&w->port->woken, node);
        ev_async_send(w->port->loop, &w->port->wake);
    }
}

/* ---- entries, under the lock ----------------------------------------------------------------- */

static struct entry *find(struct cache *c, const char *key, int64_t now_ms)
{
    struct table_node *n = table_find(&c->entries, key);
    if (!n)
        return NULL;
    struct entry *e = table_entry(n, struct entry, by_key);
    if (e->value && e->ends_ms && now_ms >= e->ends_ms)
        drop_value(c, e);
    return e;
}

static struct entry *get(struct cache *c, const char *key, int64_t now_ms)
{
    struct entry *e = find(c, key, now_ms);
    if (e)
        return e;
    size_t len = strlen(key);
    e = calloc(1, sizeof *e + len + 1);
    if (!e)
        return NULL;
    memcpy(e->key, key, len + 1);
    list_init(&e->by_use);
    list_init(&e->waiting);
    table_add(&c->entries, &e->by_key, e->key);
    return e;
}

static void used(struct cache *c, struct entry *e)
{
    list_remove(&e->by_use);
    list_append(&c->by_use, &e->by_use);
}

static void make_room(struct cache *c)
{
    while (c->used_bytes > c->max_bytes) {
        struct entry *oldest = list_entry(list_first(&c->by_use), struct entry, by_use);
        drop_value(c, oldest);
        tidy(c, oldest);
    }
}

static int put(struct cache *c, const char *key, const char *value, size_t len, int64_t ends_ms,
               int64_t now_ms)
{
    struct entry *e = get(c, key, now_ms);
    char *copy = e ? malloc(len + 1) : NULL;
    if (copy) {
        memcpy(copy, value, len);
        drop_value(c, e);
        e->value = copy;
        e->len = len;
        e->ends_ms = ends_ms;
        c->used_bytes += cost(e);
        used(c, e);
        if (cost(e) <= c->max_bytes) {
            make_room(c);
            return 0;
        }
        drop_value(c, e);
    }
    if (e)
        tidy(c, e);
    return -1;
}

static int64_t end_of(int64_t ttl_ms, int64_t now_ms)
{
    return ttl_ms > 0 ? now_ms + ttl_ms : 0;
}

/* ---- values ------------------------------------------------------------------------------------
 */

bool cache_get(struct cache *c, const char *key, int64_t now_ms, struct buf *out)
{
    pthread_mutex_lock(&c->lock);
    struct entry *e = find(c, key, now_ms);
    bool found = e && e->value;
    if (found) {
        used(c, e);
        buf_add(out, e->value, e->len);
    } else if (e) {
        tidy(c, e);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

int cache_set(struct cache *c, const char *key, const char *value, size_t len, int64_t ttl_ms,
              int64_t now_ms)
{
    pthread_mutex_lock(&c->lock);
    int rc = put(c, key, value, len, end_of(ttl_ms, now_ms), now_ms);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void cache_delete(struct cache *c, const char *key)
{
    pthread_mutex_lock(&c->lock);
    struct entry *e = find(c, key, 0);
    if (e) {
        drop_value(c, e);
        tidy(c, e);
    }
    pthread_mutex_unlock(&c->lock);
}

/* A value is no C string: it is read from a copy. */
static int read_integer(const struct entry *e, int64_t *out)
{
    char text[24], *end;
    *out = 0;
    if (!e || !e->value)
        return 0;
    if (e->len == 0 || e->len >= sizeof text)
        return -1;
    memcpy(text, e->value, e->len);
    text[e->len] = '\0';
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end || errno ? -1 : 0;
}

int cache_add(struct cache *c, const char *key, int64_t by, int64_t ttl_ms, int64_t now_ms,
              int64_t *result)
{
    char text[24];
    pthread_mutex_lock(&c->lock);
    struct entry *e = find(c, key, now_ms);
    int rc = read_integer(e, result);
    if (rc == 0 && __builtin_add_overflow(*result, by, result))
        rc = -1;
    if (rc == 0) {
        int64_t ends_ms = e && e->value ? e->ends_ms : end_of(ttl_ms, now_ms);
        int len = snprintf(text, sizeof text, "%" PRId64, *result);
        rc = put(c, key, text, (size_t)len, ends_ms, now_ms) == 0 ? 0 : -2;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- claims ---------------------------------------------------------------------------------- */

static enum cache_claim claim(struct cache *c, struct entry *e, const void *owner,
                              struct cache_waiter *w, struct buf *out)
{
    if (!e)
        return CACHE_NO_MEMORY;
    if (e->value) {
        used(c, e);
        buf_add(out, e->value, e->len);
        return CACHE_FOUND;
    }
    if (e->owner == owner)
        return CACHE_OWN;
    if (e->owner) {
        list_append(&e->waiting, &w->node);
        return CACHE_WAIT;
    }
    e->owner = owner;
    return CACHE_MINE;
}

enum cache_claim cache_claim(struct cache *c, const char *key, const void *owner, int64_t now_ms,
                             struct cache_waiter *w, struct buf *out)
{
    pthread_mutex_lock(&c->lock);
    enum cache_claim answer = claim(c, get(c, key, now_ms), owner, w, out);
    pthread_mutex_unlock(&c->lock);
    return answer;
}

void cache_release(struct cache *c, const char *key, const void *owner)
{
    pthread_mutex_lock(&c->lock);
    struct table_node *n = table_find(&c->entries, key);
    struct entry *e = n ? table_entry(n, struct entry, by_key) : NULL;
    if (e && e->owner == owner) {
        e->owner = NULL;
        wake_all(e);
        tidy(c, e);
    }
    pthread_mutex_unlock(&c->lock);
}
