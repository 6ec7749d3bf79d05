/* A loop with a fetch client on it, turned until something has come of a call. */
#ifndef TESTS_FETCH_LOOP_H
#define TESTS_FETCH_LOOP_H

#include "net/fetch.h"

#include <ev.h>

static struct ev_loop *loop;
static struct fetch *client;

static inline void on_guard(struct ev_loop *l, ev_timer *w, int events)
{
    (void)l;
    (void)events;
    *(bool *)w->data = true;
}

static inline void turn_until(bool *flag, int limit_ms)
{
    bool late = false;
    ev_timer guard;
    ev_timer_init(&guard, on_guard, limit_ms / 1000.0, 0.);
    guard.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &guard);
    while (!*flag && !late) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(client);
    }
    ev_timer_stop(loop, &guard);
}

#endif
