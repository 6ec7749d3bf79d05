#include "policy/body_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct sample {
    const char *body, *pointer;
    const char *key; /* NULL: none, and the words of `why` */
    const char *why;
};

static const struct sample samples[] = {
    {"{\"a\":\"x\"}", "/a", "x", NULL},
    {"{\"a\":42}", "/a", "42", NULL},
    {"{\"a\":\"42\"}", "/a", "42", NULL},
    {"{\"a\":1.50}", "/a", "1.50", NULL},
    {"{\"a\":9223372036854775808}", "/a", "9223372036854775808", NULL},
    {"{\"a\":[1,{\"b\":\"y\"}]}", "/a/1/b", "y", NULL},
    {"{\"a/b\":\"x\",\"m~n\":\"y\"}", "/a~1b", "x", NULL},
    {"{\"a/b\":\"x\",\"m~n\":\"y\"}", "/m~0n", "y", NULL},
    {"{\"~1\":\"z\",\"/\":\"w\"}", "/~01", "z", NULL},
    {"{\"\":5}", "/", "5", NULL},
    {"{\"a%sb\":3}", "/a%sb", "3", NULL},
    {" {\"a\":1} \n", "/a", "1", NULL},
    {"{\"a\":\"x\\u0000y\"}", "/a", "\"x\\u0000y\"", NULL},
    {"{\"a\":\"z\xc3\xbcrich\"}", "/a", "z\xc3\xbcrich", NULL},
    {"{\"a\":1,\"a\":2}", "/a", "2", NULL},
    {"{\"a\":1}", "/b", NULL, "nothing"},
    {"{\"a\":1}", "/a/b", NULL, "nothing"},
    {"[1]", "/1", NULL, "nothing"},
    {"[1]", "/-", NULL, "nothing"},
    {"[5]", "/18446744073709551616", NULL, "nothing"},
    {"5", "/a", NULL, "nothing"},
    {"{\"a\":null}", "/a", NULL, "null"},
    {"{\"a\":true}", "/a", NULL, "boolean"},
    {"{\"a\":{}}", "/a", NULL, "object"},
    {"{\"a\":[1]}", "/a", NULL, "array"},
    {"{\"a\":\"\"}", "/a", NULL, "empty"},
    {"null", "/a", NULL, "null"},
    {"", "/a", NULL, "not JSON"},
    {"hello", "/a", NULL, "not JSON"},
    {"{\"a\":1", "/a", NULL, "not JSON"},
    {"{\"a\":1} x", "/a", NULL, "not JSON"},
    {"{\"a\":1,}", "/a", NULL, "not JSON"},
    {"{\"a\":/**/1}", "/a", NULL, "not JSON"},
    {"{\"a\":1}{\"a\":2}", "/a", NULL, "not JSON"},
};

static void keys_of_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        const char *why = NULL;
        char *key = body_key(s->body, strlen(s->body), s->pointer, &why);
        if (s->key) {
            assert_non_null(key);
            assert_string_equal(key, s->key);
        } else {
            assert_null(key);
            assert_non_null(strstr(why, s->why));
        }
        free(key);
    }
}

/* Two megabytes of brackets must not reach the end of the stack. */
static void deep_bodies_have_none(void **state)
{
    (void)state;
    enum { DEEP = 1 << 20 };
    char *body = malloc(2 * DEEP + 1);
    const char *why = NULL;
    memset(body, '[', DEEP);
    memset(body + DEEP, ']', DEEP);
    body[2 * DEEP] = '\0';
    assert_null(body_key(body, 2 * DEEP, "/0", &why));
    assert_non_null(strstr(why, "not JSON"));
    free(body);
}

static void long_keys_are_keys(void **state)
{
    (void)state;
    enum { LONG = 3000 };
    char body[LONG + 20] = "{\"a\":\"";
    const char *why = NULL;
    memset(body + 6, 'k', LONG);
    strcpy(body + 6 + LONG, "\"}");
    char *key = body_key(body, strlen(body), "/a", &why);
    assert_int_equal(strlen(key), LONG);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_bodies),
        cmocka_unit_test(deep_bodies_have_none),
        cmocka_unit_test(long_keys_are_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
