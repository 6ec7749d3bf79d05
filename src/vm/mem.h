/* The memory of one Lua state: a limit, and who holds what. The state's thread only.
 *
 * Every block carries its holder in eight bytes before it, so that at the limit the one who
 * holds most can be ended instead of the one who happened to ask last (measured before:
 * with a hog waiting at 63.94 of 64 MB, 300 of 300 other tasks failed and the hog finished). */
#ifndef VM_MEM_H
#define VM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem_holder {
    uint64_t generation; /* blocks of earlier generations belong to nobody any more */
    size_t bytes;
    bool open;
};

struct mem {
    size_t used_bytes;
    size_t limit_bytes;
    /* Beyond the limit, for a task that is not the largest holder: it goes on to its next wait
     * on this, and then the largest holder is ended. */
    size_t reserve_bytes;
    bool pressed; /* the reserve was touched, or an allocation refused, since it was cleared */
    struct mem_holder *holders; /* 0 is the state itself: what no task holds */
    int count;
    int current;
};

/* -1: no memory. `holders` counts those besides the state itself. */
int mem_init(struct mem *m, size_t limit_bytes, int holders);
void mem_free(struct mem *m); /* after lua_close */

/* A lua_Alloc with a struct mem as its first argument. */
void *mem_alloc(void *mem, void *ptr, size_t osize, size_t nsize);

/* What is allocated from here on is charged to `holder` (1...); 0: to the state. */
void mem_charge(struct mem *m, int holder);
void mem_open(struct mem *m, int holder); /* holds nothing yet */
void mem_close(struct mem *m, int holder);

/* The open holder with most bytes, 0 if none holds anything. */
int mem_largest(const struct mem *m);

#endif
