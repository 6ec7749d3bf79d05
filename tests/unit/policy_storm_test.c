#include "policy/storm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { WINDOW = 20 };

static struct storm made(int window)
{
    struct storm s;
    memset(&s, 0x55, sizeof s);
    storm_init(&s, window);
    return s;
}

static void fingerprints(void **state)
{
    (void)state;
    uint64_t a = storm_fingerprint("lua", "register.lua:14", "no field 'x'");
    assert_true(a == storm_fingerprint("lua", "register.lua:14", "no field 'y'"));
    assert_true(a != storm_fingerprint("lua", "register.lua:15", "no field 'x'"));
    assert_true(a != storm_fingerprint("http", "register.lua:14", "no field 'x'"));
    assert_true(storm_fingerprint("http", "", "answered 404 for 17") ==
                storm_fingerprint("http", NULL, "answered 403 for 9"));
    assert_true(storm_fingerprint("http", "", "answered") != storm_fingerprint("http", "", "cut"));
    assert_true(storm_fingerprint("ab", "c", "") != storm_fingerprint("a", "bc", ""));
    assert_true(storm_fingerprint("http1", "a:1", "") != storm_fingerprint("http2", "a:1", ""));
    assert_true(storm_fingerprint(NULL, NULL, NULL) != 0);
}

static void rages_when_nearly_all_fail_alike(void **state)
{
    (void)state;
    struct storm s = made(WINDOW);
    for (int i = 0; i < WINDOW; i++) {
        assert_false(storm_rages(&s, 7));
        storm_result(&s, i == 3 || i == 9 ? 0 : 7, (uint64_t)i);
    }
    assert_true(storm_rages(&s, 7)); /* 18 of 20 */
    assert_false(storm_rages(&s, 8));
    storm_result(&s, 0, 100);
    assert_false(storm_rages(&s, 7));
}

static void what_is_forgotten_does_not_count(void **state)
{
    (void)state;
    struct storm s = made(WINDOW);
    for (int i = 0; i < WINDOW; i++)
        storm_result(&s, 7, (uint64_t)i);
    storm_forget(&s);
    for (int i = 1; i < WINDOW; i++) {
        assert_int_equal(storm_looms(&s, 7), i > 3);
        storm_result(&s, 7, 100 + (uint64_t)i);
        assert_false(storm_rages(&s, 7));
    }
    storm_result(&s, 7, 200);
    assert_true(storm_rages(&s, 7));
}

static void not_when_they_differ(void **state)
{
    (void)state;
    struct storm s = made(WINDOW);
    for (int i = 0; i < 1000; i++) {
        storm_result(&s, 7 + (uint64_t)i % 2, (uint64_t)i);
        assert_false(storm_rages(&s, 7));
    }
    for (int i = 0; i < 1000; i++) { /* half of them go well */
        storm_result(&s, i % 2 ? 7 : 0, (uint64_t)i);
        assert_true(i < WINDOW || !storm_rages(&s, 7));
    }
}

static void looms_with_three_messages(void **state)
{
    (void)state;
    struct storm s = made(WINDOW);
    for (int i = 0; i < 50; i++) { /* one bad message, again and again */
        storm_result(&s, 7, 1);
        storm_result(&s, 7, 2);
        assert_false(storm_looms(&s, 7));
    }
    for (uint64_t message = 3; message < 10; message++) {
        storm_result(&s, 7, message);
        assert_true(storm_looms(&s, 7));
    }
    assert_false(storm_looms(&s, 8));
    storm_result(&s, 0, 10);
    assert_false(storm_looms(&s, 7));
}

static void off(void **state)
{
    (void)state;
    struct storm s = made(0);
    for (int i = 0; i < 50; i++)
        storm_result(&s, 7, (uint64_t)i);
    assert_false(storm_rages(&s, 7));
    assert_false(storm_looms(&s, 7));
    s = made(1000000); /* as many as there is room for */
    for (int i = 0; i < STORM_WINDOW_MAX; i++)
        storm_result(&s, 7, (uint64_t)i);
    assert_true(storm_rages(&s, 7));
}

static void a_window_of_one(void **state)
{
    (void)state;
    struct storm s = made(1);
    storm_result(&s, 7, 1);
    assert_true(storm_rages(&s, 7));
    storm_result(&s, 0, 2);
    assert_false(storm_rages(&s, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(rages_when_nearly_all_fail_alike),
        cmocka_unit_test(not_when_they_differ),
        cmocka_unit_test(looms_with_three_messages),
        cmocka_unit_test(what_is_forgotten_does_not_count),
        cmocka_unit_test(off),
        cmocka_unit_test(a_window_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
