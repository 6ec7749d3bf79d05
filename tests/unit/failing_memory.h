/* An allocator of which one allocation fails: `left` counts down to it; memory_held() tells how
 * many are not freed yet. In a sanitizer's build the allocator is the sanitizer's, nothing fails
 * and nothing is counted (OWN_ALLOCATOR is 0). All of it is weak: the mutator links several of the
 * tests into one program, which then has one allocator. */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#else
#define OWN_ALLOCATOR 1
#endif

#define ONE_FOR_ALL __attribute__((weak))

/* Allocations until the one that fails; below 0: none does. */
ONE_FOR_ALL long left = -1;

ONE_FOR_ALL long held_count;

static inline long memory_held(void)
{
    return held_count;
}

#if OWN_ALLOCATOR
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

static bool fails_now(void)
{
    return left >= 0 && left-- == 0;
}

static void *counted(void *new)
{
    held_count += new != NULL;
    return new;
}

ONE_FOR_ALL void *malloc(size_t n)
{
    void *new = fails_now() ? NULL : counted(__libc_malloc(n));
    return new ? memset(new, 0xa5, n) : NULL; /* as it may be */
}

ONE_FOR_ALL void *calloc(size_t count, size_t n)
{
    return fails_now() ? NULL : counted(__libc_calloc(count, n));
}

ONE_FOR_ALL void *realloc(void *old, size_t n)
{
    if (fails_now())
        return NULL;
    return old ? __libc_realloc(old, n) : counted(__libc_malloc(n));
}

ONE_FOR_ALL void free(void *old)
{
    held_count -= old != NULL;
    __libc_free(old);
}
#endif

#endif
