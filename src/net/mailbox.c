#include "net/mailbox.h"

/* The owner's loop only has to come out of its wait: it takes the mail once a turn. */
static void on_wake(struct ev_loop *loop, ev_async *w, int events)
{
    (void)loop;
    (void)w;
    (void)events;
}

void mailbox_init(struct mailbox *m, struct ev_loop *loop)
{
    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->items);
    m->loop = loop;
    ev_async_init(&m->wake, on_wake);
    ev_async_start(loop, &m->wake);
}

void mailbox_free(struct mailbox *m)
{
    ev_async_stop(m->loop, &m->wake);
    pthread_mutex_destroy(&m->lock);
}

void mailbox_post(struct mailbox *m, struct list *items)
{
    if (list_empty(items))
        return;
    pthread_mutex_lock(&m->lock);
    bool was_empty = list_empty(&m->items);
    list_splice(&m->items, items);
    pthread_mutex_unlock(&m->lock);
    if (was_empty)
        ev_async_send(m->loop, &m->wake);
}

void mailbox_post_one(struct mailbox *m, struct list *node)
{
    struct list items;
    list_init(&items);
    list_append(&items, node);
    mailbox_post(m, &items);
}

bool mailbox_take(struct mailbox *m, struct list *out)
{
    pthread_mutex_lock(&m->lock);
    bool any = !list_empty(&m->items);
    list_splice(out, &m->items);
    pthread_mutex_unlock(&m->lock);
    return any;
}
