/* What one key alone cannot tell: keys that go together, and features that are not built yet.
 * For conf/ only. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "base/err.h"
#include "conf/conf.h"

/* After all sources have been read. Adds to c->warnings; -1 with EXIT_CONFIG. */
int conf_check(struct conf *c, struct err *e);

#endif
