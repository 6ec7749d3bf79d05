/* Numbers that many threads write and one reads now and then. A metric has a name, names of labels,
 * and one series of values for each set of label values.
 *
 * Every writer, a number that stands for a thread, has a share of its own of each metric that it
 * writes, and is the only one to write there: relaxed loads and stores, no lock and no line of
 * cache that another thread writes. Whoever reads adds the shares up. So a counter is what all
 * threads counted, and a gauge is a sum too (memory of all workers). Only a gauge that is marked
 * `common` is one number for the whole process, written by whoever sets it last.
 *
 * Series are bounded, because a name that somebody else chooses must not fill memory: of each share
 * at most `series_max`, further ones are counted as one whose labels all say "other".
 *
 * What is replaced while the process runs, the handler, declares metrics as a generation of it, a
 * number that is not 0. A metric that the next generation declares alike goes on; one of the same
 * name with another type, other labels, buckets or `series_max` is another one, which counts beside
 * it unseen: only one generation's metrics are shown at a time, so that a name never stands for two
 * things in one text. Those of no generation, 0, are the host's own and always shown.
 *
 * A NULL metric takes what it is told and forgets it. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    METRIC_LABELS_MAX = 4,
    METRIC_BOUNDS_MAX = 24,
    METRIC_VALUE_MAX_BYTES = 128, /* of a label; longer ones are cut */
    METRIC_SERIES_MAX = 1000,
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_desc {
    const char *name; /* whole: "luahost_messages_settled_total" */
    const char *help;
    enum metric_type type;
    const char *labels[METRIC_LABELS_MAX]; /* the first NULL ends them */
    const double *bounds;                  /* of a histogram: upper ones, rising */
    int bounds_count;
    int series_max; /* 0: one, for a metric without labels */
    bool common;    /* METRIC_GAUGE only */
    uint32_t generation;
};

struct metrics;
struct metric; /* a writer's share, or the whole of a common one */

struct metrics *metrics_new(void);     /* NULL: no memory */
void metrics_free(struct metrics *ms); /* no writer may be left */

/* The share of that writer, made if there is none yet: a writer that comes again goes on where it
 * was. Any thread. What `desc` points at is copied. A metric without labels has its series, at 0,
 * from here on. Of a generation: until all who have joined it leave. NULL with `e`: that generation
 * has something else under that name, or no memory. */
struct metric *metrics_open(struct metrics *ms, int writer, const struct metric_desc *desc,
                            struct err *e);

/* A part of a generation: one thread's, which opens metrics and writes them from joining to
 * leaving. What a generation has opened goes with its last part, unless it is shown or another
 * generation has it, too. Any thread; the memory is the caller's. */
struct metric_part {
    struct list node;
    uint32_t generation;
};
void metrics_join(struct metrics *ms, struct metric_part *part, uint32_t generation);
void metrics_leave(struct metrics *ms, struct metric_part *part); /* one that never joined, too */

/* The generation whose metrics are read from now on; at first there is none. Any thread. */
void metrics_show(struct metrics *ms, uint32_t generation);

/* `values` has one for each label; NULL for a metric without labels. The writer's thread only, but
 * for a common metric: any. */
void metric_touch(struct metric *m, const char *const *values); /* a series that starts at 0 */
void metric_add(struct metric *m, const char *const *values, double by);
void metric_set(struct metric *m, const char *const *values, double to);        /* a gauge */
void metric_observe(struct metric *m, const char *const *values, double value); /* a histogram */

/* Of METRIC_HISTOGRAM in seconds: from 1 ms to 60 s. */
enum { METRIC_SECONDS_COUNT = 15 };
extern const double metric_seconds[METRIC_SECONDS_COUNT];

#endif
