/* The first handler: the workers load it before anything is received. */
#include "base/exit.h"
#include "ops/handler_load.h"
#include "ops/host_parts.h"
#include "pool/pool.h"
#include "vm/bundle.h"

static int wait_for_pool(struct host *h, struct err *e)
{
    enum pool_state state;
    while ((state = pool_state(h->pool, e)) == POOL_STARTING && !h->stopping)
        host_turn(h);
    if (state == POOL_FAILED)
        e->code = EXIT_CONFIG;
    return state == POOL_FAILED ? -1 : 0;
}

static int start(struct host *h, struct bundle *b, struct err *e)
{
    if (handler_load(h->conf, b, e) != 0 || host_make_pool(h, b, e) != 0)
        return -1;
    return wait_for_pool(h, e);
}

/* Only what an author can mend by saving is waited for, and not behind a thread that is stuck. */
static bool can_be_mended(struct host *h, const struct err *e)
{
    if (!h->options->mends || h->stopping || e->code != EXIT_CONFIG ||
        pool_free(h->pool) != POOL_FREED)
        return false;
    h->pool = h->running.pool = NULL;
    return true;
}

static void wait_for_save(struct host *h)
{
    while (!h->reload.wanted && !h->stopping)
        host_turn(h);
    h->reload.wanted = false;
}

int host_start_handler(struct host *h, struct err *e)
{
    struct bundle *b = bundle_new(h->options->handler_path, h->conf->handler_json, 1);
    if (!b)
        return err_set(e, EXIT_FAILED, "no memory to load a handler");
    while (!b || start(h, b, e) != 0) {
        if (!can_be_mended(h, e)) {
            bundle_unref(b);
            return -1;
        }
        host_tell_up(h);
        reload_first_failed(&h->reload, b, e);
        h->reload.ended(h->reload.arg);
        wait_for_save(h);
        if (h->stopping)
            return 0;
        *e = (struct err){0};
        b = reload_read(&h->reload, e);
    }
    reload_first(&h->reload, b);
    if (h->reload.ended)
        h->reload.ended(h->reload.arg);
    return 0;
}
