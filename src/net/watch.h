/* Sockets and one timer on a libev loop, for a library that asks for events (libcurl). The
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
    void (*due)(void *owner);
    ev_timer timer;
    struct list sockets;
    struct list spare;
};

struct watch_socket; /* one for each descriptor; the library keeps the pointer */

void watch_init(struct watch *w, struct ev_loop *loop, void *owner);
/* Stops and frees what is left. */
void watch_free(struct watch *w);

/* The one timer: in so many milliseconds, -1: not at all. An event that is there already goes
 * before it. */
void watch_timer(struct watch *w, long after_ms);

/* Starts watching, or changes what for (`s` not NULL). NULL: no memory. */
struct watch_socket *watch_socket(struct watch *w, struct watch_socket *s, int fd, int events);
void watch_end(struct watch *w, struct watch_socket *s);

#endif
