/* host.conf.lua: Lua that returns a table. For conf/ only. */
#ifndef CONF_FILE_H
#define CONF_FILE_H

#include "base/err.h"
#include "conf/conf.h"

/* Runs the file in a Lua state of its own, closed down (string, table, math, os.getenv; no
 * way to loop for ever or to take all memory), and sets the fields of `c` that its table
 * names. -1 with EXIT_CONFIG: the text names file, line where it is known, key, what was found. */
int conf_read_file(struct conf *c, const char *path, struct err *e);

#endif
