/* A small seeded generator (xoshiro256**), and the system's own for what must not be
 * guessed. `struct rng` belongs to one thread. Not for secrets. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);

/* A seed from the kernel; falls back to clocks and the pid if getrandom fails. */
uint64_t rand_seed(void);

/* RFC 9562 version 4, from the kernel's generator; 36 characters and a NUL. */
void rand_uuid(char out[37]);

#endif
