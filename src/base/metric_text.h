/* Metrics as text: Prometheus's exposition format 0.0.4. Any thread, one at a time.
 *
 * All series of one metric stand together, metadata first; `le` is written as Prometheus 3 would
 * ("1.0"); counters, buckets and sums are never NaN. */
#ifndef BASE_METRIC_TEXT_H
#define BASE_METRIC_TEXT_H

#include "base/buf.h"
#include "base/metric.h"

#define METRIC_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Everything in `ms` that is shown, the shares of all writers added up. */
void metrics_text(struct metrics *ms, struct buf *out);

/* For numbers that are counted elsewhere: first the head, then each series. `labels` is text as it
 * is printed, `state="held"`, or NULL. */
void metric_text_head(struct buf *out, const char *name, enum metric_type type, const char *help);
void metric_text_value(struct buf *out, const char *name, const char *labels, double value);

/* `name="value"`, escaped, after a comma if something is there already. */
void metric_text_label(struct buf *labels, const char *name, const char *value);

#endif
