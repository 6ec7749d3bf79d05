/* Memory: what the flow asks for may not be had; the simulator's own always is. Linked in the
 * place of calloc and malloc for everything that is compiled here. */
#include "world.h"

#include <stdlib.h>

void *__real_calloc(size_t count, size_t bytes);
void *__real_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes);

void *grab(size_t bytes)
{
    void *p = __real_calloc(1, bytes);
    if (!p)
        abort();
    return p;
}

/* Anything that the host holds may be late or let go of from here on. */
static void starves(struct host *h)
{
    h->unsure = h->troubled = true;
    for (int i = 0; i < sim.count; i++)
        if (sim.records[i].holder == h)
            sim.records[i].excused = sim.records[i].burnt = true;
    view_all_odd(h);
}

static bool fails(void)
{
    if (!sim.inside || !strikes(FAULT_no_memory, 2))
        return false;
    sim.starving = true;
    starves(sim.inside);
    return true;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void enter_flow(struct host *h)
{
    sim.inside = h;
}

void leave_flow(struct host *h)
{
    sim.inside = NULL;
    if (sim.starving)
        starves(h); /* also what it took in hand since */
    sim.starving = false;
}
