#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void grows_and_keeps_a_terminator(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 3890);
    assert_int_equal(strlen(b.data), b.len);
    assert_memory_equal(b.data + b.len - 4, "999,", 4);
    buf_free(&b);
}

static void json_strings(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } cases[] = {
        {"plain", 5, "\"plain\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\r\t\x01", 4, "\"\\n\\r\\t\\u0001\""},
        {"\0x", 2, "\"\\u0000x\""},
        {"gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\""},
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"", 0, "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b);
        buf_json(&b, cases[i].in, cases[i].len);
        assert_string_equal(b.data, cases[i].out);
        buf_free(&b);
    }
}

static void take_leaves_it_empty(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_str(&b, "abc");
    size_t len = 0;
    char *text = buf_take(&b, &len);
    assert_string_equal(text, "abc");
    assert_int_equal(len, 3);
    assert_int_equal(b.len, 0);
    free(text);
    buf_free(&b);
}

static void impossible_size_fails_softly(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_str(&b, "kept");
    assert_false(buf_reserve(&b, SIZE_MAX / 2));
    assert_true(b.failed);
    buf_str(&b, "ignored");
    assert_string_equal(b.data, "kept");
    assert_null(buf_take(&b, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_a_terminator),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(take_leaves_it_empty),
        cmocka_unit_test(impossible_size_fails_softly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
