/* The generations of the handler in one worker: the one that takes jobs, one that is being
 * prepared, and the one before, until its last job has ended. Never more than two of them hold
 * jobs. They are told apart by their bundles' serials. The worker's thread, but for what is marked.
 */
#ifndef POOL_GENERATION_H
#define POOL_GENERATION_H

#include "base/err.h"
#include "vm/vm.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bundle;

struct generations {
    const struct vm_options *options; /* all but what is the bundle's */
    bool selftest;                    /* after M.init */
    struct vm_ports ports;
    struct vm *current; /* NULL: the first one has not loaded yet */
    struct vm *next;
    struct vm *before;

    /* From the core: what to prepare (a reference), and then the generation to go over to. */
    struct bundle *_Atomic offered;
    atomic_uint wanted;
    uint32_t asked; /* the core's: what was offered last */

    /* To the core: `loading` from the offer to the end of the load phase, in which the worker does
     * nothing else; the generation that is ready, or the one that is not to be had. `error` is
     * written before `refused`. */
    atomic_bool loading;
    atomic_uint prepared;
    atomic_uint refused;
    struct err error;
    /* Messages of the generation before may still run: set by the core as it sets `wanted`, so that
     * it never offers a third one; cleared by the worker. */
    atomic_bool two;
    unsigned news; /* grows when the core should look at these */
};

/* Before the thread starts; the core's. */
void generations_init(struct generations *g, const struct vm_options *options, bool selftest);
/* A new state with its load phase done, and M.init begun. -1 with `e`. */
int generations_first(struct generations *g, struct bundle *b, struct err *e);
/* Takes what the core has said. To be called between turns. */
void generations_hear(struct generations *g);
/* Lua runs, in all of them. */
void generations_turn(struct generations *g);
void generations_free(struct generations *g);

void generations_cancel(struct generations *g, struct job *job);
void generations_token_answer(struct generations *g, struct token_request *q);
size_t generations_memory_bytes(const struct generations *g);

/* The core's. Takes over a reference; what was offered before and not taken is dropped. */
void generations_offer(struct generations *g, struct bundle *b);
/* To go over to what it has prepared. */
void generations_want(struct generations *g, uint32_t serial);

#endif
