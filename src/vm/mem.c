#include "vm/mem.h"

#include <stdlib.h>
#include <string.h>

/* Before each block: generation of the holder and its index. Lua asks for the alignment of its
 * own types only, which is eight bytes. */
enum { INDEX_BITS = 16 };
typedef uint64_t tag;

int mem_init(struct mem *m, size_t limit_bytes, int holders)
{
    *m = (struct mem){.limit_bytes = limit_bytes, .reserve_bytes = limit_bytes / 8};
    m->count = holders + 1;
    m->holders = calloc((size_t)m->count, sizeof *m->holders);
    return m->holders ? 0 : -1;
}

void mem_free(struct mem *m)
{
    free(m->holders);
    m->holders = NULL;
}

static tag current_tag(const struct mem *m)
{
    return m->holders[m->current].generation << INDEX_BITS | (tag)m->current;
}

static void discharge(struct mem *m, tag t, size_t bytes)
{
    struct mem_holder *h = &m->holders[t & ((1u << INDEX_BITS) - 1)];
    if (h->generation == t >> INDEX_BITS)
        h->bytes -= bytes;
    m->used_bytes -= bytes;
}

static void charge(struct mem *m, size_t bytes)
{
    m->holders[m->current].bytes += bytes;
    m->used_bytes += bytes;
}

/* May the current holder have `more` bytes? Refused, Lua collects its garbage and asks again. */
static bool admit(struct mem *m, size_t more)
{
    size_t wanted = m->used_bytes + more;
    if (wanted <= m->limit_bytes)
        return true;
    m->pressed = true;
    const struct mem_holder *largest = &m->holders[mem_largest(m)];
    bool innocent = m->current > 0 && largest != &m->holders[m->current] &&
                    largest->bytes > m->limit_bytes / 8 &&
                    largest->bytes > m->holders[m->current].bytes + more;
    return innocent && wanted <= m->limit_bytes + m->reserve_bytes;
}

void *mem_alloc(void *mem, void *ptr, size_t osize, size_t nsize)
{
    struct mem *m = mem;
    tag *old = ptr ? (tag *)ptr - 1 : NULL;
    size_t old_bytes = ptr ? osize : 0; /* without a block Lua passes a type there */
    if (nsize == 0) {
        if (old)
            discharge(m, *old, old_bytes);
        free(old);
        return NULL;
    }
    if (nsize > old_bytes && !admit(m, nsize - old_bytes))
        return NULL;
    tag old_tag = old ? *old : 0;
    tag *block = realloc(old, nsize + sizeof *block);
    if (!block) {
        if (nsize > old_bytes)
            return NULL;
        block = old; /* Lua relies on shrinking never failing */
    }
    if (old)
        discharge(m, old_tag, old_bytes);
    charge(m, nsize);
    *block = current_tag(m);
    return block + 1;
}

void mem_charge(struct mem *m, int holder)
{
    m->current = holder;
}

void mem_open(struct mem *m, int holder)
{
    struct mem_holder *h = &m->holders[holder];
    h->generation++;
    h->bytes = 0;
    h->open = true;
}

void mem_close(struct mem *m, int holder)
{
    m->holders[holder].open = false;
}

int mem_largest(const struct mem *m)
{
    int largest = 0;
    size_t bytes = 0;
    for (int i = 1; i < m->count; i++) {
        if (m->holders[i].open && m->holders[i].bytes > bytes) {
            largest = i;
            bytes = m->holders[i].bytes;
        }
    }
    return largest;
}
