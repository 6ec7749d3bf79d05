/* The inside of host.c and host_parts.c: every part of the running program. */
#ifndef OPS_HOST_PARTS_H
#define OPS_HOST_PARTS_H

#include "base/rand.h"
#include "board.h"
#include "ops/admin.h"
#include "ops/host.h"
#include "ops/queue_lookup.h"
#include "ops/reload.h"
#include "ops/running.h"
#include "ops/scaler.h"
#include "ops/shared_store.h"
#include "ops/signals.h"

enum { HOST_START_PATIENCE_MS = 60000 }; /* contract, section 2: then exit 69 */

struct host {
    const struct host_options *options;
    const struct conf *conf;
    struct running running;
    struct metrics *metrics;
    struct admin *admin; /* NULL: none, as with --until-empty */
    struct ev_loop *loop;
    struct signals signals;
    struct fetch *fetch;
    struct creds *creds;
    struct sqs *sqs;
    struct reload reload;
    struct file_watch *watch; /* NULL: no --watch */
    struct pool *pool;
    struct tokens *tokens;
    struct dedupe *dedupe;
    struct shared_store shared;
    struct rng rng;
    struct flow *flow;
    struct board board;
    struct scaler scaler;
    char *couple;
    struct queue_lookup lookup;
    bool stopping; /* a signal before there was a flow */
    bool ended;
    bool told_up;
    int exit_code;
};

/* Each makes a part, in this order; -1 with `e`. The admin server comes first, so that health can
 * be asked for while the handler is loaded. */
int host_make_admin(struct host *h, const struct admin_events *events, struct err *e);
int host_make_clients(struct host *h, struct err *e);
int host_make_tokens(struct host *h, struct err *e);
int host_make_pool(struct host *h, struct bundle *handler, struct err *e);
/* When the queue has been looked up. */
int host_make_flow(struct host *h, struct err *e);

/* Loads the handler and makes the pool with it, ready to take jobs, or stopping. -1 with `e`. With
 * `mends` a handler that cannot be had is told, and tried again whenever a reload is asked for. */
int host_start_handler(struct host *h, struct err *e);

/* What whoever started the host wants to be told once. */
void host_tell_up(struct host *h);

/* A turn of the loop. */
void host_turn(struct host *h);

#endif
