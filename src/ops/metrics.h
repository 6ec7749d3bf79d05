/* All metrics of the running host (contract, section 6) as Prometheus reads them: what threads
 * count in their shares, and what the flow, the pool, the log and the kernel know. Core thread. */
#ifndef OPS_METRICS_H
#define OPS_METRICS_H

#include "base/buf.h"
#include "base/err.h"

struct metric;
struct running;

/* The core thread's share of luahost_settle_entries_failed_total. NULL with `e`: no memory. */
struct metric *metrics_entries_failed(const struct running *r, struct err *e);

/* out->failed: no memory. */
void metrics_write(const struct running *r, struct buf *out);

#endif
