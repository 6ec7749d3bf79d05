/* The stand-in servers of `host dev`, on a thread of their own, so that the host and they do not
 * wait for each other. Main thread. */
#ifndef CLI_DEV_SERVERS_H
#define CLI_DEV_SERVERS_H

#include "base/err.h"
#include "vm/sandbox.h"

struct dev_servers;

/* Listening when it returns. The options must live as long. NULL with `e`, as from sandbox_new. */
struct dev_servers *dev_servers_start(const struct sandbox_options *options, struct err *e);
void dev_servers_stop(struct dev_servers *d); /* what they hold is gone; NULL is fine */

/* "127.0.0.1:9324" */
const char *dev_servers_address(const struct dev_servers *d);

#endif
