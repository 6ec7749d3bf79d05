/* A listening TCP socket from "HOST:PORT". Any thread.
 *
 * Servers of this program are for the machine they run on: another than a loopback address
 * must be asked for. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { LISTEN_NAME_MAX = 64 };

/* `address`: "127.0.0.1:9324", "[::1]:0", "localhost:9324"; port 0: the system chooses.
 * Returns the non-blocking, close-on-exec socket (the caller closes it) and writes what it is
 * bound to, as "127.0.0.1:40123", into `name`. -1 with `e`: the code is an errno value
 * (EADDRINUSE: taken; EINVAL: no address; EACCES: port below 1024, or `allow_remote` is
 * missing). */
int listen_tcp(const char *address, bool allow_remote, char name[LISTEN_NAME_MAX], struct err *e);

#endif
