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
    int exit_code;
};

/* Each makes a part, in this order; -1 with `e`. The admin server comes first, so that health can
 * be asked for while the handler is loaded. */
int host_make_admin(struct host *h, const struct admin_events *events, struct err *e);
int host_make_clients(struct host *h, struct err *e);
int host_make_tokens(struct host *h, struct err *e);
int host_make_pool(struct host *h, struct err *e);
/* When the queue has been looked up. */
int host_make_flow(struct host *h, struct err *e);

#endif
