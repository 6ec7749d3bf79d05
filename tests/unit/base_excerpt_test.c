#include "base/excerpt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *text;
    int line;
    const char *message, *callee, *expected;
} cases[] = {
    /* the word of a message, as a field before anything else */
    {"a\n  local user = msg.user.name\nb\n", 2,
     "x.lua:2: attempt to index a nil value (field 'user')", NULL,
     "  1 | a\n> 2 |   local user = msg.user.name\n    |                    ^~~~\n  3 | b"},
    {"f(username, user)", 1, "no (global 'user')", NULL,
     "> 1 | f(username, user)\n    |             ^~~~"},
    /* syntax: the last one; the end; a quote */
    {"local x = = 3", 1, "x.lua:1: unexpected symbol near '='", NULL,
     "> 1 | local x = = 3\n    |           ^"},
    {"if x then", 1, "x.lua:1: 'end' expected near <eof>", NULL,
     "> 1 | if x then\n    |          ^"},
    {"x = 'abc", 1, "x.lua:1: unfinished string near ''abc'", NULL, "> 1 | x = 'abc\n    | ^"},
    /* who was called; else the first word */
    {"  kc.users.ensure { }", 1, "Keycloak answered 500", "ensure",
     "> 1 |   kc.users.ensure { }\n    |            ^~~~~~"},
    {"if x == 'get' then http.get(y) end", 1, NULL, "get",
     "> 1 | if x == 'get' then http.get(y) end\n    |                         ^~~"},
    {"   f()", 1, NULL, NULL, "> 1 |    f()\n    |    ^"},
    /* tabs stay; line ends of all kinds; a byte order mark; ten lines */
    {"\tif\tx.y then", 1, "(field 'y')", NULL, "> 1 | \tif\tx.y then\n    | \t  \t  ^"},
    {"a\r\nb\n\rc\rd", 3, NULL, NULL, "  2 | b\n> 3 | c\n    | ^\n  4 | d"},
    {"\xef\xbb\xbfg()", 1, "'g'", NULL, "> 1 | g()\n    | ^"},
    {"\n\n\n\n\n\n\n\n9\n", 9, NULL, NULL, "   8 |\n>  9 | 9\n     | ^"},
    {"\n\n\n\n\n\n\n8\n9\n", 8, NULL, NULL, "  7 |\n> 8 | 8\n    | ^\n  9 | 9"},
    /* nothing that a terminal obeys, nothing that is no UTF-8 */
    {"x = '\x1b[2J\xff\xc2\x9b' .. é.z", 1, "(field 'z')", NULL,
     "> 1 | x = '?[2J?\?' .. é.z\n    |                   ^"},
    /* no such line */
    {"a\n", 2, NULL, NULL, ""},
    {"a\n", 0, NULL, NULL, ""},
    {"a\n", -1, NULL, NULL, ""},
    {"", 1, NULL, NULL, ""},
};

static void of_each_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b);
        excerpt_add(&b, cases[i].text, strlen(cases[i].text), cases[i].line, cases[i].message,
                    cases[i].callee);
        assert_string_equal(b.data, cases[i].expected);
        buf_free(&b);
    }
}

static void a_long_line_is_cut_around_the_caret(void **state)
{
    (void)state;
    char text[1000];
    struct buf b;
    memset(text, 'x', sizeof text);
    memcpy(text + 500, "(bad)", 5);
    buf_init(&b);
    excerpt_add(&b, text, sizeof text, 1, "'bad'", NULL);
    const char *line_end = strchr(b.data, '\n'), *caret = strchr(b.data, '^');
    assert_non_null(line_end);
    assert_non_null(caret);
    assert_true(line_end - b.data < 120 && strlen(line_end) < 120);
    /* "…" is three bytes wide and one column */
    assert_memory_equal(b.data + (caret - line_end - 1) + 2, "bad)", 4);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_each_kind),
        cmocka_unit_test(a_long_line_is_cut_around_the_caret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
