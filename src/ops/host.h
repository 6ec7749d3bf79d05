/* The whole program at work: puts queue, flow, pool and tokens together on the core thread's
 * loop and runs until the flow has ended. Main thread only, once per process. */
#ifndef OPS_HOST_H
#define OPS_HOST_H

#include "conf/conf.h"

#include <stdbool.h>

struct host_options {
    const struct conf *conf;
    const struct conf_request *request; /* where it came from: a reload reads it again */
    const char *handler_path;
    bool watch; /* reload when a file of the handler, or the configuration, changes */
    bool mends; /* with `watch`: a handler that does not load at the start is waited for */
    bool until_empty;
    double patience_s;
    /* Once, when it consumes the queue or waits for the handler; or NULL. `admin`: where the admin
     * server listens; NULL: nowhere */
    void (*up)(void *arg, const char *admin);
    void *arg;
};

/* Returns the exit code (base/exit.h); everything that went wrong has been logged. */
int host_run(const struct host_options *options);

#endif
