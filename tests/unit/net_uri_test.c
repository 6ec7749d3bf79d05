#include "net/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void decodes_uris(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    assert_true(uri_decode(&b, "a+b%2Bc%c3%BC", 13, true));
    assert_string_equal(b.data, "a b+c\xc3\xbc");
    buf_clear(&b);
    assert_true(uri_decode(&b, "a+b", 3, false));
    assert_string_equal(b.data, "a+b");
    assert_false(uri_decode(&b, "%0", 2, false));
    assert_false(uri_decode(&b, "%", 1, false));
    assert_false(uri_decode(&b, "%g0", 3, false));
    buf_free(&b);
    struct uri_pair p;
    size_t at = 0;
    assert_true(uri_next("&a=1&&b&c==", &at, &p));
    assert_memory_equal(p.name, "a", p.name_len);
    assert_memory_equal(p.value, "1", p.value_len);
    assert_true(uri_next("&a=1&&b&c==", &at, &p));
    assert_int_equal(p.name_len, 1);
    assert_int_equal(p.value_len, 0);
    assert_true(uri_next("&a=1&&b&c==", &at, &p));
    assert_int_equal(p.value_len, 1);
    assert_false(uri_next("&a=1&&b&c==", &at, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_uris),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
