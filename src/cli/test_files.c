#include "cli/test_files.h"

#include "base/exit.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char suffix[] = "_test.lua";

static int no_memory(struct err *e)
{
    return err_set(e, EXIT_FAILED, "no memory for the names of the tests");
}

/* Takes `path` over. */
static int add(struct test_files *f, char *path, struct err *e)
{
    if (path && f->count == f->cap) {
        int cap = f->cap ? f->cap * 2 : 16;
        char **more = realloc(f->paths, (size_t)cap * sizeof *more);
        if (more) {
            f->paths = more;
            f->cap = cap;
        }
    }
    if (!path || f->count == f->cap) {
        free(path);
        return no_memory(e);
    }
    f->paths[f->count++] = path;
    return 0;
}

static bool is_test(const char *name)
{
    size_t len = strlen(name);
    return len > sizeof suffix - 1 && strcmp(name + len - (sizeof suffix - 1), suffix) == 0;
}

static char *join(const char *folder, const char *name)
{
    char *path;
    if (strcmp(folder, ".") == 0)
        return strdup(name);
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int search(struct test_files *f, const char *folder, struct err *e)
{
    struct dirent **list;
    int n = scandir(folder, &list, visible, alphasort);
    if (n < 0)
        return err_set(e, EXIT_FAILED, "%s: %s", folder, strerror(errno));
    int rc = 0;
    for (int i = 0; i < n; i++) {
        struct stat st;
        char *path = rc == 0 ? join(folder, list[i]->d_name) : NULL;
        if (rc == 0 && !path)
            rc = no_memory(e);
        else if (path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            rc = search(f, path, e);
        else if (path && is_test(list[i]->d_name)) {
            rc = add(f, path, e);
            path = NULL;
        }
        free(path);
        free(list[i]);
    }
    free(list);
    return rc;
}

int test_files_find(struct test_files *f, const char *const *paths, int count, struct err *e)
{
    *f = (struct test_files){0};
    for (int i = 0; i < count; i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0)
            return err_set(e, EXIT_FAILED, "%s: %s", paths[i], strerror(errno));
        int rc = S_ISDIR(st.st_mode) ? search(f, paths[i], e) : add(f, strdup(paths[i]), e);
        if (rc != 0)
            return rc;
    }
    if (f->count > 0)
        return 0;
    return err_set(e, EXIT_FAILED,
                   "no tests in %s: files of tests are named like register%s; `host test --help` "
                   "tells more",
                   strcmp(paths[0], ".") == 0 ? "this folder" : paths[0], suffix);
}

void test_files_free(struct test_files *f)
{
    for (int i = 0; i < f->count; i++)
        free(f->paths[i]);
    free(f->paths);
}
