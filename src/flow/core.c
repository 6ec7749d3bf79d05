/* Puts the parts of the flow together. */
#include "flow/state.h"

#include <stdlib.h>

struct flow *flow_new(const struct flow_options *options, const struct seam *seam,
                      const struct flow_events *events)
{
    struct flow *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->options = *options;
    f->seam = *seam;
    f->events = *events;
    list_init(&f->calls);
    intake_init(f);
    target_init(f);
    limits_init(f);
    storm_init(&f->storm.policy, options->storm_window);
    failures_init(f);
    lease_init(f);
    claims_init(f);
    dlq_init(f);
    settle_init(f);
    abandon_init(f);
    drain_init(f);
    if (table_init(&f->in_hand) != 0 || keys_init(f) != 0 || table_init(&f->targets.by_name) != 0 ||
        until_empty_init(f) != 0 || group_init(f) != 0 || dispatch_init(f) != 0) {
        flow_free(f);
        return NULL;
    }
    return f;
}

static void stop_timers(struct flow *f)
{
    struct timer *timers[] = {&f->intake.timer,   &f->limits.tick,    &f->limits.again,
                              &f->leases.timer,   &f->settle.linger,  &f->settle.again,
                              &f->drain.cut,      &f->drain.deadline, &f->claims.timer,
                              &f->failures.timer, &f->abandoned.timer};
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        flow_stop(f, timers[i]);
}

/* No answers will come any more: what waited only for one is freed. */
static void forget_calls(struct flow *f)
{
    struct list *node;
    while ((node = list_first(&f->calls))) {
        struct batch_call *c = list_entry(node, struct batch_call, node);
        for (int i = 0; i < c->batch.count; i++) {
            struct message *m = c->batch.entries[i].tag;
            m->extending = false;
            if (m->dropped)
                message_drop(f, m);
        }
        batch_free(c);
    }
}

void flow_free(struct flow *f)
{
    if (!f)
        return;
    stop_timers(f);
    group_free(f);
    forget_calls(f);
    dlq_free(f);
    struct table_node *n;
    while (f->in_hand.buckets && (n = table_any(&f->in_hand)))
        message_drop(f, table_entry(n, struct message, by_id));
    table_free(&f->in_hand);
    if (f->keys.by_text.buckets)
        keys_end(f);
    if (f->targets.by_name.buckets)
        target_free(f);
    if (f->empty.retries.buckets)
        until_empty_free(f);
    dispatch_free(f);
    free(f);
}

void flow_start(struct flow *f)
{
    f->intake.started_ms = f->intake.alive_ms = f->dispatch.rate_ms = flow_now(f);
    intake_kick(f);
}

const struct flow_counts *flow_counts(const struct flow *f)
{
    return &f->counts;
}
