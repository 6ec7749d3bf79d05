#include "ops/admin_socket.h"

#include "net/listen.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REST_BYTES = 16, /* "/", "-", a process id, ".sock", and the NUL */
    QUEUE_NAME_MIN = 8,
    FOLDER_MAX = ADMIN_PATH_BYTES - REST_BYTES - QUEUE_NAME_MIN,
};

#define ROOT_FOLDER "/run/luahost"

static const char *runtime_folder(void)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");
    return folder && folder[0] == '/' ? folder : NULL;
}

static int find_folder(char out[FOLDER_MAX], struct err *e)
{
    const char *runtime = runtime_folder();
    if (!runtime && geteuid() != 0)
        return err_set(e, ENOENT,
                       "XDG_RUNTIME_DIR is not set, so there is no folder for the admin socket: "
                       "set admin.socket to a path");
    int len = runtime ? snprintf(out, FOLDER_MAX, "%s/luahost", runtime)
                      : snprintf(out, FOLDER_MAX, ROOT_FOLDER);
    return len < FOLDER_MAX ? 0
                            : err_set(e, ENAMETOOLONG,
                                      "XDG_RUNTIME_DIR (%s) is too long for a socket's path: set "
                                      "admin.socket to a shorter one",
                                      runtime);
}

static bool is_socket_name(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".sock") == 0;
}

/* Calls `each` with the path of every file that is named as a socket. */
static void each_socket(const char *folder, void (*each)(void *arg, const char *path), void *arg)
{
    char path[ADMIN_PATH_BYTES + 256];
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (const struct dirent *entry; (entry = readdir(d));) {
        if (!is_socket_name(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strlen(path) < ADMIN_PATH_BYTES)
            each(arg, path);
    }
    closedir(d);
}

static void remove_stale(void *arg, const char *path)
{
    (void)arg;
    if (listen_is_stale(path))
        unlink(path);
}

int admin_socket_place(const char *queue_name, char out[ADMIN_PATH_BYTES], struct err *e)
{
    char folder[FOLDER_MAX];
    if (find_folder(folder, e) != 0)
        return -1;
    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST)
        return err_set(e, errno, "cannot make %s, the folder of the admin socket: %s", folder,
                       strerror(errno));
    each_socket(folder, remove_stale, NULL);
    int left = ADMIN_PATH_BYTES - REST_BYTES - (int)strlen(folder);
    snprintf(out, ADMIN_PATH_BYTES, "%s/%.*s-%d.sock", folder, left, queue_name, (int)getpid());
    return 0;
}

struct live {
    void (*each)(void *arg, const char *path);
    void *arg;
    int count;
};

static void offer(void *arg, const char *path)
{
    struct live *live = arg;
    if (access(path, R_OK | W_OK) != 0 || listen_is_stale(path))
        return;
    live->count++;
    live->each(live->arg, path);
}

int admin_socket_each_live(void (*each)(void *arg, const char *path), void *arg)
{
    struct live live = {each, arg, 0};
    char folder[FOLDER_MAX];
    if (find_folder(folder, NULL) == 0)
        each_socket(folder, offer, &live);
    if (live.count == 0 && runtime_folder() && geteuid() == 0)
        each_socket(ROOT_FOLDER, offer, &live);
    return live.count;
}
