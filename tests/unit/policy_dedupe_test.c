#include "policy/dedupe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void a_key_goes_its_way(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    assert_int_equal(dedupe_claim(d, "a", 7, 1), DEDUPE_HELD);
    assert_int_equal(dedupe_claim(d, "a", 8, 1), DEDUPE_HELD);
    dedupe_done(d, "a", 2);
    assert_int_equal(dedupe_claim(d, "a", 7, 3), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "a", 8, 3), DEDUPE_NEW); /* other body: another event */
    dedupe_free(d);
}

/* The original consumer never freed a failed id: the message was never tried again. */
static void failure_frees_the_key(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    dedupe_forget(d, "a");
    assert_int_equal(dedupe_count(d), 0);
    assert_int_equal(dedupe_claim(d, "a", 7, 1), DEDUPE_NEW);
    dedupe_done(d, "a", 2);
    dedupe_forget(d, "a"); /* a done key is not forgotten by a late failure */
    assert_int_equal(dedupe_claim(d, "a", 7, 3), DEDUPE_DONE);
    dedupe_free(d);
}

static void ttl_counts_from_done(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    dedupe_claim(d, "a", 7, 0);
    dedupe_done(d, "a", 500);
    assert_int_equal(dedupe_claim(d, "a", 7, 1499), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "a", 7, 1500), DEDUPE_NEW);
    dedupe_free(d);
}

static void bounded_and_held_keys_stay(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000000, 100);
    char key[32];
    assert_int_equal(dedupe_claim(d, "held", 1, 0), DEDUPE_NEW);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dedupe_claim(d, key, 1, i), DEDUPE_NEW);
        dedupe_done(d, key, i);
        assert_in_range(dedupe_count(d), 1, 101);
    }
    assert_int_equal(dedupe_claim(d, "held", 1, 2000), DEDUPE_HELD);
    assert_int_equal(dedupe_claim(d, "k999", 1, 2000), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "k1", 1, 2000), DEDUPE_NEW);
    dedupe_free(d);
}

static void unknown_keys_are_ignored(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    dedupe_done(d, "nobody", 1);
    dedupe_forget(d, "nobody");
    assert_int_equal(dedupe_count(d), 0);
    dedupe_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_goes_its_way),       cmocka_unit_test(failure_frees_the_key),
        cmocka_unit_test(ttl_counts_from_done),     cmocka_unit_test(bounded_and_held_keys_stay),
        cmocka_unit_test(unknown_keys_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
