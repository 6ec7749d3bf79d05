/* Which handler `host dev` runs when none is named. Main thread. */
#ifndef CLI_DEV_HANDLER_H
#define CLI_DEV_HANDLER_H

#include "base/err.h"

#include <stddef.h>

/* Of the .lua files in `folder` that are neither tests nor the configuration: the only one, or the
 * one that has the folder's name; with none at all, the example in the binary. -1 with EXIT_USAGE
 * and their names. */
int dev_handler_find(const char *folder, char *path, size_t size, struct err *e);

#endif
