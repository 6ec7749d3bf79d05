/* Which files `host test` runs. Main thread. */
#ifndef CLI_TEST_FILES_H
#define CLI_TEST_FILES_H

#include "base/err.h"

struct test_files {
    char **paths; /* sorted within each folder */
    int count, cap;
};

/* Files as they are named; of folders the *_test.lua files below, but for those whose names begin
 * with a dot. -1 with EXIT_FAILED: a path that is not there, or no file in all. test_files_free
 * either way. */
int test_files_find(struct test_files *f, const char *const *paths, int count, struct err *e);
void test_files_free(struct test_files *f);

#endif
