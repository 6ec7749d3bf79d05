#include "base/metric_text.h"

#include "base/metric_share.h"
#include "base/table.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOUND_BYTES = 32 };

/* A series with what all shares have of it. */
struct sum {
    struct table_node by_text;
    struct list node;
    double value;
    uint64_t counts[METRIC_BOUNDS_MAX + 1];
};

static const char *const type_names[] = {"counter", "gauge", "histogram"};

/* One character as it is printed: escaped, or a question mark where it is no UTF-8 (whoever reads
 * the text would refuse all of it). */
static void add_escaped(struct buf *b, const char *at, size_t len)
{
    if (len == 0)
        buf_char(b, '?');
    else if (*at == '\n')
        buf_str(b, "\\n");
    else if (*at == '"' || *at == '\\')
        buf_printf(b, "\\%c", *at);
    else
        buf_add(b, at, len);
}

void metric_text_label(struct buf *labels, const char *name, const char *value)
{
    size_t left = strlen(value), taken = 0;
    buf_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
    while (left > 0) {
        size_t whole = utf8_length(value, left), n = whole ? whole : 1;
        taken += n;
        if (taken > METRIC_VALUE_MAX_BYTES)
            break;
        add_escaped(labels, value, whole);
        value += n;
        left -= n;
    }
    buf_char(labels, '"');
}

/* A help text may hold quotes as they are. */
static void add_help(struct buf *out, const char *help)
{
    for (; *help; help++) {
        if (*help == '\n')
            buf_str(out, "\\n");
        else if (*help == '\\')
            buf_str(out, "\\\\");
        else
            buf_char(out, *help);
    }
}

void metric_text_head(struct buf *out, const char *name, enum metric_type type, const char *help)
{
    buf_printf(out, "# HELP %s ", name);
    add_help(out, help);
    buf_printf(out, "\n# TYPE %s %s\n", name, type_names[type]);
}

static void add_number(struct buf *out, double value)
{
    if (isnan(value))
        buf_str(out, "NaN");
    else if (isinf(value))
        buf_str(out, value > 0 ? "+Inf" : "-Inf");
    else if (value == floor(value) && fabs(value) < 1e15)
        buf_printf(out, "%.0f", value);
    else
        buf_printf(out, "%.17g", value);
}

void metric_text_value(struct buf *out, const char *name, const char *labels, double value)
{
    bool some = labels && *labels;
    buf_printf(out, "%s%s%s%s ", name, some ? "{" : "", some ? labels : "", some ? "}" : "");
    add_number(out, value);
    buf_char(out, '\n');
}

/* "0.25", "1.0": shortest, and as OpenMetrics has it. */
static void write_bound(char out[BOUND_BYTES], double bound)
{
    snprintf(out, BOUND_BYTES, bound == floor(bound) && fabs(bound) < 1e15 ? "%.1f" : "%.15g",
             bound);
    if (strtod(out, NULL) != bound)
        snprintf(out, BOUND_BYTES, "%.17g", bound);
}

static void add_bucket(struct buf *out, const char *name, const char *labels, const char *bound,
                       uint64_t count)
{
    buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, *labels ? "," : "",
               bound, count);
}

static void add_histogram(struct buf *out, const struct metric_desc *d, const char *labels,
                          const struct sum *s)
{
    uint64_t count = 0;
    char bound[BOUND_BYTES], part[200];
    for (int i = 0; i < d->bounds_count; i++) {
        count += s->counts[i];
        write_bound(bound, d->bounds[i]);
        add_bucket(out, d->name, labels, bound, count);
    }
    count += s->counts[d->bounds_count];
    add_bucket(out, d->name, labels, "+Inf", count);
    snprintf(part, sizeof part, "%.190s_sum", d->name);
    metric_text_value(out, part, labels, s->value);
    snprintf(part, sizeof part, "%.190s_count", d->name);
    metric_text_value(out, part, labels, (double)count);
}

/* ---- adding up ---------------------------------------------------------------------------- */

static struct sum *sum_of(struct table *sums, struct list *order, const char *text)
{
    struct table_node *n = table_find(sums, text);
    if (n)
        return table_entry(n, struct sum, by_text);
    struct sum *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    table_add(sums, &s->by_text, text);
    list_append(order, &s->node);
    return s;
}

static int add_share(struct metric *m, struct table *sums, struct list *order)
{
    const struct metric_desc *d = &m->family->desc;
    int count = atomic_load_explicit(&m->count, memory_order_acquire);
    for (int i = 0; i < count; i++) {
        struct series *from = m->series[i];
        struct sum *to = sum_of(sums, order, from->text);
        if (!to)
            return -1;
        to->value += atomic_load_explicit(&from->value, memory_order_relaxed);
        for (int b = 0; from->counts && b <= d->bounds_count; b++)
            to->counts[b] += atomic_load_explicit(&from->counts[b], memory_order_relaxed);
    }
    return 0;
}

static void write_family(struct family *f, const char *help, struct table *sums, struct buf *out)
{
    struct list order, *node;
    list_init(&order);
    list_for_each (share, &f->shares) {
        if (add_share(list_entry(share, struct metric, node), sums, &order) != 0)
            out->failed = true;
    }
    metric_text_head(out, f->desc.name, f->desc.type, help);
    while ((node = list_pop(&order))) {
        struct sum *s = list_entry(node, struct sum, node);
        const char *text = s->by_text.key;
        if (f->desc.type == METRIC_HISTOGRAM)
            add_histogram(out, &f->desc, text, s);
        else
            metric_text_value(out, f->desc.name, text, s->value);
        table_remove(sums, &s->by_text);
        free(s);
    }
}

void metrics_text(struct metrics *ms, struct buf *out)
{
    struct table sums;
    if (table_init(&sums) != 0) {
        out->failed = true;
        return;
    }
    pthread_mutex_lock(&ms->lock);
    list_for_each (node, &ms->families) {
        struct family *f = list_entry(node, struct family, node);
        const struct family_use *use = family_use_of(f, 0);
        use = use ? use : family_use_of(f, ms->shown);
        if (use)
            write_family(f, use->help, &sums, out);
    }
    pthread_mutex_unlock(&ms->lock);
    table_free(&sums);
}
