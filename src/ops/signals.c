#include "ops/signals.h"

#include <signal.h>
#include <unistd.h>

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)loop;
    (void)revents;
    struct signals *s = w->data;
    const struct signals_events *e = &s->events;
    switch (w->signum) {
    case SIGHUP: /* also what the kernel says when the window is closed */
        if (s->terminal && !isatty(STDIN_FILENO))
            e->stop(e->arg);
        else
            e->reload(e->arg);
        break;
    case SIGUSR1:
        e->report(e->arg);
        break;
    case SIGTSTP:
        e->pause(e->arg, true);
        break;
    case SIGCONT:
        e->pause(e->arg, false);
        break;
    default:
        e->stop(e->arg);
    }
}

static void watch(struct signals *s, int signum)
{
    ev_signal *w = &s->watchers[s->count++];
    ev_signal_init(w, on_signal, signum);
    w->data = s;
    ev_signal_start(s->loop, w);
    ev_unref(s->loop);
}

void signals_start(struct signals *s, struct ev_loop *loop, const struct signals_events *events)
{
    s->events = *events;
    s->loop = loop;
    s->count = 0;
    watch(s, SIGTERM);
    watch(s, SIGINT);
    watch(s, SIGHUP);
    watch(s, SIGUSR1);
    s->terminal = isatty(STDIN_FILENO);
    if (s->terminal)
        return; /* at a terminal Ctrl-Z suspends, as everywhere */
    watch(s, SIGTSTP);
    watch(s, SIGCONT);
}

void signals_stop(struct signals *s)
{
    for (int i = 0; i < s->count; i++) {
        ev_ref(s->loop);
        ev_signal_stop(s->loop, &s->watchers[i]);
    }
    s->count = 0;
}
