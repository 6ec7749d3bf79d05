/* Stopping (contract 5.9): receive no more, give back what has not started, let the rest
 * finish, flush, leave. When time is up, or at the second signal, a message whose request is on
 * the wire is not shown to others before that request's timeout has passed. */
#include "flow/state.h"

enum {
    CUT_POLLS_MS = 1000,
    FLUSH_MS = 10000, /* for the last settlements, after the handlers' time */
};

static void give_back(struct flow *f, struct message *m)
{
    keys_free(f, m);
    settle_message(f, m, SETTLE_RELEASE, 0);
}

static void give_back_unstarted(struct flow *f)
{
    struct list *node;
    keys_unpark_all(f, give_back); /* first, so that nothing takes a key that is let go of */
    claims_give_back(f, give_back);
    while ((node = list_first(&f->dispatch.buffered))) {
        struct message *m = list_entry(node, struct message, node);
        dispatch_unbuffer(f, m);
        give_back(f, m);
    }
    target_unpark_all(f, give_back);
    group_drain(f);
    settle_flush(f);
}

static void out_of_time(struct flow *f)
{
    if (f->drain.flushing)
        return;
    f->drain.flushing = true;
    f->drain.out_of_time = f->dispatch.running > 0;
    intake_cut(f);
    abandon_running(f);
    claims_hurry(f);
    dlq_hurry(f);
    flow_arm(f, &f->drain.deadline, FLUSH_MS);
    drain_check(f);
}

static void end(struct flow *f)
{
    const char *left = f->drain.out_of_time ? "some handlers were given up in the middle"
                       : f->drain.gave_up   ? "some settlements did not get through"
                                            : "";
    if (!*left && f->storm.ends)
        flow_finish(f, FLOW_LEFT_LATER, "left for later: nearly all messages fail alike");
    else
        flow_finish(f, *left ? FLOW_OUT_OF_TIME : FLOW_DRAINED, left);
}

static void on_deadline(struct timer *t)
{
    struct flow *f = flow_of(t, drain.deadline);
    if (!f->drain.flushing) {
        out_of_time(f);
        return;
    }
    if (f->in_hand.count == 0) { /* claims that could not be freed in time expire by themselves */
        end(f);
        return;
    }
    log_warn("%d settlements did not get through: the queue will show those messages again",
             f->settle.settling + f->dlq.copying + f->groups.waiting);
    flow_finish(f, FLOW_OUT_OF_TIME, "the last settlements did not get through");
}

static void on_cut(struct timer *t)
{
    struct flow *f = flow_of(t, drain.cut);
    if (f->dispatch.running > 0) { /* it may end by itself meanwhile: a cut one hides messages */
        flow_arm(f, t, CUT_POLLS_MS);
        return;
    }
    intake_cut(f);
    drain_check(f);
}

void drain_init(struct flow *f)
{
    f->drain.cut.fire = on_cut;
    f->drain.deadline.fire = on_deadline;
}

void flow_drain(struct flow *f)
{
    if (f->drain.ended)
        return;
    if (f->drain.draining) {
        out_of_time(f);
        return;
    }
    log_info("stopping: %d in hand, %d of them running", (int)f->in_hand.count,
             f->dispatch.running);
    f->drain.draining = true;
    flow_arm(f, &f->drain.deadline, f->options.drain_ms);
    give_back_unstarted(f);
    flow_arm(f, &f->drain.cut, CUT_POLLS_MS);
    drain_check(f);
}

void drain_check(struct flow *f)
{
    if (!f->drain.draining || f->drain.ended || f->in_hand.count > 0 || f->claims.open > 0)
        return;
    if (f->intake.open > 0 && f->drain.cut.armed)
        return; /* the open poll is left its second: a cut one hides what it carried */
    end(f);
}

void flow_finish(struct flow *f, enum flow_end end, const char *text)
{
    if (f->drain.ended)
        return;
    f->drain.ended = true;
    failures_tell(f);
    intake_cut(f);
    f->events.ended(f->events.arg, end, text);
}
