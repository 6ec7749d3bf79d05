/* What a reload has to say of a configuration that has changed. */
#include "conf_scene.h"

#include "conf/changes.h"

static const struct row {
    const char *before, *after; /* NULL: no file */
    const char *keys;
} rows[] = {
    {NULL, NULL, ""},
    {NULL, "return {}", ""},
    {"return { slots = 4 }", "return {}", ""}, /* the default */
    {"return { slots = 4 }", "return { slots = 5 }", "slots"},
    {"return { handler = { a = 1 } }", "return { handler = { a = 2 } }", ""},
    {"return { queue = { wait = 1 }, handler = {} }",
     "return { queue = { wait = 2, region = 'eu-west-1' }, handler = { b = 1 }, drain = 5 }",
     "queue.region, queue.wait, drain"},
    {"return { pii = { 'a', 'b' } }", "return { pii = { 'a' } }", "pii"},
    {"return { http = { allow = { 'a' } } }", NULL, "http.allow"},
};

static int count(const char *keys)
{
    int n = *keys != '\0';
    for (; *keys; keys++)
        n += *keys == ',';
    return n;
}

static void what_differs(void **state)
{
    const struct scene *s = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf before = {0}, now = {0};
        struct err e = {0};
        struct buf keys;
        buf_init(&keys);
        assert_int_equal(scene_load(s, &before, rows[i].before, NULL, NULL, NULL, &e), 0);
        assert_int_equal(scene_load(s, &now, rows[i].after, NULL, NULL, NULL, &e), 0);
        assert_int_equal(conf_changes(&before, &now, &keys), count(rows[i].keys));
        assert_string_equal(keys.len ? keys.data : "", rows[i].keys);
        buf_free(&keys);
        conf_free(&before);
        conf_free(&now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_differs, scene_make, scene_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
