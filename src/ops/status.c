#include "ops/status.h"

#include "base/clock.h"
#include "base/version.h"
#include "flow/flow.h"
#include "ops/reload.h"
#include "ops/running.h"
#include "pool/pool.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- members of an object, each after a comma but for the first ---- */

static void put_name(struct buf *b, const char *name)
{
    char last = b->len ? b->data[b->len - 1] : '{';
    buf_printf(b, "%s\"%s\":", last == '{' || last == '[' ? "" : ",", name);
}

static void put_text(struct buf *b, const char *name, const char *text)
{
    put_name(b, name);
    if (text)
        buf_json(b, text, strlen(text));
    else
        buf_str(b, "null");
}

static void put_int(struct buf *b, const char *name, int64_t value)
{
    put_name(b, name);
    buf_printf(b, "%" PRId64, value);
}

static void put_bool(struct buf *b, const char *name, bool value)
{
    put_name(b, name);
    buf_str(b, value ? "true" : "false");
}

/* Below zero: not known. */
static void put_seconds(struct buf *b, const char *name, int64_t ms)
{
    put_name(b, name);
    if (ms < 0)
        buf_str(b, "null");
    else
        buf_printf(b, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

static void put_time(struct buf *b, const char *name, int64_t wall_ms)
{
    char text[25];
    if (wall_ms > 0)
        clock_format(wall_ms, text);
    put_text(b, name, wall_ms > 0 ? text : NULL);
}

static void open_object(struct buf *b, const char *name)
{
    put_name(b, name);
    buf_char(b, '{');
}

/* ---- the host ---- */

static void put_hold(struct buf *b, const struct flow_view *v)
{
    if (!v->hold) {
        put_text(b, "hold", NULL);
        return;
    }
    open_object(b, "hold");
    put_text(b, "reason", v->hold);
    put_text(b, "target", v->hold_target);
    put_seconds(b, "for_s", v->hold_ms);
    buf_char(b, '}');
}

static void put_in_hand(struct buf *b, const struct flow_view *v)
{
    open_object(b, "in_hand");
    put_int(b, "all", v->in_hand);
    put_int(b, "buffered", v->buffered);
    put_int(b, "running", v->running);
    put_int(b, "parked", v->parked);
    put_int(b, "waiting", v->waiting);
    put_int(b, "copying", v->copying);
    put_int(b, "settling", v->settling);
    buf_char(b, '}');
}

static void put_workers(struct buf *b, const struct flow_view *v, int stuck)
{
    open_object(b, "workers");
    put_int(b, "all", v->workers);
    put_int(b, "busy", v->workers_busy);
    put_int(b, "slots", v->slots);
    put_int(b, "slots_busy", v->running);
    put_int(b, "stuck", stuck);
    buf_char(b, '}');
}

static void put_counts(struct buf *b, const struct flow_counts *c)
{
    open_object(b, "counts");
    put_int(b, "received", c->received);
    put_int(b, "acked", c->acked);
    put_int(b, "retried", c->retried);
    put_int(b, "rejected", c->rejected);
    put_int(b, "released", c->released);
    put_int(b, "duplicates", c->duplicates);
    put_int(b, "lease_lost", c->lease_lost);
    buf_char(b, '}');
}

static void put_flow(struct buf *b, const struct running *r)
{
    const struct flow *f = r->flow;
    struct flow_view v;
    flow_look(f, &v);
    const char *state = v.draining    ? "stopping"
                        : v.hold      ? "held"
                        : !v.answered ? "starting"
                                      : "receiving";
    put_text(b, "state", state);
    put_hold(b, &v);
    put_bool(b, "paused", v.paused);
    put_time(b, "last_receive", v.last_answer_wall);
    put_int(b, "polls_open", v.polls_open);
    put_in_hand(b, &v);
    put_workers(b, &v, pool_stuck(r->pool));
    put_counts(b, flow_counts(f));
}

/* ---- lists ---- */

static void open_item(struct buf *b)
{
    if (b->len && b->data[b->len - 1] == '}')
        buf_char(b, ',');
    buf_char(b, '{');
}

void status_workers(const struct running *r, struct buf *out)
{
    struct worker_view v;
    buf_char(out, '[');
    for (int i = 0; r->pool && pool_look(r->pool, i, &v); i++) {
        open_item(out);
        put_int(out, "worker", i);
        put_text(out, "state", v.state);
        put_int(out, "running", r->flow ? flow_worker_running(r->flow, i) : 0);
        put_seconds(out, "in_one_turn_s", v.in_one_turn_ms);
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void add_target(void *arg, const struct target_view *t)
{
    static const char *const states[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_TRYING] = "trying", [BREAKER_OPEN] = "open"};
    struct buf *out = arg;
    open_item(out);
    put_text(out, "target", t->name);
    put_text(out, "state", states[t->breaker]);
    put_int(out, "parked", t->parked);
    put_seconds(out, "down_s", t->down_ms);
    put_int(out, "limit", t->limit);
    put_text(out, "limit_why", t->limit_why);
    put_seconds(out, "wait_s", t->wait_ms);
    put_seconds(out, "slowdown", (int64_t)(t->slowdown * 1000));
    buf_char(out, '}');
}

void status_targets(const struct running *r, struct buf *out)
{
    buf_char(out, '[');
    if (r->flow)
        flow_each_target(r->flow, add_target, out);
    buf_char(out, ']');
}

/* ---- all of it ---- */

static void put_reload(struct buf *out, const struct reload *r)
{
    static const char *const states[] = {[RELOAD_NEVER] = NULL,
                                         [RELOAD_BUSY] = "busy",
                                         [RELOAD_DONE] = "done",
                                         [RELOAD_REFUSED] = "refused"};
    enum reload_state state = reload_state(r);
    put_text(out, "reload", states[state]);
    put_text(out, "reload_error", state == RELOAD_REFUSED ? r->error.text : NULL);
}

void status_host(const struct running *r, struct buf *out)
{
    char config[PATH_MAX];
    buf_char(out, '{');
    put_text(out, "version", HOST_VERSION);
    put_int(out, "pid", getpid());
    put_text(out, "queue", r->queue_url);
    put_text(out, "endpoint", r->endpoint);
    put_text(out, "handler", r->handler_path);
    put_text(out, "config", r->conf->file ? realpath(r->conf->file, config) : NULL);
    put_int(out, "generation", r->reload->generation);
    put_reload(out, r->reload);
    put_seconds(out, "up_s", clock_boot_ms() - r->started_ms);
    if (r->flow)
        put_flow(out, r);
    else
        put_text(out, "state", r->stopping ? "stopping" : "starting");
    put_name(out, "targets");
    status_targets(r, out);
    put_name(out, "worker_list");
    status_workers(r, out);
    buf_char(out, '}');
}
