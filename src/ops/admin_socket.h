/* Where the admin's Unix sockets are (contract, section 2): QUEUE-PID.sock in
 * $XDG_RUNTIME_DIR/luahost/; without that variable root has /run/luahost/. Main thread. */
#ifndef OPS_ADMIN_SOCKET_H
#define OPS_ADMIN_SOCKET_H

#include "base/err.h"

#include <stddef.h>

enum { ADMIN_PATH_BYTES = 108 }; /* what a Unix socket's path may have */

/* A path for this process; makes the folder, and removes the sockets of hosts that are gone. */
int admin_socket_place(const char *queue_name, char out[ADMIN_PATH_BYTES], struct err *e);

/* Calls `each` for every socket at which somebody listens that this user may use, in the folder
 * above; for root, if there are none, in /run/luahost/ too, since a service has no such variable.
 * Returns their number. */
int admin_socket_each_live(void (*each)(void *arg, const char *path), void *arg);

#endif
