/* The shared store that dedupe.store names: its table looked up, and claims in it. Core thread. */
#ifndef OPS_SHARED_STORE_H
#define OPS_SHARED_STORE_H

#include "aws/creds.h"
#include "aws/sqs.h"
#include "base/err.h"
#include "conf/conf.h"
#include "ops/table_lookup.h"
#include "seam.h"

struct claim_table;
struct ev_loop;

struct shared_store {
    struct dynamodb *table;
    struct claim_table *claims; /* NULL: there is no shared store */
    struct table_lookup lookup;
};

/* -1 with `e` (EXIT_CONFIG): no region can be told, or the endpoint is no URL. Begins to look the
 * table up; go on turning until lookup.ended. */
int shared_store_begin(struct shared_store *s, const struct conf *c, struct ev_loop *loop,
                       struct fetch *fetch, struct creds *creds, const struct sqs *sqs,
                       struct err *e);
/* The lookup has ended: -1 with `e`, or what is in doubt is logged and the claims are made. The
 * queue's URL is known. */
int shared_store_open(struct shared_store *s, const struct conf *c, const struct sqs *sqs,
                      const struct timers *timers, const struct random *random, struct err *e);
/* Before the fetch is freed. Of one that was never begun: nothing. */
void shared_store_free(struct shared_store *s);

struct shared shared_store_seam(const struct shared_store *s); /* without `ops` if there is none */

#endif
