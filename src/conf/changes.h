/* What differs between two configurations, for a reload. Any thread. */
#ifndef CONF_CHANGES_H
#define CONF_CHANGES_H

#include "base/buf.h"
#include "conf/conf.h"

/* Appends the keys whose values differ, commas between, without `handler`, which is the one that a
 * reload takes. How many. */
int conf_changes(const struct conf *before, const struct conf *now, struct buf *keys);

#endif
