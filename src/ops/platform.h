/* The product's side of the seam that is neither queue nor pool: timers and clock on libev and
 * the kernel, randomness, and the memory store. Core thread only. */
#ifndef OPS_PLATFORM_H
#define OPS_PLATFORM_H

#include "base/rand.h"
#include "policy/dedupe.h"
#include "seam.h"

struct ev_loop;

struct timers timers_on(struct ev_loop *loop);
struct clock clock_real(void);
struct random random_from(struct rng *rng);
struct store store_in_memory(struct dedupe *dedupe);

#endif
