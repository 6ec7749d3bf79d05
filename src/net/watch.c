#include "net/watch.h"

#include <stdlib.h>

struct watch_socket {
    struct list node;
    ev_io io;
};

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct watch *w = io->data;
    w->ready(w->owner, io->fd,
             (events & EV_READ ? WATCH_READ : 0) | (events & EV_WRITE ? WATCH_WRITE : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct watch_timer *t = timer->data;
    t->due(t);
}

void watch_init(struct watch *w, struct ev_loop *loop, void *owner)
{
    w->loop = loop;
    w->owner = owner;
    list_init(&w->sockets);
    list_init(&w->spare);
}

static void free_sockets(struct watch *w, struct list *sockets)
{
    struct list *node;
    while ((node = list_pop(sockets))) {
        struct watch_socket *s = list_entry(node, struct watch_socket, node);
        ev_io_stop(w->loop, &s->io);
        free(s);
    }
}

void watch_free(struct watch *w)
{
    free_sockets(w, &w->sockets);
    free_sockets(w, &w->spare);
}

void watch_timer_init(struct watch_timer *t, void (*due)(struct watch_timer *))
{
    ev_init(&t->timer, on_timer);
    t->timer.data = t;
    t->due = due;
    ev_set_priority(&t->timer, -1);
}

void watch_timer_start(struct watch *w, struct watch_timer *t, long after_ms)
{
    ev_timer_stop(w->loop, &t->timer);
    if (after_ms > 0)
        ev_now_update(w->loop); /* libev counts from its cached time, callers from now */
    ev_timer_set(&t->timer, (double)after_ms / 1000.0, 0.);
    ev_timer_start(w->loop, &t->timer);
}

void watch_timer_stop(struct watch *w, struct watch_timer *t)
{
    ev_timer_stop(w->loop, &t->timer);
}

struct watch_socket *watch_socket(struct watch *w, struct watch_socket *s, int fd, int events)
{
    if (!s) {
        struct list *node = list_pop(&w->spare);
        s = node ? list_entry(node, struct watch_socket, node) : calloc(1, sizeof *s);
        if (!s)
            return NULL;
        ev_init(&s->io, on_socket);
        s->io.data = w;
        list_init(&s->node);
        list_append(&w->sockets, &s->node);
    }
    ev_io_stop(w->loop, &s->io);
    ev_io_set(&s->io, fd,
              (events & WATCH_READ ? EV_READ : 0) | (events & WATCH_WRITE ? EV_WRITE : 0));
    ev_io_start(w->loop, &s->io);
    return s;
}

void watch_end(struct watch *w, struct watch_socket *s)
{
    ev_io_stop(w->loop, &s->io);
    list_remove(&s->node);
    list_append(&w->spare, &s->node);
}
