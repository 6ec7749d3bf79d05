/* A FIFO queue (reference: simulation, section 3): a group is locked while anything of it is in
 * flight; a receive takes as many of one group as there are, in order, then of others. */
#include "wire.h"

static bool is_in_flight(const struct record *r)
{
    return !r->gone && r->receives > 0 && r->visible_ms > sim.now_ms;
}

static bool has(const struct call *c, int group)
{
    for (int i = 0; i < c->count; i++)
        if (sim.records[c->records[i]].group == group)
            return true;
    return false;
}

/* The first one of a group behind that number, if it may be received. */
static struct record *next_of(int group, int behind)
{
    for (int i = behind + 1; i < sim.count; i++) {
        struct record *r = &sim.records[i];
        if (r->group == group && !r->gone)
            return r->visible_ms <= sim.now_ms ? r : NULL;
    }
    return NULL;
}

static bool is_locked(int group)
{
    for (int i = 0; i < sim.count; i++)
        if (sim.records[i].group == group && is_in_flight(&sim.records[i]))
            return true;
    return false;
}

struct record *fifo_pick(const struct call *c)
{
    int last = c->count > 0 ? c->records[c->count - 1] : -1;
    struct record *r = last >= 0 ? next_of(sim.records[last].group, last) : NULL;
    int first = (int)between(&sim.load, 0, sim.groups - 1);
    for (int i = 0; !r && i < sim.groups; i++) {
        int group = (first + i) % sim.groups;
        if (!has(c, group) && !is_locked(group))
            r = next_of(group, -1);
    }
    return r;
}

void fifo_check_start(struct host *h, const struct record *r)
{
    int before = -1;
    if (!sim.fifo)
        return;
    for (int i = 0; i < r->number && before < 0; i++)
        if (sim.records[i].group == r->group && !sim.records[i].gone)
            before = i;
    check(INV_in_order, before < 0, "%s runs in host %d, and m%d of its group has not been deleted",
          r->id, h->index, before);
    list_for_each (node, &h->running) {
        const struct record *other = list_entry(node, struct run, node)->record;
        check(INV_in_order, other->group != r->group, "%s runs beside %s of its group in host %d",
              r->id, other->id, h->index);
    }
}
