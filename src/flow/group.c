/* Groups of a FIFO queue (contract 5.5). One message of a group runs at a time, in the order in
 * which they were received; the next one's turn comes with the confirmed delete of the one before.
 *
 * The first of a group has the turn. When it fails it is run again in place, after its backoff: it
 * and those behind it wait here under their leases, and cost no receive. What leaves without a
 * confirmed delete will come again, and whoever is behind it must not run before that: so all of
 * them are given back, after it. SQS keeps a group locked while anything of it is in flight, so in
 * between nobody receives one of them too early, and had they stayed, nobody could receive the
 * first one at all.
 *
 * That costs those behind a receive each. It happens when a lease is lost, a delete fails for
 * good, the host drains, or retry.hold is over. Only the last is our own choice, and it is not made
 * while one of those behind is at its last receive: the queue would move it to the dead-letter
 * queue without its having run. None of them is ever closer to that end than the first one is,
 * since it has come with each of their receives.
 *
 * A group is known only while something of it is in hand. On a standard queue a MessageGroupId is
 * a tenant's name, and none of this happens. */
#include "flow/state.h"

#include <stdlib.h>
#include <string.h>

enum {
    WAITING_PER_SLOT = 10, /* a receive's worth behind each running message */
    WAITING_MIN = 100,
};

struct group {
    struct table_node by_name;
    struct list members; /* struct message by in_group, in the order received */
    struct list due;     /* in flow->groups.by_due, while the first waits for its turn */
    int64_t due_ms;
    char name[];
};

static struct message *member(struct list *node)
{
    return list_entry(node, struct message, in_group);
}

static struct message *first_of(const struct group *g)
{
    return member(list_first(&g->members));
}

static void arm(struct flow *f)
{
    struct list *first = list_first(&f->groups.by_due);
    if (!list_empty(&f->groups.back))
        flow_arm(f, &f->groups.timer, 0);
    else if (first)
        flow_arm(f, &f->groups.timer, list_entry(first, struct group, due)->due_ms - flow_now(f));
    else
        flow_stop(f, &f->groups.timer);
}

/* The first one's turn comes then. */
static void set_due(struct flow *f, struct group *g, int64_t due_ms)
{
    list_remove(&g->due);
    g->due_ms = due_ms;
    struct list *place = &f->groups.by_due;
    while (place->prev != &f->groups.by_due &&
           list_entry(place->prev, struct group, due)->due_ms > due_ms)
        place = place->prev;
    list_insert(place, &g->due);
    arm(f);
}

/* ---- who is in it ------------------------------------------------------------------------ */

static struct group *get(struct flow *f, const char *name)
{
    struct table_node *n = table_find(&f->groups.by_name, name);
    if (n)
        return table_entry(n, struct group, by_name);
    size_t len = strlen(name);
    struct group *g = calloc(1, sizeof *g + len + 1);
    if (!g)
        return NULL;
    memcpy(g->name, name, len + 1);
    list_init(&g->members);
    list_init(&g->due);
    table_add(&f->groups.by_name, &g->by_name, g->name);
    return g;
}

static void put_away(struct flow *f, struct group *g)
{
    list_remove(&g->due);
    table_remove(&f->groups.by_name, &g->by_name);
    free(g);
}

int group_join(struct flow *f, struct message *m)
{
    if (!f->options.fifo || m->group)
        return 0;
    /* A server that names no group is taken to have a single one. */
    struct group *g = get(f, m->job->group ? m->job->group : "");
    if (!g)
        return -1;
    m->group = g;
    list_append(&g->members, &m->in_group);
    return 0;
}

bool group_turn(struct flow *f, struct message *m)
{
    if (!m->group || first_of(m->group) == m)
        return true;
    m->state = WAITING;
    f->groups.waiting++;
    return false;
}

void group_skip(struct flow *f, struct list *jobs, const struct job *left)
{
    if (!f->options.fifo)
        return;
    list_for_each (node, jobs) {
        struct job *job = list_entry(node, struct job, node);
        if (strcmp(job->group ? job->group : "", left->group ? left->group : "") != 0)
            continue;
        list_remove(node);
        job_free(job);
    }
}

/* All behind it go back to the queue. That is done by the timer: settling calls out, and the
 * callers of message_drop are in the middle of something. */
static void send_back_behind(struct flow *f, struct message *m)
{
    struct list *node;
    while ((node = m->in_group.next) != &m->group->members) {
        struct message *behind = member(node);
        list_remove(node);
        behind->group = NULL;
        if (behind->state == WAITING && list_empty(&behind->node))
            list_append(&f->groups.back, &behind->node);
    }
}

