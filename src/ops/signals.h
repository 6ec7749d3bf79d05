/* What signals mean (contract, section 2), delivered as calls from the loop. Core thread. */
#ifndef OPS_SIGNALS_H
#define OPS_SIGNALS_H

#include <ev.h>
#include <stdbool.h>

struct signals_events {
    void *arg;
    void (*stop)(void *arg);               /* TERM, INT, HUP of a terminal that is gone */
    void (*reload)(void *arg);             /* HUP */
    void (*report)(void *arg);             /* USR1 */
    void (*pause)(void *arg, bool paused); /* TSTP, CONT; only without a terminal */
};

struct signals {
    struct signals_events events;
    struct ev_loop *loop;
    ev_signal watchers[6];
    int count;
    bool terminal; /* there was one at the start */
};

void signals_start(struct signals *s, struct ev_loop *loop, const struct signals_events *events);
void signals_stop(struct signals *s);

#endif
