#include "ops/reload.h"

#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "conf/changes.h"
#include "pool/pool.h"
#include "vm/bundle.h"

#include <stdlib.h>

void reload_first(struct reload *r, struct bundle *running)
{
    bundle_unref(r->failed);
    r->failed = NULL;
    r->running = running;
    r->generation = bundle_generation(running);
    if (r->state == RELOAD_REFUSED)
        r->state = RELOAD_DONE;
}

void reload_first_failed(struct reload *r, struct bundle *b, const struct err *why)
{
    r->state = RELOAD_REFUSED;
    r->error = *why;
    if (b) {
        bundle_unref(r->failed);
        r->failed = b;
    }
    log_with(LOG_ERROR, "the handler does not load: waiting until it is saved",
             LF_TEXT("handler", r->handler_path), LF_BLOCK("error", why->text));
}

void reload_free(struct reload *r)
{
    bundle_unref(r->running);
    bundle_unref(r->trying);
    bundle_unref(r->failed);
    r->running = r->trying = r->failed = NULL;
}

void reload_ask(struct reload *r, const char *why)
{
    r->wanted = true;
    r->why = why;
}

enum reload_state reload_state(const struct reload *r)
{
    return r->wanted ? RELOAD_BUSY : r->state;
}

static void ended(struct reload *r)
{
    if (r->ended)
        r->ended(r->arg);
}

static void refused(struct reload *r, const struct err *e)
{
    r->state = RELOAD_REFUSED;
    r->error = *e;
    bundle_unref(r->failed);
    r->failed = r->trying;
    r->trying = NULL;
    if (pool_two(r->pool)) { /* its thread goes on, and may still read files */
        bundle_unref(r->failed);
        r->failed = NULL;
    }
    log_with(LOG_ERROR, "not reloaded: the handler that runs goes on",
             LF_TEXT("handler", r->handler_path), LF_INT("gen", r->generation),
             LF_TEXT("asked_by", r->why), LF_BLOCK("error", e->text));
    ended(r);
}

static void done(struct reload *r)
{
    r->state = RELOAD_DONE;
    bundle_unref(r->running);
    bundle_unref(r->failed);
    r->running = r->trying;
    r->trying = r->failed = NULL;
    r->generation = bundle_generation(r->running);
    log_with(LOG_INFO, "reloaded", LF_TEXT("handler", r->handler_path),
             LF_INT("gen", r->generation), LF_TEXT("asked_by", r->why),
             LF_SECONDS("took_s", (double)(clock_boot_ms() - r->began_ms) / 1000));
    ended(r);
}

/* Everything but the handler block is as it was at the start. */
static void say_what_stays(const struct reload *r, const struct conf *now)
{
    struct buf keys;
    buf_init(&keys);
    if (conf_changes(r->conf, now, &keys) > 0)
        log_with(LOG_WARN, "changed in the configuration, and takes a restart",
                 LF_TEXT("keys", keys.data), LF_TEXT("file", now->file));
    buf_free(&keys);
}

struct bundle *reload_read(const struct reload *r, struct err *e)
{
    struct conf now = {0};
    struct bundle *b = NULL;
    if (conf_load(&now, r->request, e) == 0) {
        say_what_stays(r, &now);
        b = bundle_new(r->handler_path, now.handler_json, r->generation + 1);
        if (!b)
            err_set(e, EXIT_FAILED, "no memory");
    }
    conf_free(&now);
    return b;
}

static int begin(struct reload *r, struct err *e)
{
    r->trying = reload_read(r, e);
    return r->trying ? pool_replace(r->pool, bundle_ref(r->trying), e) : -1;
}

void reload_turn(struct reload *r)
{
    struct err e = {0};
    switch (pool_replacing(r->pool, &e)) {
    case REPLACING_DONE:
        done(r);
        break;
    case REPLACING_REFUSED:
        refused(r, &e);
        break;
    case REPLACING_NONE:
        break;
    default:
        return;
    }
    if (!r->wanted || pool_two(r->pool))
        return;
    r->wanted = false;
    r->state = RELOAD_BUSY;
    r->began_ms = clock_boot_ms();
    if (begin(r, &e) != 0)
        refused(r, &e);
}
