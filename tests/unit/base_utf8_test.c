#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* Never a character's beginning alone at the end, and never more than fits. Bytes that begin
 * nothing count as the rest of what is before them. */
static void cuts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t most, cut;
    } cases[] = {
        {"", 0, 0},         {"abc", 3, 3},       {"abc", 2, 2},        {"abc", 0, 0},
        {"a\u00e9", 3, 3},  {"a\u00e9", 2, 1},   {"\u00e9b", 2, 2},    {"\u00e9", 1, 0},
        {"a\u20ac", 3, 1},  {"a\u20acb", 4, 4},  {"\U0001f600", 3, 0}, {"\U0001f600b", 4, 4},
        {"\x80\x80", 1, 0}, {"a\x80\x80", 2, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_cut(cases[i].text, strlen(cases[i].text), cases[i].most),
                         cases[i].cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
