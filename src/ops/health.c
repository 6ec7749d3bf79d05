#include "ops/health.h"

#include <stddef.h>

enum { SILENT_RECEIVES = 3 }; /* of the longest kind, before it looks stuck */

const char *health_dead(const struct health_facts *f)
{
    if (f->turn_ms > f->turn_max_ms)
        return "a worker is stuck: its handler does not give it back";
    bool silent = f->silent_ms > SILENT_RECEIVES * f->receive_max_ms;
    if (f->flow && !f->stopping && !f->held && silent)
        return "receiving stands still, and nothing holds it";
    return NULL;
}

const char *health_unready(const struct health_facts *f)
{
    if (f->stuck)
        return "stopping: workers got stuck in C code, it has to start anew";
    if (f->stopping)
        return "stopping";
    if (!f->flow)
        return "starting: the handler is being loaded, the queue looked up";
    if (!f->answered)
        return "starting: the queue has not answered yet";
    if (!f->usable)
        return "the queue cannot be received from";
    return NULL;
}
