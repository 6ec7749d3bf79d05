/* Talking to a running host over its admin socket (contract, section 2). Main thread. */
#ifndef CLI_ADMIN_CLIENT_H
#define CLI_ADMIN_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

struct json_object;

/* One request to the host that is meant: the one at `socket` if that is given, else the one that
 * LUAHOST_ADMIN_SOCKET names or the host.conf.lua of this folder (by its socket; by its queue; or
 * the one that reads this very file, whatever queue a flag has named), else, if none of that names
 * a queue, the only one that runs. The answer's body, JSON, is added to `out`. -1 with `e`: no such
 * host is found, several are (they are listed), nobody answers, or it refuses, in its own words. */
int admin_client_call(const char *socket, const char *method, const char *target, struct buf *out,
                      struct err *e);

/* The same for an answer that is to be read: an object, the caller's; NULL with `e`. */
struct json_object *admin_client_ask(const char *socket, const char *method, const char *target,
                                     struct err *e);
/* An answer's text as an object, the caller's; NULL with `e`. */
struct json_object *admin_client_object(const struct buf *answer, struct err *e);

/* For the help of commands that call. */
#define ADMIN_CLIENT_FINDS                                                                         \
    "The host is the one that --socket or LUAHOST_ADMIN_SOCKET names, or the host.conf.lua of\n"   \
    "this folder (by its socket or queue), or where no queue is named the only one that runs\n"    \
    "here; if it is not clear which, nothing is done and they are listed.\n"
#define ADMIN_CLIENT_SOCKET_HELP "the host's admin socket [the only one here]"

#endif
