/* What `host check` says of source that loads: lua/tools/lint.lua on every file of the bundle.
 * Main thread. */
#ifndef CLI_LINT_H
#define CLI_LINT_H

#include "base/err.h"
#include "conf/conf.h"

struct bundle;
struct checklist;

/* Adds a doubt for each finding, with its line. -1 with `e`: it could not be done. */
int lint(const struct conf *c, struct bundle *handler, struct checklist *list, struct err *e);

#endif
