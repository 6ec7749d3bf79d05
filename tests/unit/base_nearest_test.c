#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        int distance;
    } cases[] = {
        {"", "", 0},           {"", "abc", 3},           {"run", "run", 0},   {"rnu", "run", 1},
        {"rn", "run", 1},      {"ruun", "run", 1},       {"ran", "run", 1},   {"ca", "abc", 3},
        {"emtpy", "empty", 1}, {"kitten", "sitting", 3}, {"abcd", "badc", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void words_of_any_length(void **state)
{
    char a[66], b[66];
    (void)state;
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    a[64] = b[64] = 0;
    assert_int_equal(nearest_distance(a, b), 64);
    a[64] = 'a';
    a[65] = 0;
    assert_int_equal(nearest_distance(a, b), INT_MAX);
    assert_int_equal(nearest_distance(b, a), INT_MAX);
}

static const char *nearest_of(const char *word)
{
    static const char *const words[] = {"run", "sandbox", "send", "version", NULL};
    struct nearest n = NEAREST(word);
    for (int i = 0; words[i]; i++)
        nearest_offer(&n, words[i]);
    return nearest_found(&n);
}

static void only_what_may_be_meant(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("rnu"), "run");
    assert_string_equal(nearest_of("sanbdox"), "sandbox");
    assert_string_equal(nearest_of("sned"), "send");
    assert_string_equal(nearest_of("ver"), "version"); /* goes on where the word ends */
    assert_null(nearest_of("frobnicate"));
    assert_null(nearest_of("x"));
    assert_null(nearest_of(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(words_of_any_length),
        cmocka_unit_test(only_what_may_be_meant),
    };
    return cmocka_run_group_tests_name("base/nearest", tests, NULL, NULL);
}
