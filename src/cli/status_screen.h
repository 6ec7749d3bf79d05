/* /api/v1/status as people read it. Main thread. */
#ifndef CLI_STATUS_SCREEN_H
#define CLI_STATUS_SCREEN_H

#include "base/buf.h"

struct json_object;

/* Writes lines; what the host does not tell is left out. */
void status_screen(struct json_object *status, struct buf *out);

#endif
