/* A queue of list nodes from any thread to the thread of one loop.
 *
 * Posting takes the lock, appends, and wakes the loop only when the box was empty; the
 * receiver takes the whole list. Wakes are paid per batch. */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include "base/list.h"

#include <ev.h>
#include <pthread.h>

struct mailbox {
    pthread_mutex_t lock;
    struct list items;
    struct ev_loop *loop;
    ev_async wake;
};

/* `loop`'s thread only. The wake-up only ends ev_run(EVRUN_ONCE); the owner then takes. */
void mailbox_init(struct mailbox *m, struct ev_loop *loop);
void mailbox_free(struct mailbox *m); /* must be empty */

/* Any thread. `items` is empty afterwards. */
void mailbox_post(struct mailbox *m, struct list *items);
void mailbox_post_one(struct mailbox *m, struct list *node);

/* The owner. Appends what has come to `out`; false if nothing had. */
bool mailbox_take(struct mailbox *m, struct list *out);

#endif
