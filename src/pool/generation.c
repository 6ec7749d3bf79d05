#include "pool/generation.h"

#include "vm/bundle.h"

#include <stdlib.h>

static uint32_t serial_of(const struct vm *vm)
{
    return vm ? vm_serial(vm) : 0;
}

void generations_init(struct generations *g, const struct vm_options *options, bool selftest)
{
    g->options = options;
    g->selftest = selftest;
    atomic_init(&g->offered, NULL);
}

static struct vm *make(const struct generations *g, struct bundle *b, struct err *e)
{
    struct vm_options o = *g->options;
    o.bundle = b;
    o.selftest = g->selftest;
    o.handler_path = bundle_path(b);
    o.handler_json = bundle_json(b);
    o.generation = bundle_generation(b);
    struct vm *vm = vm_new(&o, &g->ports, e);
    if (vm && vm_load(vm, e) == 0) {
        vm_begin_init(vm);
        return vm;
    }
    vm_free(vm);
    return NULL;
}

int generations_first(struct generations *g, struct bundle *b, struct err *e)
{
    g->current = make(g, b, e);
    atomic_store(&g->wanted, bundle_serial(b));
    return g->current ? 0 : -1;
}

/* ---- the next one ---- */

static void refuse(struct generations *g, uint32_t serial)
{
    vm_free(g->next);
    g->next = NULL;
    atomic_store(&g->refused, serial);
    g->news++;
}

static void prepare(struct generations *g, struct bundle *b)
{
    vm_free(g->next); /* it is not wanted any more */
    g->error = (struct err){0};
    g->next = make(g, b, &g->error);
    if (!g->next)
        refuse(g, bundle_serial(b));
    atomic_store(&g->loading, false);
    g->news++;
    bundle_unref(b);
}

static void look_at_next(struct generations *g)
{
    uint32_t serial = serial_of(g->next);
    if (!g->next || atomic_load(&g->prepared) == serial)
        return;
    vm_turn(g->next);
    enum vm_init state = vm_init_state(g->next, &g->error);
    if (state == VM_INIT_READY) {
        atomic_store(&g->prepared, serial);
        g->news++;
    } else if (state == VM_INIT_FAILED) {
        refuse(g, serial);
    }
}

static void go_over(struct generations *g)
{
    g->before = g->current;
    g->current = g->next;
    g->next = NULL;
}

void generations_hear(struct generations *g)
{
    struct bundle *b = atomic_exchange(&g->offered, NULL);
    if (b)
        prepare(g, b);
    if (g->next && atomic_load(&g->wanted) == serial_of(g->next))
        go_over(g);
}

/* ---- all of them ---- */

static void let_go(struct generations *g)
{
    if (!g->before || vm_tasks(g->before) > 0)
        return;
    vm_free(g->before);
    g->before = NULL;
    atomic_store(&g->two, false);
    g->news++;
}

void generations_turn(struct generations *g)
{
    vm_turn(g->current);
    if (g->before)
        vm_turn(g->before);
    look_at_next(g);
    let_go(g);
}

void generations_free(struct generations *g)
{
    bundle_unref(atomic_exchange(&g->offered, NULL));
    vm_free(g->next);
    vm_free(g->before);
    vm_free(g->current);
    g->next = g->before = g->current = NULL;
    atomic_store(&g->two, false);
}

void generations_cancel(struct generations *g, struct job *job)
{
    vm_cancel(g->current, job);
    if (g->before)
        vm_cancel(g->before, job);
}

void generations_token_answer(struct generations *g, struct token_request *q)
{
    struct vm *all[] = {g->current, g->next, g->before};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (serial_of(all[i]) == q->serial) {
            vm_token_answer(all[i], q);
            return;
        }
    }
    token_unref(q->token); /* whoever asked has gone */
    free(q);
}

size_t generations_memory_bytes(const struct generations *g)
{
    return (g->current ? vm_memory_bytes(g->current) : 0) +
           (g->next ? vm_memory_bytes(g->next) : 0) + (g->before ? vm_memory_bytes(g->before) : 0);
}

void generations_offer(struct generations *g, struct bundle *b)
{
    g->asked = b ? bundle_serial(b) : 0;
    atomic_store(&g->loading, b != NULL);
    bundle_unref(atomic_exchange(&g->offered, b));
}

void generations_want(struct generations *g, uint32_t serial)
{
    atomic_store(&g->two, true);
    atomic_store(&g->wanted, serial);
}
