#include "cli/dev_handler.h"

#include "base/buf.h"
#include "base/exit.h"
#include "conf/conf.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXAMPLE "=examples/register.lua"

static bool ends_in(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);
    return len > n && strcmp(name + len - n, end) == 0;
}

static bool may_be_handler(const char *name)
{
    return *name != '.' && ends_in(name, ".lua") && !ends_in(name, "_test.lua") &&
           !ends_in(name, ".conf.lua");
}

/* "/home/ann/signups" has signups.lua. */
static bool has_folders_name(const char *folder, const char *name)
{
    char *path = realpath(folder, NULL);
    const char *base = path ? strrchr(path, '/') + 1 : "";
    bool same = strlen(name) == strlen(base) + 4 && strncmp(name, base, strlen(base)) == 0;
    free(path);
    return same;
}

int dev_handler_find(const char *folder, char *path, size_t size, struct err *e)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    struct buf names;
    int count = 0;
    bool found = false;
    if (!dir)
        return err_set(e, EXIT_USAGE, "%s: %s", folder, strerror(errno));
    buf_init(&names);
    while (!found && (entry = readdir(dir))) {
        if (!may_be_handler(entry->d_name))
            continue;
        snprintf(path, size, "%s", entry->d_name);
        buf_printf(&names, "%s%s", count++ > 0 ? ", " : "", entry->d_name);
        found = has_folders_name(folder, entry->d_name);
    }
    closedir(dir);
    if (count == 0)
        snprintf(path, size, EXAMPLE);
    if (count > 1 && !found)
        err_set(e, EXIT_USAGE, "which of these is the handler? %s: host dev HANDLER",
                names.failed ? "" : names.data);
    buf_free(&names);
    return count > 1 && !found ? -1 : 0;
}
