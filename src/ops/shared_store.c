#include "ops/shared_store.h"

#include "aws/claim_table.h"
#include "base/buf.h"
#include "base/exit.h"
#include "base/log.h"

#include <string.h>

/* A store that is away at the start is waited for no longer than this: dedupe.fail decides what
 * becomes of messages, from the first one on. */
enum { PATIENCE_MS = 3000 };

int shared_store_begin(struct shared_store *s, const struct conf *c, struct ev_loop *loop,
                       struct fetch *fetch, struct creds *creds, const struct sqs *sqs,
                       struct err *e)
{
    const struct dynamodb_options o = {.table = conf_dedupe_table(c),
                                       .endpoint = c->dedupe.endpoint,
                                       .region =
                                           c->dedupe.region ? c->dedupe.region : sqs_region(sqs)};
    s->table = dynamodb_new(&o, fetch, creds, e);
    if (!s->table)
        return -1;
    table_lookup_start(&s->lookup, loop, s->table, PATIENCE_MS);
    return 0;
}

/* "eu-west-1/1234/registrations": what every host says of one queue, whatever name or proxy it
 * reaches it by. */
static void add_scope(struct buf *b, const struct sqs *sqs)
{
    const char *path = strchr(strstr(sqs_queue_url(sqs), "://") + 3, '/');
    buf_str(b, sqs_region(sqs));
    buf_str(b, path);
}

int shared_store_open(struct shared_store *s, const struct conf *c, const struct sqs *sqs,
                      const struct timers *timers, const struct random *random, struct err *e)
{
    struct buf scope;
    *e = s->lookup.error;
    if (e->code)
        return -1;
    if (s->lookup.doubt[0])
        log_warn("%s", s->lookup.doubt);
    buf_init(&scope);
    add_scope(&scope, sqs);
    const struct claim_table_options o = {.scope = scope.data,
                                          .remember_ms = (int64_t)(c->dedupe.ttl * 1000)};
    if (!scope.failed)
        s->claims = claim_table_new(&o, s->table, timers, random);
    buf_free(&scope);
    return s->claims ? 0 : err_set(e, EXIT_FAILED, "no memory");
}

void shared_store_free(struct shared_store *s)
{
    if (!s->table)
        return;
    table_lookup_stop(&s->lookup);
    claim_table_free(s->claims);
    dynamodb_free(s->table);
    *s = (struct shared_store){0};
}

struct shared shared_store_seam(const struct shared_store *s)
{
    return s->claims ? claim_table_seam(s->claims) : (struct shared){0};
}