void group_leave(struct flow *f, struct message *m)
{
    struct group *g = m->group;
    if (m->state == WAITING)
        f->groups.waiting--;
    if (!g)
        return;
    bool was_first = first_of(g) == m;
    if (!m->deleted)
        send_back_behind(f, m);
    list_remove(&m->in_group);
    m->group = NULL;
    if (list_empty(&g->members))
        put_away(f, g);
    else if (was_first)
        set_due(f, g, flow_now(f));
    arm(f);
}

/* ---- turns -------------------------------------------------------------------------------- */

/* Its time has come, or the host stops. */
static void take_turn(struct flow *f, struct message *m)
{
    if (m->state != WAITING || !list_empty(&m->node))
        return; /* it is being given back */
    f->groups.waiting--;
    if (f->drain.draining) {
        int64_t left_ms = m->parked_ms ? m->again_ms - flow_now(f) : 0;
        keys_free(f, m);
        settle_message(f, m, m->parked_ms ? SETTLE_RETRY : SETTLE_RELEASE,
                       left_ms > 0 ? (int)((left_ms + 999) / 1000) : 0);
        return;
    }
    m->reruns += m->parked_ms > 0;
    m->note = NULL;
    if (m->claimed)
        dispatch_buffer(f, m, false);
    else
        keys_admit(f, m);
}

static void on_timer(struct timer *t)
{
    struct flow *f = flow_of(t, groups.timer);
    int64_t now = flow_now(f);
    struct list *node;
    while ((node = list_first(&f->groups.back))) {
        struct message *m = list_entry(node, struct message, node);
        f->groups.waiting--;
        m->note = "given back unrun: one before it in its group has to come again";
        settle_message(f, m, SETTLE_RELEASE, 0);
    }
    while ((node = list_first(&f->groups.by_due))) {
        struct group *g = list_entry(node, struct group, due);
        if (g->due_ms > now)
            break;
        list_remove(&g->due);
        take_turn(f, first_of(g));
    }
    arm(f);
    dispatch_kick(f);
    intake_kick(f);
}

static bool last_receive_behind(const struct flow *f, const struct message *m)
{
    for (const struct list *node = m->in_group.next; node != &m->group->members; node = node->next)
        if (verdict_is_last(f, list_entry(node, struct message, in_group)))
            return true;
    return false;
}

bool group_again(struct flow *f, struct message *m, int delay_s)
{
    int64_t now = flow_now(f), delay_ms = delay_s * INT64_C(1000);
    const struct job *job = m->job;
    if (!m->group || first_of(m->group) != m || f->drain.draining)
        return false;
    if (m->parked_ms == 0)
        m->parked_ms = now;
    if (now + delay_ms - m->parked_ms > f->options.hold_ms && !last_receive_behind(f, m))
        return false;
    m->state = WAITING;
    m->again_ms = now + delay_ms;
    f->groups.waiting++;
    set_due(f, m->group, m->again_ms);
    enum telling telling = failures_line(f, m);
    if (telling == TELL_NOT)
        return true;
    log_with(LOG_WARN, "runs again here, its group waits", LF_TEXT("id", job->id),
             LF_TEXT("group", job->group), LF_TEXT("reason", job->reason),
             LF_TEXT("kind", *job->kind ? job->kind : NULL),
             LF_TEXT("at", *job->at ? job->at : NULL), LF_INT("attempt", job->attempt),
             LF_INT("again_s", delay_s), LF_TEXT("note", m->note),
             LF_BLOCK("source", telling == TELL_ALL ? job->source : NULL),
             LF_BLOCK("detail", telling == TELL_ALL ? job->detail : NULL));
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------ */

bool group_full(const struct flow *f)
{
    int most = f->seam.workers.count * f->seam.workers.slots * WAITING_PER_SLOT;
    return f->groups.waiting >= (most > WAITING_MIN ? most : WAITING_MIN);
}

void group_drain(struct flow *f)
{
    for (size_t i = 0; i <= f->groups.by_name.mask; i++)
        for (struct table_node *n = f->groups.by_name.buckets[i]; n; n = n->next)
            set_due(f, table_entry(n, struct group, by_name), flow_now(f));
}

int group_init(struct flow *f)
{
    list_init(&f->groups.by_due);
    list_init(&f->groups.back);
    f->groups.timer.fire = on_timer;
    return table_init(&f->groups.by_name);
}

void group_free(struct flow *f)
{
    struct table_node *n;
    flow_stop(f, &f->groups.timer);
    if (!f->groups.by_name.buckets)
        return;
    while ((n = table_any(&f->groups.by_name))) {
        struct group *g = table_entry(n, struct group, by_name);
        struct list *node;
        while ((node = list_pop(&g->members)))
            member(node)->group = NULL;
        put_away(f, g);
    }
    table_free(&f->groups.by_name);
}
