#include "board.h"

#include <string.h>

static struct board_entry *find(struct board *b, const char *target)
{
    int count = atomic_load_explicit(&b->count, memory_order_acquire);
    for (int i = 0; i < count; i++)
        if (strcmp(b->entries[i].name, target) == 0)
            return &b->entries[i];
    return NULL;
}

void board_set(struct board *b, const char *target, bool open)
{
    struct board_entry *e = find(b, target);
    int count = atomic_load(&b->count);
    if (!e && (!open || count == BOARD_TARGETS || strlen(target) >= BOARD_NAME_BYTES))
        return;
    if (!e) {
        e = &b->entries[count];
        strcpy(e->name, target);
        atomic_store_explicit(&b->count, count + 1, memory_order_release);
    }
    atomic_store(&e->passes, 0);
    atomic_store(&e->open, open);
}

void board_let_pass(struct board *b, const char *target)
{
    struct board_entry *e = find(b, target);
    if (e)
        atomic_store(&e->passes, 1);
}

bool board_may_call(struct board *b, const char *target)
{
    struct board_entry *e = find(b, target);
    if (!e || !atomic_load(&e->open))
        return true;
    int left = atomic_load(&e->passes);
    while (left > 0)
        if (atomic_compare_exchange_weak(&e->passes, &left, left - 1))
            return true;
    return false;
}
