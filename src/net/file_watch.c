#include "net/file_watch.h"

#include "base/buf.h"
#include "base/list.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* An editor's write, rename and chmod come within this; so does the swap of several links. */
static const double QUIET_S = 0.05, GONE_AGAIN_S = 1;
static const uint32_t EVENTS = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
                               IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

struct folder {
    struct list node;
    int id; /* -1: it is not there */
    char path[];
};

struct file_watch {
    struct ev_loop *loop;
    void (*changed)(void *arg);
    void *arg;
    int fd;
    ev_io readable;
    ev_timer quiet; /* since the last change */
    ev_timer gone;  /* until folders that are not there are looked for */
    struct list folders;
};

/* Of what editors leave beside a file nothing is interesting, but a link that is swapped is. */
static bool counts(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || strncmp(name, "..", 2) == 0)
        return true;
    return *name != '.' && len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static void look_for_gone(struct file_watch *w)
{
    bool missing = false;
    list_for_each (node, &w->folders) {
        struct folder *f = list_entry(node, struct folder, node);
        if (f->id < 0 && (f->id = inotify_add_watch(w->fd, f->path, EVENTS)) >= 0)
            ev_timer_again(w->loop, &w->quiet); /* what is in it may have changed */
        missing |= f->id < 0;
    }
    if (missing)
        ev_timer_again(w->loop, &w->gone);
    else
        ev_timer_stop(w->loop, &w->gone);
}

static void forget(struct file_watch *w, int id)
{
    list_for_each (node, &w->folders) {
        struct folder *f = list_entry(node, struct folder, node);
        if (f->id == id)
            f->id = -1;
    }
    ev_timer_again(w->loop, &w->gone);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct file_watch *w = io->data;
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t n;
    while ((n = read(w->fd, bytes, sizeof bytes)) > 0) {
        for (char *at = bytes; at < bytes + n;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            at += sizeof *event + event->len;
            if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
                forget(w, event->wd);
            if (event->mask & IN_Q_OVERFLOW || counts(event->len > 0 ? event->name : ""))
                ev_timer_again(loop, &w->quiet);
        }
    }
}

static void on_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct file_watch *w = timer->data;
    ev_timer_stop(loop, timer);
    w->changed(w->arg);
}

static void on_gone(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    look_for_gone(timer->data);
}

struct file_watch *file_watch_new(struct ev_loop *loop, void (*changed)(void *arg), void *arg,
                                  struct err *e)
{
    struct file_watch *w = calloc(1, sizeof *w);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (!w || fd < 0) {
        err_set(e, 0, "files cannot be watched: %s (fs.inotify.max_user_instances)",
                w ? strerror(errno) : "no memory");
        free(w);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    w->loop = loop;
    w->changed = changed;
    w->arg = arg;
    w->fd = fd;
    list_init(&w->folders);
    ev_init(&w->quiet, on_quiet);
    ev_init(&w->gone, on_gone);
    w->quiet.repeat = QUIET_S;
    w->gone.repeat = GONE_AGAIN_S;
    w->quiet.data = w->gone.data = w->readable.data = w;
    ev_io_init(&w->readable, on_readable, fd, EV_READ);
    ev_io_start(loop, &w->readable);
    return w;
}

void file_watch_free(struct file_watch *w)
{
    struct list *node;
    if (!w)
        return;
    while ((node = list_pop(&w->folders)))
        free(list_entry(node, struct folder, node));
    ev_io_stop(w->loop, &w->readable);
    ev_timer_stop(w->loop, &w->quiet);
    ev_timer_stop(w->loop, &w->gone);
    close(w->fd);
    free(w);
}

static int add_folder(struct file_watch *w, const char *path, size_t len, struct err *e)
{
    list_for_each (node, &w->folders) {
        struct folder *f = list_entry(node, struct folder, node);
        if (strlen(f->path) == len && strncmp(f->path, path, len) == 0)
            return 0;
    }
    struct folder *f = calloc(1, sizeof *f + len + 1);
    if (!f)
        return err_set(e, 0, "no memory to watch files");
    memcpy(f->path, path, len);
    f->id = inotify_add_watch(w->fd, f->path, EVENTS);
    if (f->id < 0 && errno == ENOSPC) {
        free(f);
        return err_set(e, 0, "%.*s: no watch is left (fs.inotify.max_user_watches)", (int)len,
                       path);
    }
    list_append(&w->folders, &f->node);
    look_for_gone(w);
    return 0;
}

static int add_folder_of(struct file_watch *w, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return add_folder(w, ".", 1, e);
    return add_folder(w, path, slash == path ? 1 : (size_t)(slash - path), e);
}

int file_watch_add(struct file_watch *w, const char *path, struct err *e)
{
    char real[PATH_MAX];
    if (add_folder_of(w, path, e) != 0)
        return -1;
    return realpath(path, real) ? add_folder_of(w, real, e) : 0;
}
