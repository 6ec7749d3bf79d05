#include "cli/dev_servers.h"

#include <ev.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dev_servers {
    const struct sandbox_options *options;
    pthread_t thread;
    struct ev_loop *loop;
    ev_async nudge; /* `stop` was set */
    atomic_bool stop;
    sem_t started; /* then `error` and `address` are set */
    bool listening;
    struct err error;
    char address[64];
};

static void on_nudge(struct ev_loop *loop, ev_async *nudge, int events)
{
    (void)loop, (void)nudge, (void)events;
}

/* The sandbox is made here, since its timers count this thread's CPU time. */
static void *serve(void *arg)
{
    struct dev_servers *d = arg;
    struct sandbox *s = sandbox_new(d->loop, d->options, &d->error);
    d->listening = s != NULL;
    if (s)
        snprintf(d->address, sizeof d->address, "%s", sandbox_name(s));
    sem_post(&d->started);
    while (s && !atomic_load(&d->stop)) {
        ev_run(d->loop, EVRUN_ONCE);
        sandbox_turn(s);
    }
    if (s)
        sandbox_free(s);
    return NULL;
}

static void release(struct dev_servers *d)
{
    if (d->loop)
        ev_loop_destroy(d->loop);
    sem_destroy(&d->started);
    free(d);
}

/* Signals are the main thread's. */
static int start_thread(struct dev_servers *d)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&d->thread, NULL, serve, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

struct dev_servers *dev_servers_start(const struct sandbox_options *options, struct err *e)
{
    struct dev_servers *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, 0, "no memory for the stand-in servers");
        return NULL;
    }
    d->options = options;
    d->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    sem_init(&d->started, 0, 0);
    if (!d->loop) {
        err_set(e, 0, "no event loop for the stand-in servers: too many open files?");
        release(d);
        return NULL;
    }
    ev_async_init(&d->nudge, on_nudge);
    ev_async_start(d->loop, &d->nudge);
    int rc = start_thread(d);
    if (rc != 0) {
        err_set(e, 0, "no thread for the stand-in servers: %s", strerror(rc));
        release(d);
        return NULL;
    }
    while (sem_wait(&d->started) != 0)
        continue;
    if (d->listening)
        return d;
    *e = d->error;
    dev_servers_stop(d);
    return NULL;
}

void dev_servers_stop(struct dev_servers *d)
{
    if (!d)
        return;
    atomic_store(&d->stop, true);
    ev_async_send(d->loop, &d->nudge);
    pthread_join(d->thread, NULL);
    release(d);
}

const char *dev_servers_address(const struct dev_servers *d)
{
    return d->address;
}
