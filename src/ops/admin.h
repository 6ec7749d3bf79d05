/* The admin server (contract, section 6): reads over TCP, reads and changes over a Unix socket, on
 * the core thread's loop. Core thread only.
 *
 * A port or a path that cannot be had is a warning: the queue is consumed all the same. Over TCP a
 * change needs the token of admin.token_file, which is read anew each time. */
#ifndef OPS_ADMIN_H
#define OPS_ADMIN_H

#include "base/err.h"

#include <stdbool.h>

struct admin;
struct ev_loop;
struct running;

struct admin_events {
    void *arg;
    void (*pause)(void *arg, bool paused);
    /* -1 with `e`: why not, for people. */
    int (*scale)(void *arg, int min, int max, struct err *e);
    void (*reload)(void *arg);
};

/* `queue_name` is for the socket's name. NULL: no memory. `r` must outlive it. */
struct admin *admin_new(struct ev_loop *loop, const struct running *r, const char *queue_name,
                        const struct admin_events *events);
void admin_free(struct admin *a);                 /* removes the socket's file; NULL is fine */
const char *admin_address(const struct admin *a); /* "127.0.0.1:9180"; NULL: nowhere */
void admin_turn(struct admin *a);                 /* after each turn of the loop; NULL is fine */

#endif
