/* Groups of a FIFO queue as a host must see them: who stands before whom, whose turn it is, and who
 * has to go back with whom. */
#include "view.h"

enum { GROUPS_MAX = 64, FORGOTTEN_MS = 2000 };

static int group_of(const struct host *h, const struct view *v)
{
    return sim.records[v - h->views].group;
}

static bool is_member(const struct view *v)
{
    return v->place > 0 && v->phase != PHASE_GONE;
}

static bool is_open(const struct host *h, const struct view *v)
{
    return v->odd || lapsed(v) || hold_over(h, v);
}

/* Let go of at the end of its lease, whatever else was open about it; but for one whose extension
 * is on the wire: its answer decides, and its settlement may have waited for that. */
static bool has_left(const struct view *v)
{
    bool waits = v->phase == PHASE_WAITING || v->phase == PHASE_PARKED || awaits_turn(v);
    int64_t end_ms = v->lease_ms > v->answered_ms ? v->lease_ms : v->answered_ms;
    return waits && !v->slept && !v->extending && end_ms + FORGOTTEN_MS < sim.now_ms;
}

/* What is behind one whose course is open has an open course, too. */
void groups_doubt(struct host *h)
{
    int64_t open[GROUPS_MAX] = {0};
    if (!sim.fifo)
        return;
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        int64_t *first = &open[sim.records[i].group];
        if (is_member(v) && has_left(v))
            v->place = 0;
        if (is_member(v) && is_open(h, v) && (*first == 0 || v->place < *first))
            *first = v->place;
    }
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        int64_t first = open[sim.records[i].group];
        if (!is_member(v) || first == 0 || v->place <= first || v->odd)
            continue;
        v->odd = true;
        v->due_ms = v->extend_ms = 0;
    }
}

void group_joins(struct host *h, struct view *v)
{
    if (sim.fifo)
        v->place = ++h->places;
}

static struct view *first_of(const struct host *h, int group)
{
    struct view *first = NULL;
    for (int i = 0; i < sim.count; i++) {
        struct view *v = &h->views[i];
        if (sim.records[i].group == group && is_member(v) && (!first || v->place < first->place))
            first = v;
    }
    return first;
}

bool group_first(const struct host *h, const struct view *v)
{
    return !sim.fifo || first_of(h, group_of(h, v)) == v;
}

static void goes_back(struct view *v)
{
    v->place = 0;
    if (v->phase != PHASE_BEHIND)
        return;
    corners[CORNER_behind_given_back]++;
    decide_aside(v, KIND_RELEASE, 0, 0);
}

void group_leaves(struct host *h, struct view *v, bool deleted)
{
    int group = group_of(h, v);
    int64_t place = v->place;
    v->place = 0;
    if (!sim.fifo || place == 0)
        return;
    for (int i = 0; i < sim.count && !deleted; i++) {
        struct view *behind = &h->views[i];
        if (sim.records[i].group == group && is_member(behind) && behind->place > place &&
            !behind->odd)
            goes_back(behind);
    }
    struct view *next = deleted ? first_of(h, group) : NULL;
    if (!next || next->place < place || next->odd || next->phase != PHASE_BEHIND)
        return;
    corners[CORNER_next_after_dead_letter] += v->copied;
    if (h->draining)
        decide_aside(next, KIND_RELEASE, 0, 0);
}

/* Of those behind it one is at its last receive: the hold does not end. `surely`: it has not left
 * the group meanwhile, since its lease ended. */
static bool last_behind(const struct host *h, const struct view *v, bool *surely)
{
    bool held = false;
    *surely = false;
    for (int i = 0; i < sim.count; i++) {
        const struct view *behind = &h->views[i];
        if (sim.records[i].group != group_of(h, v) || !is_member(behind) ||
            behind->place <= v->place || !is_last(behind))
            continue;
        held = true;
        *surely = *surely || (!behind->odd && !lapsed(behind));
    }
    return held;
}

bool group_keeps(struct host *h, struct view *v, int low_s, int high_s)
{
    if (!sim.fifo || h->draining || v->place == 0)
        return false;
    if (v->parked_ms == 0)
        v->parked_ms = sim.now_ms;
    int64_t spent_ms = sim.now_ms - v->parked_ms;
    bool in_time = spent_ms + high_s * INT64_C(1000) <= h->hold_ms;
    bool too_late = spent_ms + low_s * INT64_C(1000) > h->hold_ms;
    bool surely, held = last_behind(h, v, &surely);
    corners[CORNER_group_hold_ran_out] += too_late && !held;
    if (too_late && !held)
        return false;
    v->odd = v->odd || (!in_time && !surely); /* by its backoff, or by who is behind it */
    v->phase = PHASE_BACKOFF;
    v->again_low_ms = sim.now_ms + low_s * INT64_C(1000);
    v->again_high_ms = sim.now_ms + high_s * INT64_C(1000);
    return true;
}
