#include "vm/bundle.h"

#include "base/exit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[32], first[64], second[64];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/bundle-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(first, sizeof first, "%s/first.lua", folder);
    snprintf(second, sizeof second, "%s/second.lua", folder);
    write_file(first, "one");
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(first);
    unlink(second);
    return rmdir(folder);
}

static void expect(struct bundle *b, const char *path, const char *text)
{
    struct err e = {0};
    size_t len = 0;
    const char *bytes = bundle_file(b, path, &len, &e);
    assert_string_equal(e.text, "");
    if (text) {
        assert_int_equal(len, strlen(text));
        assert_memory_equal(bytes, text, len);
    } else {
        assert_null(bytes);
    }
}

/* What was read once is what there is, whatever happens to the disk. */
static void bytes_stay(void **state)
{
    (void)state;
    struct bundle *b = bundle_new(first, "{}", 7);
    assert_non_null(b);
    expect(b, first, "one");
    expect(b, second, NULL);
    write_file(first, "changed");
    expect(b, first, "one");
    write_file(second, "late");
    bundle_seal(b);
    expect(b, second, NULL);
    unlink(first);
    expect(bundle_ref(b), first, "one");
    bundle_unref(b);
    expect(b, first, "one");
    assert_string_equal(bundle_nth(b, 0), first);
    assert_null(bundle_nth(b, 1));
    assert_int_equal(bundle_generation(b), 7);
    bundle_unref(b);
}

static void what_cannot_be_read(void **state)
{
    (void)state;
    struct bundle *b = bundle_new(folder, "{}", 1);
    struct err e = {0};
    size_t len;
    assert_null(bundle_file(b, folder, &len, &e));
    assert_int_equal(e.code, EXIT_CONFIG);
    assert_non_null(strstr(e.text, "is a folder, not a file"));
    bundle_unref(b);
}

static void what_is_built_in(void **state)
{
    (void)state;
    struct bundle *b = bundle_new("=examples/register.lua", "{}", 1);
    struct err e = {0};
    size_t len = 0;
    const char *text = bundle_file(b, bundle_path(b), &len, &e);
    assert_non_null(text);
    assert_true(len > 100 && strncmp(text, "--- Registers people", 20) == 0);
    expect(b, "=examples/nothing.lua", NULL);
    bundle_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_stay, set_up, clean_up),
        cmocka_unit_test_setup_teardown(what_cannot_be_read, set_up, clean_up),
        cmocka_unit_test_setup_teardown(what_is_built_in, set_up, clean_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
