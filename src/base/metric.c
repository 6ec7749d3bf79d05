#include "base/metric.h"

#include "base/metric_share.h"
#include "base/metric_text.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

const double metric_seconds[METRIC_SECONDS_COUNT] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

static const char *const all_other[METRIC_LABELS_MAX] = {"other", "other", "other", "other"};

/* ---- the numbers ------------------------------------------------------------------------ */

static void add(const struct metric *m, _Atomic double *to, double by)
{
    double now = atomic_load_explicit(to, memory_order_relaxed);
    if (!m->family->desc.common) {
        atomic_store_explicit(to, now + by, memory_order_relaxed);
        return;
    }
    while (!atomic_compare_exchange_weak_explicit(to, &now, now + by, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

static void count_one(_Atomic uint64_t *count)
{
    uint64_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + 1, memory_order_relaxed);
}

/* ---- series ------------------------------------------------------------------------------ */

static struct series *series_alloc(const struct family *f, size_t bytes)
{
    struct series *s = calloc(1, sizeof *s + bytes);
    if (!s || f->desc.type != METRIC_HISTOGRAM)
        return s;
    s->counts = calloc((size_t)f->desc.bounds_count + 1, sizeof *s->counts);
    if (s->counts)
        return s;
    free(s);
    return NULL;
}

static struct series *series_new(const struct family *f, const char *const *values, uint64_t hash)
{
    struct buf text;
    size_t bytes = 0;
    buf_init(&text);
    for (int i = 0; i < f->label_count; i++) {
        metric_text_label(&text, f->desc.labels[i], values[i]);
        bytes += strlen(values[i]) + 1;
    }
    struct series *s = text.failed ? NULL : series_alloc(f, bytes + text.len + 1);
    if (s) {
        char *at = s->key;
        for (int i = 0; i < f->label_count; i++)
            at = stpcpy(at, values[i]) + 1;
        s->text = strcpy(at, text.data);
        s->hash = hash;
    }
    buf_free(&text);
    return s;
}

static void series_free(struct series *s)
{
    if (s)
        free(s->counts);
    free(s);
}

static uint64_t hash_of(const struct family *f, const char *const *values)
{
    uint64_t hash = 0;
    for (int i = 0; i < f->label_count; i++)
        hash = hash * 31 + hash_bytes(values[i], strlen(values[i]));
    return hash;
}

static bool is_for(const struct series *s, int count, const char *const *values)
{
    const char *key = s->key;
    for (int i = 0; i < count; i++) {
        if (strcmp(key, values[i]) != 0)
            return false;
        key += strlen(key) + 1;
    }
    return true;
}

static void publish(struct metric *m, struct series *s, int slot)
{
    int count = atomic_load_explicit(&m->count, memory_order_relaxed);
    m->series[count] = s;
    m->slots[slot] = (uint16_t)(count + 1);
    atomic_store_explicit(&m->count, count + 1, memory_order_release);
}

static int slot_of(const struct metric *m, uint64_t hash, const char *const *values)
{
    int slot = (int)(hash & (uint64_t)m->slots_mask);
    for (; m->slots[slot]; slot = (slot + 1) & m->slots_mask) {
        const struct series *s = m->series[m->slots[slot] - 1];
        if (s->hash == hash && is_for(s, m->family->label_count, values))
            break;
    }
    return slot;
}

static struct series *overflow(struct metric *m)
{
    uint64_t hash = hash_of(m->family, all_other);
    int slot = slot_of(m, hash, all_other);
    if (!m->slots[slot]) {
        m->other->hash = hash;
        publish(m, m->other, slot);
    }
    return m->series[m->slots[slot] - 1];
}

static struct series *find(struct metric *m, const char *const *values)
{
    const struct family *f = m->family;
    if (f->label_count == 0)
        return m->series[0];
    uint64_t hash = hash_of(f, values);
    int slot = slot_of(m, hash, values);
    if (m->slots[slot])
        return m->series[m->slots[slot] - 1];
    if (atomic_load_explicit(&m->count, memory_order_relaxed) >= f->desc.series_max)
        return overflow(m);
    struct series *s = series_new(f, values, hash);
    if (!s)
        return overflow(m);
    publish(m, s, slot);
    return s;
}

static struct series *get(struct metric *m, const char *const *values)
{
    if (!m->family->desc.common)
        return find(m, values);
    pthread_mutex_lock(&m->lock);
    struct series *s = find(m, values);
    pthread_mutex_unlock(&m->lock);
    return s;
}

void metric_touch(struct metric *m, const char *const *values)
{
    if (m)
        get(m, values);
}

void metric_add(struct metric *m, const char *const *values, double by)
{
    if (m)
        add(m, &get(m, values)->value, by);
}

void metric_set(struct metric *m, const char *const *values, double to)
{
    if (m)
        atomic_store_explicit(&get(m, values)->value, to, memory_order_relaxed);
}

void metric_observe(struct metric *m, const char *const *values, double value)
{
    if (!m)
        return;
    const struct metric_desc *d = &m->family->desc;
    struct series *s = get(m, values);
    int i = 0;
    while (i < d->bounds_count && value > d->bounds[i])
        i++;
    count_one(&s->counts[i]);
    add(m, &s->value, value);
}

/* ---- families and shares ------------------------------------------------------------------ */

static int count_labels(const struct metric_desc *d)
{
    int n = 0;
    while (n < METRIC_LABELS_MAX && d->labels[n])
        n++;
    return n;
}

static const char *copy_text(char **at, const char *text)
{
    char *copy = *at;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

static int series_max_of(const struct metric_desc *d)
{
    if (!d->labels[0])
        return 1;
    return d->series_max > METRIC_SERIES_MAX - 1 ? METRIC_SERIES_MAX - 1 : d->series_max;
}

static struct family *family_new(const struct metric_desc *d)
{
    int labels = count_labels(d);
    size_t bounds = (size_t)d->bounds_count * sizeof *d->bounds;
    size_t text = strlen(d->name) + 1;
    for (int i = 0; i < labels; i++)
        text += strlen(d->labels[i]) + 1;
    struct family *f = calloc(1, sizeof *f + text);
    double *copy = bounds ? malloc(bounds) : NULL;
    if (!f || (bounds && !copy)) {
        free(f);
        free(copy);
        return NULL;
    }
    char *at = f->text;
    f->desc = *d;
    f->desc.help = NULL;
    f->label_count = labels;
    f->desc.name = copy_text(&at, d->name);
    for (int i = 0; i < labels; i++)
        f->desc.labels[i] = copy_text(&at, d->labels[i]);
    if (copy)
        memcpy(copy, d->bounds, bounds);
    f->desc.bounds = copy;
    f->desc.series_max = series_max_of(d);
    list_init(&f->node);
    list_init(&f->uses);
    list_init(&f->shares);
    return f;
}

/* NULL: it is what `d` describes. Otherwise what it is instead. */
static const char *unlike(const struct family *f, const struct metric_desc *d)
{
    static const char *const types[] = {"is a counter", "is a gauge", "is a histogram"};
    const struct metric_desc *is = &f->desc;
    if (is->type != d->type)
        return types[is->type];
    bool same = f->label_count == count_labels(d);
    for (int i = 0; same && i < f->label_count; i++)
        same = strcmp(is->labels[i], d->labels[i]) == 0;
    if (!same)
        return "has other labels";
    if (is->bounds_count != d->bounds_count ||
        (d->bounds_count &&
         memcmp(is->bounds, d->bounds, (size_t)d->bounds_count * sizeof *d->bounds) != 0))
        return "has other buckets";
    return is->series_max == series_max_of(d) ? NULL : "has another max";
}

static void share_free(struct metric *m)
{
    int count = atomic_load(&m->count);
    bool shown = false;
    for (int i = 0; i < count; i++) {
        shown |= m->series[i] == m->other;
        series_free(m->series[i]);
    }
    if (!shown)
        series_free(m->other);
    pthread_mutex_destroy(&m->lock);
    free(m->slots);
    list_remove(&m->node);
    free(m);
}

static struct metric *share_new(struct family *f, int writer)
{
    size_t series = (size_t)f->desc.series_max + 1, slots = 2;
    while (slots < 2 * series)
        slots *= 2;
    struct metric *m = calloc(1, sizeof *m + series * sizeof *m->series);
    if (!m)
        return NULL;
    list_init(&m->node);
    m->family = f;
    m->writer = writer;
    m->slots_mask = (int)slots - 1;
    pthread_mutex_init(&m->lock, NULL);
    m->slots = calloc(slots, sizeof *m->slots);
    m->other = series_new(f, all_other, 0);
    if (!m->slots || !m->other) {
        share_free(m);
        return NULL;
    }
    if (f->label_count == 0)
        publish(m, m->other, 0);
    list_append(&f->shares, &m->node);
    return m;
}

static struct metric *share_of(struct family *f, int writer)
{
    list_for_each (node, &f->shares) {
        struct metric *m = list_entry(node, struct metric, node);
        if (m->writer == writer || f->desc.common)
            return m;
    }
    return share_new(f, writer);
}

static void family_free(struct family *f)
{
    struct list *node;
    while ((node = list_first(&f->shares)))
        share_free(list_entry(node, struct metric, node));
    while ((node = list_pop(&f->uses)))
        free(list_entry(node, struct family_use, node));
    list_remove(&f->node);
    free((void *)f->desc.bounds);
    free(f);
}

/* ---- generations ------------------------------------------------------------------------- */

struct family_use *family_use_of(const struct family *f, uint32_t generation)
{
    list_for_each (node, &f->uses) {
        struct family_use *use = list_entry(node, struct family_use, node);
        if (use->generation == generation)
            return use;
    }
    return NULL;
}

static int add_use(struct family *f, const struct metric_desc *d)
{
    if (family_use_of(f, d->generation))
        return 0;
    struct family_use *use = calloc(1, sizeof *use + strlen(d->help) + 1);
    if (!use)
        return -1;
    use->generation = d->generation;
    strcpy(use->help, d->help);
    list_append(&f->uses, &use->node);
    return 0;
}

/* One that is like it, of whatever generation. -1 with `e`: its own has another one of that name.
 */
static int find_family(struct metrics *ms, const struct metric_desc *d, struct family **found,
                       struct err *e)
{
    list_for_each (node, &ms->families) {
        struct family *f = list_entry(node, struct family, node);
        if (strcmp(f->desc.name, d->name) != 0)
            continue;
        const char *instead = unlike(f, d);
        if (!instead)
            *found = f;
        else if (family_use_of(f, d->generation))
            return err_set(e, 0, "metric %s %s already", d->name, instead);
    }
    return 0;
}

static struct metric *open_share(struct metrics *ms, struct family *f, int writer,
                                 const struct metric_desc *d)
{
    f = f ? f : family_new(d);
    if (f && add_use(f, d) != 0) {
        if (list_empty(&f->uses))
            family_free(f);
        return NULL;
    }
    if (f && list_empty(&f->node))
        list_append(&ms->families, &f->node);
    return f ? share_of(f, writer) : NULL;
}

struct metric *metrics_open(struct metrics *ms, int writer, const struct metric_desc *desc,
                            struct err *e)
{
    struct metric *m = NULL;
    struct family *f = NULL;
    pthread_mutex_lock(&ms->lock);
    if (find_family(ms, desc, &f, e) == 0) {
        m = open_share(ms, f, writer, desc);
        if (!m)
            err_set(e, 0, "no memory for metric %s", desc->name);
    }
    pthread_mutex_unlock(&ms->lock);
    return m;
}

static bool is_over(const struct metrics *ms, uint32_t generation)
{
    list_for_each (node, &ms->parts) {
        if (list_entry(node, struct metric_part, node)->generation == generation)
            return false;
    }
    return generation != 0 && generation != ms->shown;
}

static void forget_if_over(struct metrics *ms, uint32_t generation)
{
    if (!is_over(ms, generation))
        return;
    list_for_each (node, &ms->families) {
        struct family *f = list_entry(node, struct family, node);
        struct family_use *use = family_use_of(f, generation);
        if (!use)
            continue;
        list_remove(&use->node);
        free(use);
        if (list_empty(&f->uses))
            family_free(f);
    }
}

void metrics_join(struct metrics *ms, struct metric_part *part, uint32_t generation)
{
    part->generation = generation;
    pthread_mutex_lock(&ms->lock);
    list_append(&ms->parts, &part->node);
    pthread_mutex_unlock(&ms->lock);
}

void metrics_leave(struct metrics *ms, struct metric_part *part)
{
    if (part->generation == 0)
        return;
    pthread_mutex_lock(&ms->lock);
    list_remove(&part->node);
    forget_if_over(ms, part->generation);
    pthread_mutex_unlock(&ms->lock);
    part->generation = 0;
}

void metrics_show(struct metrics *ms, uint32_t generation)
{
    pthread_mutex_lock(&ms->lock);
    uint32_t before = ms->shown;
    ms->shown = generation;
    forget_if_over(ms, before);
    pthread_mutex_unlock(&ms->lock);
}

/* ---- all of them --------------------------------------------------------------------------- */

struct metrics *metrics_new(void)
{
    struct metrics *ms = calloc(1, sizeof *ms);
    if (!ms)
        return NULL;
    pthread_mutex_init(&ms->lock, NULL);
    list_init(&ms->families);
    list_init(&ms->parts);
    return ms;
}

void metrics_free(struct metrics *ms)
{
    if (!ms)
        return;
    struct list *node;
    while ((node = list_first(&ms->families)))
        family_free(list_entry(node, struct family, node));
    pthread_mutex_destroy(&ms->lock);
    free(ms);
}
