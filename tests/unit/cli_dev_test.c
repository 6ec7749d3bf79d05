#include "cli/dev_handler.h"

#include "base/exit.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { FILES_MAX = 6 };

static const struct row {
    const char *files[FILES_MAX]; /* in a folder named signups; NULL: no more */
    const char *found;            /* NULL: an error with `words` */
    const char *words;
} rows[] = {
    {{0}, "=examples/register.lua", NULL},
    {{"host.conf.lua", "map_test.lua", ".hidden.lua", "notes.txt", ".lua"},
     "=examples/register.lua",
     NULL},
    {{"map.lua", "map_test.lua", "host.conf.lua"}, "map.lua", NULL},
    {{"map.lua", "signups.lua", "rules.lua"}, "signups.lua", NULL},
    {{"map.lua", "rules.lua"}, NULL, "map.lua"},
    {{"map.lua", "signups_2.lua"}, NULL, "signups_2.lua"},
};

static void remove_all(const struct row *row, const char *folder)
{
    char path[PATH_MAX];
    for (int i = 0; i < FILES_MAX && row->files[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, row->files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void which_handler(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char root[] = "/tmp/dev-XXXXXX", folder[64], path[PATH_MAX], found[PATH_MAX] = "";
        struct err e = {0};
        assert_non_null(mkdtemp(root));
        snprintf(folder, sizeof folder, "%s/signups", root);
        assert_int_equal(mkdir(folder, 0700), 0);
        for (int k = 0; k < FILES_MAX && rows[i].files[k]; k++) {
            snprintf(path, sizeof path, "%s/%s", folder, rows[i].files[k]);
            FILE *f = fopen(path, "w");
            assert_non_null(f);
            fclose(f);
        }
        int rc = dev_handler_find(folder, found, sizeof found, &e);
        if (rows[i].found) {
            assert_int_equal(rc, 0);
            assert_string_equal(found, rows[i].found);
        } else {
            assert_int_equal(rc, -1);
            assert_int_equal(e.code, EXIT_USAGE);
            assert_non_null(strstr(e.text, rows[i].words));
        }
        remove_all(&rows[i], folder);
        rmdir(root);
    }
}

static void no_folder(void **state)
{
    (void)state;
    char found[PATH_MAX];
    struct err e = {0};
    assert_int_equal(dev_handler_find("/nowhere/at/all", found, sizeof found, &e), -1);
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(which_handler),
                                       cmocka_unit_test(no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
