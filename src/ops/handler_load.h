/* The load phase of a handler, and nothing after it: for `host check`. One thread. */
#ifndef OPS_HANDLER_LOAD_H
#define OPS_HANDLER_LOAD_H

#include "base/err.h"
#include "conf/conf.h"

/* Compiles the handler and what it requires, runs its load phase in a state as workers have them,
 * and throws that away; M.init does not run. -1 with `e`: what, with file and line. */
int handler_load(const struct conf *c, const char *handler_path, struct err *e);

#endif
