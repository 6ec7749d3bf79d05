/* Talking to a running host over its admin socket (contract, section 2). Main thread. */
#ifndef CLI_ADMIN_CLIENT_H
#define CLI_ADMIN_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

/* One request to the host that is meant: the one at `socket` if that is given, else the one that
 * LUAHOST_ADMIN_SOCKET names or the host.conf.lua of this folder (by its socket, or by its queue if
 * exactly one host consumes that), else the only one that runs. The answer's body, JSON, is added
 * to `out`. -1 with `e`: no host is found, several are (they are listed), nobody answers, or it
 * refuses, in its own words. */
int admin_client_call(const char *socket, const char *method, const char *target, struct buf *out,
                      struct err *e);

#endif
