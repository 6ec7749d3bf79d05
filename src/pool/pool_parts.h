/* The inside of pool.c and stuck.c. Core thread only. */
#ifndef POOL_POOL_PARTS_H
#define POOL_POOL_PARTS_H

#include "pool/pool.h"
#include "pool/worker.h"

#include <ev.h>

struct pool {
    struct pool_options options;
    struct pool_events events;
    struct ev_loop *loop;
    struct mailbox verdicts;
    struct mailbox tokens;
    ev_async state_changed;
    struct cache *cache;     /* host.cache, of all workers */
    struct worker **workers; /* `most` of them, and one that tries a new generation out */
    int most;
    struct bundle *bundle; /* that workers run */
    struct bundle *next;   /* that is to replace it, or NULL */
    enum pool_replacing replacing;
    struct err refused;
    int64_t patience_ends_ms;
    int wanted;
    bool up;      /* those of the start are ready */
    bool pending; /* some are starting or ending */

    struct { /* stuck.c */
        ev_timer watch;
        int64_t looked_ms;
        int out; /* jobs that are at workers */
        int count;
        int places;          /* taken again */
        int awaited;         /* the worker that starts in the place of a stuck one; -1: none */
        struct worker *left; /* those whose places were taken; by `older` */
    } stuck;
};

/* pool.c */
int pool_start(struct pool *p, int index, struct err *e);
void pool_retire(struct worker *w);
void pool_refuse(struct pool *p, const struct err *why); /* the generation that is to come */

/* stuck.c */
void stuck_init(struct pool *p);
void stuck_watch(struct pool *p);       /* something may get stuck from now on */
void stuck_turn(struct pool *p);        /* before those that have ended are joined */
bool stuck_has_ended(struct worker *w); /* and is joined */
bool stuck_join(struct pool *p);        /* those whose places were taken; false: not all */
extern const char stuck_likely[];

#endif
