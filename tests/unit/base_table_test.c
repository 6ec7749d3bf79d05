#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct item {
    struct table_node node;
    char key[16];
};

static void many_in_and_out(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct item *items = calloc(N, sizeof *items);
    struct table t;
    assert_int_equal(table_init(&t), 0);
    for (int i = 0; i < N; i++) {
        snprintf(items[i].key, sizeof items[i].key, "key-%d", i);
        assert_null(table_find(&t, items[i].key));
        table_add(&t, &items[i].node, items[i].key);
    }
    assert_int_equal(t.count, N);
    for (int i = 0; i < N; i += 2)
        table_remove(&t, &items[i].node);
    table_remove(&t, &items[0].node); /* a second time: nothing */
    assert_int_equal(t.count, N / 2);
    for (int i = 0; i < N; i++) {
        struct table_node *n = table_find(&t, items[i].key);
        assert_ptr_equal(n, i % 2 ? &items[i].node : NULL);
    }
    struct table_node *n;
    while ((n = table_any(&t)))
        table_remove(&t, n);
    assert_int_equal(t.count, 0);
    table_free(&t);
    free(items);
}

/* Emptying by table_any, with entries coming in meanwhile: each is met once. */
static void emptied_while_it_fills(void **state)
{
    (void)state;
    enum { N = 2000 };
    struct item *items = calloc(N, sizeof *items);
    struct table t;
    assert_int_equal(table_init(&t), 0);
    int added = 0, met = 0;
    struct table_node *n;
    do {
        for (int i = 0; i < 2 && added < N; i++, added++) {
            snprintf(items[added].key, sizeof items[added].key, "key-%d", added);
            table_add(&t, &items[added].node, items[added].key);
        }
        n = table_any(&t);
        if (n) {
            table_remove(&t, n);
            met++;
        }
    } while (n);
    assert_int_equal(met, N);
    assert_int_equal(t.count, 0);
    table_free(&t);
    free(items);
}

static void hashes_tell_lengths_apart(void **state)
{
    (void)state;
    static const char zeros[32];
    for (size_t a = 0; a < sizeof zeros; a++)
        for (size_t b = a + 1; b < sizeof zeros; b++)
            assert_int_not_equal(hash_bytes(zeros, a), hash_bytes(zeros, b));
    assert_int_equal(hash_bytes("abc", 3), hash_bytes("abcd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_in_and_out),
        cmocka_unit_test(emptied_while_it_fills),
        cmocka_unit_test(hashes_tell_lengths_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
