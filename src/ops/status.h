/* The running host in JSON, for people's tools: `host status` and /api/v1. Core thread.
 *
 * Durations are in seconds, with names that end in _s. out->failed: no memory. */
#ifndef OPS_STATUS_H
#define OPS_STATUS_H

#include "base/buf.h"

struct running;

/* {"state": "starting|receiving|held|stopping", "hold": {"reason", "target", "for_s"} or null, …,
 * "targets" and "worker_list": as below} */
void status_host(const struct running *r, struct buf *out);
/* [{"worker", "state", "running", "in_one_turn_s"}, …] */
void status_workers(const struct running *r, struct buf *out);
/* [{"target", "state": "closed|trying|open", "parked", "down_s"}, …] */
void status_targets(const struct running *r, struct buf *out);

#endif
