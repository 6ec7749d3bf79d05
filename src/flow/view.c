/* How the flow looks from outside: for the log, `host status`, health and metrics. Reads only. */
#include "flow/state.h"

static const char *words_of(const struct flow *f, enum intake_link link)
{
    switch (link) {
    case LINK_NONE:
        break;
    case LINK_SLOTS:
        return "as much is in hand as may be";
    case LINK_LIMIT:
        return "as much is in hand as the limit of a target lets run";
    case LINK_RETRY_AFTER:
        return "a target has asked to wait (Retry-After)";
    case LINK_GROUPS:
        return "too many messages wait for their turn in their group";
    case LINK_RATE:
        return "the rate";
    case LINK_TARGET:
        return "a target is down";
    case LINK_STORM:
        return "nearly all messages fail alike (a failure storm): see the log for how";
    case LINK_STORE:
        return "the shared dedupe store is away";
    case LINK_QUEUE:
        return "the queue cannot be received from";
    case LINK_PAUSE:
        return "paused";
    case LINK_STOP:
        return "stopping";
    }
    return f->intake.errors > 0 ? "the queue cannot be received from" : NULL;
}

static void look_at_hold(const struct flow *f, struct flow_view *v)
{
    v->hold = f->drain.draining ? "stopping" : words_of(f, f->intake.link);
    v->hold_target = f->intake.link_target ? f->intake.link_target->name : NULL;
    v->at_work = !f->drain.draining && f->intake.errors == 0 && f->intake.link <= LINK_RATE;
    v->hold_ms = -1;
    if (f->intake.errors > 0 && f->intake.link <= LINK_QUEUE) /* also while it tries again */
        v->hold_ms = flow_now(f) - f->intake.failing_ms;
    else if (f->intake.link != LINK_NONE)
        v->hold_ms = flow_now(f) - f->intake.link_ms;
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
                            .parked = f->targets.parked + f->keys.waiting + f->claims.waiting,
                            .waiting = f->groups.waiting,
                            .copying = f->dlq.copying,
                            .settling = f->settle.settling + f->claims.recording,
                            .polls_open = f->intake.open,
                            .workers = f->dispatch.workers,
                            .slots = dispatch_slots(f)};
    for (int i = 0; i < v->workers; i++)
        v->workers_busy += f->dispatch.busy[i] > 0;
    look_at_hold(f, v);
}

int flow_worker_running(const struct flow *f, int worker)
{
    return worker >= 0 && worker < f->seam.workers.count ? f->dispatch.busy[worker] : 0;
}

void flow_each_target(const struct flow *f, void (*each)(void *arg, const struct target_view *),
                      void *arg)
{
    for (size_t i = 0; i <= f->targets.by_name.mask; i++)
        for (struct table_node *n = f->targets.by_name.buckets[i]; n; n = n->next) {
            const struct target *t = table_entry(n, struct target, by_name);
            if (t->storm)
                continue;
            struct target_view view = {.name = t->name,
                                       .parked = list_length(&t->parked),
                                       .limit = limit_permits(&t->limit, flow_now(f)),
                                       .limit_why = limit_why(&t->limit),
                                       .wait_ms = limits_blocked_ms(f, t),
                                       .slowdown = t->limit.slowdown};
            if (t->breaker.open)
                view.breaker = BREAKER_OPEN;
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
             LF_INT("keyless", c->keyless), LF_INT("unfenced", c->unfenced),
             LF_INT("claims_lost", c->claims_lost), LF_INT("lease_lost", c->lease_lost));
}
