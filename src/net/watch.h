/* Sockets and timers on a libev loop, for a library that asks for events (libcurl). The
 * loop's thread only. Inside net/ only. */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include "base/list.h"

#include <ev.h>

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

struct watch {
    struct ev_loop *loop;
    void *owner;
    void (*ready)(void *owner, int fd, int events); /* WATCH_ bits */
    struct list sockets;
    struct list spare;
};

struct watch_timer {
    ev_timer timer;
    void (*due)(struct watch_timer *);
};

struct watch_socket; /* one for each descriptor; the library keeps the pointer */

void watch_init(struct watch *w, struct ev_loop *loop, void *owner);
/* Stops and frees the sockets that are left; timers are their owners'. */
void watch_free(struct watch *w);

/* A socket's event that is there already goes before a timer that is due. */
void watch_timer_init(struct watch_timer *t, void (*due)(struct watch_timer *));
void watch_timer_start(struct watch *w, struct watch_timer *t, long after_ms); /* or again */
void watch_timer_stop(struct watch *w, struct watch_timer *t);

/* Starts watching, or changes what for (`s` not NULL). NULL: no memory. */
struct watch_socket *watch_socket(struct watch *w, struct watch_socket *s, int fd, int events);
void watch_end(struct watch *w, struct watch_socket *s);

#endif
