/* The load phase of a handler, and nothing after it: for `host check`, and to fill the bundle that
 * workers start with. One thread. */
#ifndef OPS_HANDLER_LOAD_H
#define OPS_HANDLER_LOAD_H

#include "base/err.h"
#include "conf/conf.h"

struct bundle;

/* Compiles the handler and what it requires, runs its load phase in a state as workers have them,
 * and throws that away; M.init does not run. The new bundle has its files then, sealed. -1 with `e`
 * (EXIT_CONFIG): what, with file and line; the bundle has the files that were read. */
int handler_load(const struct conf *c, struct bundle *b, struct err *e);

#endif
