/* How the flow looks from outside: for the log, `host status`, health and metrics. Reads only. */
#include "flow/state.h"

static const struct target *longest_down(const struct flow *f)
{
    const struct target *found = NULL;
    for (size_t i = 0; i <= f->targets.by_name.mask; i++)
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            const struct target *t = table_entry(n, struct target, by_name);
            if (t->down && (!found || t->since_ms < found->since_ms))
                found = t;
        }
    return found;
}

/* The first link that lets nothing through, in the order of intake.c's may_hold. */
static void look_at_hold(const struct flow *f, struct flow_view *v)
{
    const struct target *down = longest_down(f);
    int64_t now = flow_now(f);
    v->hold_ms = -1;
    if (f->drain.draining) {
        v->hold = "stopping";
    } else if (f->intake.paused) {
        v->hold = "paused";
        v->hold_ms = now - f->intake.paused_ms;
    } else if (f->intake.errors > 0) {
        v->hold = "the queue cannot be received from";
        v->hold_ms = now - f->intake.failing_ms;
    } else if (down) {
        v->hold = "a target is down";
        v->hold_target = down->name;
        v->hold_ms = now - down->since_ms;
    } else if (group_full(f)) {
        v->hold = "too many messages wait for their turn in their group";
    } else if (f->intake.full) {
        v->hold = "as much is in hand as may be";
    }
}

void flow_look(const struct flow *f, struct flow_view *v)
{
    *v = (struct flow_view){.draining = f->drain.draining,
                            .paused = f->intake.paused,
                            .answered = f->intake.answered,
                            .failure = f->intake.failure,
                            .alive_ms = f->intake.alive_ms,
                            .last_answer_wall = f->intake.last_answer_wall,
                            .in_hand = (int)f->in_hand.count,
                            .buffered = f->dispatch.buffered_count,
                            .running = f->dispatch.running,
                            .parked = f->targets.parked + f->keys.waiting,
                            .waiting = f->groups.waiting,
                            .copying = f->dlq.copying,
                            .settling = f->settle.settling,
                            .polls_open = f->intake.open,
                            .workers = f->seam.workers.count,
                            .slots = f->seam.workers.count * f->seam.workers.slots};
    for (int i = 0; i < v->workers; i++)
        v->workers_busy += f->dispatch.busy[i] > 0;
    look_at_hold(f, v);
}

int flow_worker_running(const struct flow *f, int worker)
{
    return worker >= 0 && worker < f->seam.workers.count ? f->dispatch.busy[worker] : 0;
}

static int count(const struct list *messages)
{
    int n = 0;
    list_for_each (node, messages)
        n++;
    return n;
}

void flow_each_target(const struct flow *f, void (*each)(void *arg, const struct target_view *),
                      void *arg)
{
    for (size_t i = 0; i <= f->targets.by_name.mask; i++)
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            const struct target *t = table_entry(n, struct target, by_name);
            struct target_view view = {.name = t->name, .parked = count(&t->parked)};
            if (t->down) {
                view.breaker = t->probe ? BREAKER_TRYING : BREAKER_OPEN;
                view.down_ms = flow_now(f) - t->since_ms;
            }
            each(arg, &view);
        }
}

void flow_report(const struct flow *f)
{
    const struct flow_counts *c = &f->counts;
    struct flow_view v;
    flow_look(f, &v);
    log_with(LOG_INFO, "state", LF_INT("in_hand", v.in_hand), LF_INT("buffered", v.buffered),
             LF_INT("running", v.running), LF_INT("parked", v.parked), LF_INT("waiting", v.waiting),
             LF_INT("copying", v.copying), LF_INT("settling", v.settling),
             LF_INT("polls_open", v.polls_open), LF_INT("targets_down", f->targets.down),
             LF_TEXT("receiving", v.hold ? "no" : "yes"), LF_TEXT("hold", v.hold),
             LF_TEXT("target", v.hold_target),
             v.hold_ms >= 0 ? LF_SECONDS("hold_s", (double)v.hold_ms / 1000)
                            : LF_TEXT("hold_s", NULL),
             LF_INT("received", c->received), LF_INT("acked", c->acked),
             LF_INT("retried", c->retried), LF_INT("rejected", c->rejected),
             LF_INT("released", c->released), LF_INT("duplicates", c->duplicates),
             LF_INT("keyless", c->keyless), LF_INT("lease_lost", c->lease_lost));
}
