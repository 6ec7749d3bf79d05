/* An allocator of which one allocation fails: `left` counts down to it. In a sanitizer's build the
 * allocator is the sanitizer's, and nothing fails (OWN_ALLOCATOR is 0). */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#else
#define OWN_ALLOCATOR 1
#endif

static long left = -1; /* allocations until the one that fails; below 0: none does */

#if OWN_ALLOCATOR
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static bool fails_now(void)
{
    return left >= 0 && left-- == 0;
}

void *malloc(size_t n)
{
    return fails_now() ? NULL : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    return fails_now() ? NULL : __libc_calloc(count, n);
}

void *realloc(void *old, size_t n)
{
    return fails_now() ? NULL : __libc_realloc(old, n);
}
#endif

#endif
