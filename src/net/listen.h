/* Listening sockets: TCP from "HOST:PORT", or a Unix one from a path. Any thread.
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

/* A Unix socket that only this user can connect to (mode 0600). A file that an earlier process left
 * there is replaced; one that somebody answers at, or that is no socket, is not. -1 with `e`, its
 * code as above. The file stays when the socket is closed: the caller unlinks it. */
int listen_unix(const char *path, struct err *e);

/* True if the path is a socket at which nobody listens any more. */
bool listen_is_stale(const char *path);

#endif
