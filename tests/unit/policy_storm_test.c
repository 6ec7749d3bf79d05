#include "policy/storm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { WINDOW = 20 };

static struct storm made(int window)
{
    struct storm s;
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
    storm_forget(&s);
    assert_false(storm_rages(&s, 7));
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
    storm_result(&s, 7, 3);
    assert_true(storm_looms(&s, 7));
    assert_false(storm_looms(&s, 8));
    storm_result(&s, 0, 4);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(rages_when_nearly_all_fail_alike),
        cmocka_unit_test(not_when_they_differ),
        cmocka_unit_test(looms_with_three_messages),
        cmocka_unit_test(off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
