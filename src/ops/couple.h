/* breaker.couple as the flow wants it. Main thread, at the start. */
#ifndef OPS_COUPLE_H
#define OPS_COUPLE_H

#include "base/err.h"

/* Each URL of the list as scheme://host:port, commas between; the caller frees it. NULL with
 * EXIT_CONFIG: one of them is no URL; NULL with code 0: the list is NULL or empty. */
char *couple_origins(const char *list, struct err *e);

#endif
