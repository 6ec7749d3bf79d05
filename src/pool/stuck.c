/* Workers that do not come back from C code, where no hook and no timer reaches (contract 5.8): a
 * string pattern that tries everything, for one. Each worker notes when it last looked up; one that
 * has not for `stuck_ms` is fenced: told to end if it ever comes back, given nothing more, and its
 * messages are the flow's to settle. A thread cannot be ended from outside and its state cannot be
 * closed under it, so its memory stays. The first one is replaced; then the process has to go. */
#include "pool/pool_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <malloc.h>
#include <stdlib.h>

enum {
    REPLACED_MAX = 1,
    LOOKS = 8, /* in stuck_ms */
    LOOK_MIN_MS = 20,
    LOOK_MAX_MS = 1000,
};

static int64_t look_ms(const struct pool *p)
{
    int64_t ms = p->options.stuck_ms / LOOKS;
    return ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms;
}

/* Takes the worker out of its place, which is free then. -1: no memory; it stays there. */
static int put_aside(struct pool *p, int i)
{
    struct worker *next = calloc(1, sizeof *next);
    if (!next)
        return -1;
    next->writer = 1 + p->most + ++p->stuck.places; /* the stuck one may come back to its own */
    p->workers[i]->older = p->stuck.left;
    p->stuck.left = p->workers[i];
    p->workers[i] = next;
    return 0;
}

static bool replace(struct pool *p, int i)
{
    struct err e = {0};
    if (p->stuck.count > REPLACED_MAX)
        return false;
    if (put_aside(p, i) != 0)
        err_set(&e, 0, "no memory");
    else if (pool_start(p, i, &e) == 0) {
        p->stuck.awaited = i;
        p->pending = true;
        return true;
    }
    log_with(LOG_ERROR, "no worker can be started in its place", LF_TEXT("error", e.text));
    return false;
}

const char stuck_likely[] =
    "a string pattern with several of .- .* .+ on a long text: split it, or look for plain text "
    "with string.find(s, text, 1, true)";

static void fence(struct pool *p, int i)
{
    struct worker *w = p->workers[i];
    p->stuck.count++;
    w->fenced = true;
    pool_retire(w);
    log_with(LOG_ERROR, "a worker is stuck in C code: it is fenced and sends nothing more",
             LF_INT("worker", i), LF_SECONDS("for_s", (double)w->unmoved_ms / 1000),
             LF_INT("stuck", p->stuck.count), LF_TEXT("likely", stuck_likely),
             LF_TEXT("next", p->stuck.count > REPLACED_MAX ? "the process drains and leaves"
                                                           : "another worker takes its place"));
    if (p->replacing == REPLACING_PREPARING && atomic_load(&w->handler.loading)) {
        struct err e = {0};
        err_set(&e, 0, "it does not come back from C code when it is loaded");
        pool_refuse(p, &e);
    }
    if (!p->up)
        return; /* the start fails: pool_state */
    p->events.stuck(p->events.arg, i);
    if (!replace(p, i))
        p->events.given_up(p->events.arg);
}

/* It only tries a new generation out, and nothing depends on it but that. */
static void give_trial_up(struct pool *p)
{
    struct err e = {0};
    pool_retire(p->workers[p->most]);
    put_aside(p, p->most);
    if (p->replacing != REPLACING_TRIAL)
        return;
    err_set(&e, 0,
            "it does not come back from C code; the thread that tried it stays until the host is "
            "restarted. Likely: %s",
            stuck_likely);
    pool_refuse(p, &e);
}

/* By its heartbeat, in time that the core itself was awake for: after the machine or the process
 * stood still everybody has been silent. */
static bool is_stuck(struct pool *p, struct worker *w, int64_t passed_ms)
{
    int64_t since_ms = atomic_load(&w->busy_since_ms);
    if (since_ms == 0 || since_ms != w->seen_since_ms) {
        w->seen_since_ms = since_ms;
        w->unmoved_ms = 0;
        return false;
    }
    w->unmoved_ms += passed_ms;
    return w->unmoved_ms >= p->options.stuck_ms;
}

/* False: nothing is under way in which one could get stuck. */
static bool look(struct pool *p, int64_t passed_ms)
{
    bool any =
        p->stuck.out > 0 || p->replacing == REPLACING_TRIAL || p->replacing == REPLACING_PREPARING;
    for (int i = 0; i <= p->most; i++) {
        struct worker *w = p->workers[i];
        if (!w->live || w->fenced)
            continue;
        any |= atomic_load(&w->state) == WORKER_STARTING || atomic_load(&w->busy_since_ms) != 0;
        if (!is_stuck(p, w, passed_ms))
            continue;
        if (i == p->most)
            give_trial_up(p);
        else
            fence(p, i);
    }
    return any;
}

static void on_watch(struct ev_loop *loop, ev_timer *t, int events)
{
    struct pool *p = t->data;
    int64_t now_ms = clock_boot_ms(), passed_ms = now_ms - p->stuck.looked_ms;
    (void)events;
    p->stuck.looked_ms = now_ms;
    bool any = look(p, passed_ms < 2 * look_ms(p) ? passed_ms : 2 * look_ms(p));
    if (!any)
        ev_timer_stop(loop, t); /* an idle host sleeps */
}

void stuck_watch(struct pool *p)
{
    if (p->options.stuck_ms == 0 || ev_is_active(&p->stuck.watch))
        return;
    p->stuck.looked_ms = clock_boot_ms();
    ev_now_update(p->loop);
    ev_timer_again(p->loop, &p->stuck.watch);
}

void stuck_init(struct pool *p)
{
    p->stuck.awaited = -1;
    ev_init(&p->stuck.watch, on_watch);
    p->stuck.watch.data = p;
    p->stuck.watch.repeat = (double)look_ms(p) / 1000;
}

/* ---- what comes of it ---- */

/* The one in its place: once it is ready, or wanted no more, all is as before. */
static void look_at_awaited(struct pool *p)
{
    int i = p->stuck.awaited;
    if (i < 0)
        return;
    struct worker *w = p->workers[i];
    int state = atomic_load(&w->state);
    bool unwanted = atomic_load(&w->stop);
    if (w->live && state == WORKER_STARTING && !unwanted)
        return;
    p->stuck.awaited = -1;
    if (w->live && (state == WORKER_READY || unwanted))
        p->events.back(p->events.arg, i);
    else
        p->events.given_up(p->events.arg);
}

bool stuck_has_ended(struct worker *w)
{
    if (!w->live || (atomic_load(&w->done) && worker_join(w, 0)))
        w->live = false;
    return !w->live;
}

bool stuck_join(struct pool *p)
{
    for (struct worker **at = &p->stuck.left, *w; (w = *at);) {
        if (!stuck_has_ended(w)) {
            at = &w->older;
            continue;
        }
        *at = w->older;
        free(w);
        malloc_trim(0); /* its Lua state was most of it */
    }
    return !p->stuck.left;
}

void stuck_turn(struct pool *p)
{
    look_at_awaited(p);
    stuck_join(p);
}

int pool_stuck(const struct pool *p)
{
    return p->stuck.count;
}
