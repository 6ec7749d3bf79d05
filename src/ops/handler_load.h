/* The load phase of a handler, and nothing after it: for `host check`, and to fill the bundle that
 * workers start with. One thread. */
#ifndef OPS_HANDLER_LOAD_H
#define OPS_HANDLER_LOAD_H

#include "base/err.h"
#include "conf/conf.h"

struct bundle;

/* Compiles the handler and what it requires, runs its load phase in a state as workers have them,
 * and throws that away; M.init does not run. The bundle has its files then, sealed; the caller's.
 * NULL with `e` (EXIT_CONFIG): what, with file and line. */
struct bundle *handler_load(const struct conf *c, const char *handler_path, struct err *e);

#endif
