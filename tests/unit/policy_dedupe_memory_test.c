/* Allocations of policy/dedupe.c that fail, and that all of them are freed. In a sanitizer's build
 * the allocator is the sanitizer's, and nothing fails. */
#include "policy/dedupe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "failing_memory.h"

/* One place cannot be had; whoever has one keeps it, and nothing that was acked is forgotten. */
static int acks_with_one_failure(long at)
{
    enum { KEYS = 600 };
    int refused = 0;
    char key[16];
    struct dedupe *d = dedupe_new(3600000, 100000);
    left = at;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        enum dedupe_answer answer = dedupe_claim(d, key, 7, 1000);
        if (answer == DEDUPE_NO_MEMORY) {
            refused++;
            assert_int_equal(dedupe_claimed(d), 0);
            answer = dedupe_claim(d, key, 7, 1000);
        }
        assert_int_equal(answer, DEDUPE_NEW);
        dedupe_done(d, key, 7, 1000);
    }
    left = -1;
    assert_int_equal(dedupe_count(d), KEYS);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dedupe_claim(d, key, 7, 1000), DEDUPE_DONE);
    }
    dedupe_free(d);
    return refused;
}

static void a_place_that_cannot_be_had(void **state)
{
    (void)state;
    long before = memory_held(), at = 0;
    while (acks_with_one_failure(at) > 0) {
        assert_int_equal(memory_held(), before);
        at++;
    }
    assert_int_equal(memory_held(), before);
    assert_true(!OWN_ALLOCATOR || at >= 6); /* three for each size it grows to */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_that_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
