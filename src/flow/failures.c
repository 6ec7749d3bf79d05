/* Failures in the log. For people each is told in full once, with source and traceback, and from
 * then on as a count every ten seconds until it stops, so that a thousand of one kind hide nothing
 * else. For machines (JSON) every message keeps its line, and one of a kind in ten seconds has the
 * rest. */
#include "flow/state.h"

#include "policy/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WINDOW_MS = 10000 };

static void print(const struct failure *x, double seconds)
{
    char words[64];
    snprintf(words, sizeof words, "same error %" PRId64 " times in %.0f s", x->again, seconds);
    log_with(LOG_WARN, words, LF_TEXT("reason", x->reason), LF_TEXT("kind", x->kind),
             LF_TEXT("at", *x->at ? x->at : NULL), LF_TEXT("last_id", x->last_id));
}

static void tell(struct flow *f, struct failure *x)
{
    int64_t now = flow_now(f);
    if (x->again > 0 && !log_is_json())
        print(x, (double)(now - x->since_ms) / 1000);
    x->fingerprint = x->again > 0 ? x->fingerprint : 0; /* it has stopped */
    x->again = 0;
    x->since_ms = now;
}

void failures_tell(struct flow *f)
{
    for (int i = 0; i < FAILURES_MAX; i++)
        if (f->failures.known[i].fingerprint)
            tell(f, &f->failures.known[i]);
}

static void arm(struct flow *f)
{
    int64_t due_ms = INT64_MAX;
    if (log_is_json()) /* nothing is left to tell */
        return;
    for (int i = 0; i < FAILURES_MAX; i++) {
        const struct failure *x = &f->failures.known[i];
        if (x->fingerprint && x->since_ms + WINDOW_MS < due_ms)
            due_ms = x->since_ms + WINDOW_MS;
    }
    if (due_ms != INT64_MAX)
        flow_arm(f, &f->failures.timer, due_ms - flow_now(f));
}

static void on_timer(struct timer *t)
{
    struct flow *f = flow_of(t, failures.timer);
    int64_t now = flow_now(f);
    for (int i = 0; i < FAILURES_MAX; i++) {
        struct failure *x = &f->failures.known[i];
        if (x->fingerprint && now - x->since_ms >= WINDOW_MS)
            tell(f, x);
    }
    arm(f);
}

void failures_init(struct flow *f)
{
    f->failures.timer.fire = on_timer;
}

/* A place for a new one: a free one, else the one that has waited longest is told now. */
static struct failure *place(struct flow *f)
{
    struct failure *oldest = f->failures.known;
    for (int i = 0; i < FAILURES_MAX; i++) {
        struct failure *x = &f->failures.known[i];
        if (!x->fingerprint)
            return x;
        if (x->since_ms < oldest->since_ms)
            oldest = x;
    }
    tell(f, oldest);
    return oldest;
}

static void begin(struct flow *f, const struct job *job, uint64_t print)
{
    struct failure *x = place(f);
    *x = (struct failure){.fingerprint = print, .since_ms = flow_now(f)};
    snprintf(x->kind, sizeof x->kind, "%s", job->kind);
    snprintf(x->at, sizeof x->at, "%s", job->at);
    snprintf(x->reason, sizeof x->reason, "%s", job->reason ? job->reason : "");
    arm(f);
}

enum telling failures_line(struct flow *f, const struct message *m)
{
    const struct job *job = m->job;
    if (m->out || !*job->kind) /* what a handler asked for is no failure */
        return TELL_ALL;
    uint64_t print = fingerprint(job->kind, job->at, job->reason);
    for (int i = 0; i < FAILURES_MAX; i++) {
        struct failure *x = &f->failures.known[i];
        if (x->fingerprint != print)
            continue;
        if (log_is_json() && flow_now(f) - x->since_ms >= WINDOW_MS) {
            x->since_ms = flow_now(f);
            return TELL_ALL;
        }
        x->again++;
        snprintf(x->last_id, sizeof x->last_id, "%s", job->id);
        return log_is_json() ? TELL_BRIEFLY : TELL_NOT;
    }
    begin(f, job, print);
    return TELL_ALL;
}
