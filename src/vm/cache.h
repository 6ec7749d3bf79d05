/* host.cache's memory: one for all workers of the process. Keys with texts that live for a time,
 * bounded in bytes; the least recently used goes first. A key can be claimed, so that one coroutine
 * of the process computes its value while others wait.
 *
 * Any thread: a mutex inside. A port belongs to one loop's thread; its waiters' `ready` is called
 * there, from the loop. Times are CLOCK_BOOTTIME ms, given by the caller. */
#ifndef VM_CACHE_H
#define VM_CACHE_H

#include "base/buf.h"
#include "base/list.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

struct cache *cache_new(size_t max_bytes); /* NULL: no memory */
void cache_free(struct cache *c);          /* after all ports; NULL is fine */

struct cache_port {
    struct cache *cache;
    struct ev_loop *loop;
    ev_async wake;
    struct list woken; /* guarded by the cache's mutex */
};
void cache_port_open(struct cache_port *p, struct cache *c, struct ev_loop *loop);
void cache_port_close(struct cache_port *p); /* after its waiters are gone */

/* Who waits for a key that another computes. */
struct cache_waiter {
    struct list node;
    struct cache_port *port;
    void (*ready)(struct cache_waiter *);
};
void cache_waiter_init(struct cache_waiter *w, struct cache_port *p,
                       void (*ready)(struct cache_waiter *));
void cache_waiter_stop(struct cache_waiter *w); /* `ready` will not come; again: nothing */

/* Appends the value to `out`; false: there is none. */
bool cache_get(struct cache *c, const char *key, int64_t now_ms, struct buf *out);
/* -1: no memory, or larger than the cache. ttl_ms 0: until it is pushed out. */
int cache_set(struct cache *c, const char *key, const char *value, size_t len, int64_t ttl_ms,
              int64_t now_ms);
void cache_delete(struct cache *c, const char *key);
/* Adds to an integer, 0 if there is none; the time to live is kept, or begins with a new one.
 * -1: the value is no integer, or would not fit one. -2: no memory. */
int cache_add(struct cache *c, const char *key, int64_t by, int64_t ttl_ms, int64_t now_ms,
              int64_t *result);

/* For whoever wants to compute a value. `owner` is anything that is the caller's alone. */
enum cache_claim {
    CACHE_FOUND, /* the value is in `out` */
    CACHE_MINE,  /* nobody computes it: now the owner does, until cache_release */
    CACHE_WAIT,  /* somebody does: w->ready comes when that has ended, with a value or without */
    CACHE_OWN,   /* the owner itself does: it would wait for itself */
    CACHE_NO_MEMORY,
};
enum cache_claim cache_claim(struct cache *c, const char *key, const void *owner, int64_t now_ms,
                             struct cache_waiter *w, struct buf *out);
void cache_release(struct cache *c, const char *key, const void *owner);

#endif
