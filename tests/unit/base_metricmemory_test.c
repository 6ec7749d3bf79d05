/* Every allocation of the metrics fails once: a metric is refused with words, a series is counted
 * as "other", a text says that it is not whole; nothing counted elsewhere is lost. In a sanitizer's
 * build the allocator is the sanitizer's, and this has nothing to do. */
#include "base/metric_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "failing_memory.h"

static const double bounds[] = {1, 2};
static const struct metric_desc waits = {.name = "t_seconds",
                                         .help = "Waits.",
                                         .type = METRIC_HISTOGRAM,
                                         .labels = {"who"},
                                         .bounds = bounds,
                                         .bounds_count = 2,
                                         .series_max = 4};

/* Opens and counts as a generation of the handler does. True if nothing failed. */
static bool once_as_a_generation(void)
{
    const char *a = "a";
    struct err e = {0};
    struct metric_desc d = waits;
    struct metric_part part;
    bool whole = false;
    struct metrics *ms = metrics_new();
    if (ms) {
        metrics_join(ms, &part, 7);
        d.generation = 7;
        struct metric *m = metrics_open(ms, 0, &d, &e);
        assert_true(m || strstr(e.text, "no memory for metric t_seconds"));
        metric_observe(m, &a, 0.5);
        whole = m && left >= 0;
        metrics_leave(ms, &part);
    }
    left = -1;
    metrics_free(ms);
    return whole;
}

/* Opens, counts three, reads. True if nothing failed. */
static bool once(void)
{
    const char *a = "a", *b = "b";
    struct err e = {0};
    struct buf out;
    bool whole = false;
    buf_init(&out);
    struct metrics *ms = metrics_new();
    struct metric *m = ms ? metrics_open(ms, 0, &waits, &e) : NULL;
    assert_true(!ms || m || strstr(e.text, "no memory for metric t_seconds"));
    metric_observe(m, &a, 0.5);
    metric_observe(m, &b, 1.5);
    metric_observe(m, &b, 1.5);
    if (ms)
        metrics_text(ms, &out);
    bool failed = left < 0 && (!ms || !m || out.failed);
    left = -1;
    if (m) { /* now there is memory: all three are there, under some name */
        buf_free(&out);
        metrics_text(ms, &out);
        int count = 0;
        for (const char *at = out.data; (at = strstr(at, "t_seconds_count{")); at++)
            count += atoi(strchr(at, '}') + 1);
        assert_int_equal(count, 3);
        whole = !failed && !strstr(out.data, "other");
    }
    buf_free(&out);
    metrics_free(ms);
    return whole;
}

static void each_allocation_fails(void **state)
{
    (void)state;
    assert_true(once());
    int failures = 0;
    for (long n = 0; OWN_ALLOCATOR && n < 40; n++) {
        left = n;
        failures += !once();
    }
    assert_true(!OWN_ALLOCATOR || failures >= 10);
    failures = 0;
    for (long n = 0; OWN_ALLOCATOR && n < 20; n++) {
        left = n;
        failures += !once_as_a_generation();
    }
    assert_true(!OWN_ALLOCATOR || (failures >= 7 && failures < 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
