/* Tells when files change, by watching the folders that they are in: editors write a new file and
 * rename it, and mounted configuration swaps a symbolic link, which no watch of the file itself
 * sees. A burst of changes is told once. One loop's thread. Linux (inotify). */
#ifndef NET_FILE_WATCH_H
#define NET_FILE_WATCH_H

#include "base/err.h"

#include <ev.h>

struct file_watch;

/* NULL with `e`: no inotify instance is left, or no memory. */
struct file_watch *file_watch_new(struct ev_loop *loop, void (*changed)(void *arg), void *arg,
                                  struct err *e);
void file_watch_free(struct file_watch *w); /* NULL is fine */

/* Watches the folder that `path` is in, and, if it is a link, the one that it leads to. A folder
 * that is gone is looked for again each second. -1 with `e`: no watch is left. */
int file_watch_add(struct file_watch *w, const char *path, struct err *e);

#endif
