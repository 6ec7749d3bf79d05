/* The inside of metrics, for metric.c, which writes them, and metric_text.c, which reads them.
 * Not for other files: they have metric.h and metric_text.h. */
#ifndef BASE_METRIC_SHARE_H
#define BASE_METRIC_SHARE_H

#include "base/list.h"
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Written by the share's writer, read by anybody, at any time. Freed with its family only. */
struct series {
    uint64_t hash;
    _Atomic double value; /* of a histogram: the sum */
    _Atomic uint64_t
        *counts;      /* of a histogram, each bucket for itself; the last is above all bounds */
    const char *text; /* `target="…",method="GET"`, as it is printed; "" without labels */
    char key[]; /* the label values, a NUL after each; then `text`, in which they may be cut */
};

struct metric {
    struct list node; /* in family->shares */
    struct family *family;
    int writer;
    pthread_mutex_t lock; /* of a common one: while a series is looked for */
    _Atomic int count;    /* of `series` that can be read: they are whole before it grows */
    int slots_mask;
    uint16_t *slots;      /* by hash: 1 + index into `series`; 0: free */
    struct series *other; /* made in time, shown when it is needed */
    struct series *series[];
};

/* A generation that has declared a family; each may have its own words for it. */
struct family_use {
    struct list node; /* in family->uses */
    uint32_t generation;
    char help[];
};

struct family {
    struct list node;        /* in metrics->families */
    struct metric_desc desc; /* without `help` and `generation`, which are the uses' */
    int label_count;
    struct list uses;
    struct list shares;
    char text[]; /* what desc's strings are */
};

struct metrics {
    pthread_mutex_t lock; /* the lists; not the numbers */
    struct list families; /* in the order of their opening */
    struct list parts;    /* struct metric_part, of all generations */
    uint32_t shown;
};

/* NULL: that generation has not declared it. */
struct family_use *family_use_of(const struct family *f, uint32_t generation);

#endif
