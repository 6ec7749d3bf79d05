/* --until-empty: when is the work done? Once a whole poll came back empty, nothing is in hand,
 * no target is down, and no retry of this run's own is due soon (contract, section 2). Nor what a
 * receive may have carried whose answer was lost: the queue hides that as long as any other. */
#include "flow/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GRACE_MS = 2000 }; /* SQS shows a message a moment after its visibility ended */
#define LONG_AGO_MS (INT64_MIN / 2)

struct own_retry {
    struct table_node by_id;
    int64_t due_ms;
    char id[];
};

int until_empty_init(struct flow *f)
{
    f->empty.unheard_until_ms = LONG_AGO_MS;
    return table_init(&f->empty.retries);
}

static void forget(struct flow *f, struct own_retry *r)
{
    table_remove(&f->empty.retries, &r->by_id);
    free(r);
}

void until_empty_free(struct flow *f)
{
    struct table_node *n;
    while ((n = table_any(&f->empty.retries)))
        forget(f, table_entry(n, struct own_retry, by_id));
    table_free(&f->empty.retries);
}

void until_empty_retry(struct flow *f, const char *id, int visibility_s)
{
    if (!f->options.until_empty)
        return;
    size_t len = strlen(id);
    struct own_retry *r = calloc(1, sizeof *r + len + 1);
    if (!r)
        return; /* then this one is not waited for */
    memcpy(r->id, id, len + 1);
    r->due_ms = flow_now(f) + visibility_s * INT64_C(1000);
    table_add(&f->empty.retries, &r->by_id, r->id);
}

void until_empty_received(struct flow *f, const char *id)
{
    struct table_node *n = table_find(&f->empty.retries, id);
    if (n)
        forget(f, table_entry(n, struct own_retry, by_id));
}

/* Nothing tells what it handed out. One that was answered may be a repetition of libcurl's. */
void until_empty_lost_receive(struct flow *f, const struct queue_receive *r)
{
    if (r->result.unheard)
        f->empty.unheard_until_ms = flow_now(f) + r->visibility_s * INT64_C(1000);
}

/* A FIFO queue was asked again under the same attempt id, and has answered. */
void until_empty_heard_after_all(struct flow *f)
{
    if (f->intake.unheard_count == 0)
        f->empty.unheard_until_ms = LONG_AGO_MS;
}

struct outlook {
    int later;
    int64_t next_ms; /* earliest due time, boot clock; INT64_MAX: there is none */
};

/* What was due before this empty poll began has gone elsewhere: to another host, or by the
 * queue's own redrive. It is forgotten. */
static struct outlook look_ahead(struct flow *f)
{
    struct outlook o = {.next_ms = INT64_MAX};
    int64_t poll_ms = f->intake.policy.last_ms;
    if (f->empty.unheard_until_ms + GRACE_MS >= poll_ms)
        o.next_ms = f->empty.unheard_until_ms;
    for (size_t i = 0; i <= f->empty.retries.mask; i++) {
        for (struct table_node *n = f->empty.retries.buckets[i], *next; n; n = next) {
            next = n->next;
            struct own_retry *r = table_entry(n, struct own_retry, by_id);
            if (r->due_ms + GRACE_MS < poll_ms) {
                forget(f, r);
                continue;
            }
            o.later++;
            if (r->due_ms < o.next_ms)
                o.next_ms = r->due_ms;
        }
    }
    return o;
}

static void leave(struct flow *f, const struct outlook *o)
{
    if (o->next_ms == INT64_MAX) {
        flow_finish(f, FLOW_DRAINED, "the queue is empty");
        return;
    }
    char text[120], when[16];
    int64_t wall_ms = f->seam.clock.ops->wall_ms(f->seam.clock.self);
    time_t at = (time_t)((wall_ms + o->next_ms - flow_now(f)) / 1000);
    struct tm t;
    localtime_r(&at, &t);
    strftime(when, sizeof when, "%H:%M", &t);
    if (o->later > 0)
        snprintf(text, sizeof text, "%d left for later, next at %s", o->later, when);
    else
        snprintf(text, sizeof text,
                 "a receive went unanswered: what it may have brought is there again at %s", when);
    flow_finish(f, FLOW_LEFT_LATER, text);
}

void until_empty_poll(struct flow *f, bool came_empty)
{
    if (!f->options.until_empty || f->drain.draining || !came_empty)
        return;
    if (f->in_hand.count > 0 || f->claims.open > 0 || f->targets.down > 0 || f->intake.open > 0)
        return;
    struct outlook o = look_ahead(f);
    if (o.next_ms != INT64_MAX && o.next_ms - flow_now(f) <= f->options.patience_ms)
        return;
    leave(f, &o);
}
