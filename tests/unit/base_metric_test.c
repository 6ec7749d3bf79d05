#include "base/metric_share.h"
#include "base/metric_text.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct metric_desc plain = {
    .name = "t_plain_total", .help = "Plain.", .type = METRIC_COUNTER};
static const struct metric_desc labelled = {.name = "t_calls_total",
                                            .help = "A \\ and\na line.",
                                            .type = METRIC_COUNTER,
                                            .labels = {"target", "code"},
                                            .series_max = 3};
static const double bounds[] = {0.1, 1, 2.5};
static const struct metric_desc waits = {.name = "t_wait_seconds",
                                         .help = "Waits.",
                                         .type = METRIC_HISTOGRAM,
                                         .labels = {"who"},
                                         .bounds = bounds,
                                         .bounds_count = 3,
                                         .series_max = 4};

static void expect_text(struct metrics *ms, const char *expected)
{
    struct buf out;
    buf_init(&out);
    metrics_text(ms, &out);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void counters_start_at_zero(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric *m = metrics_open(ms, 0, &plain, NULL);
    expect_text(ms, "# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 0\n");
    metric_add(m, NULL, 2);
    metric_add(m, NULL, 0.5);
    expect_text(ms,
                "# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 2.5\n");
    metrics_free(ms);
}

static void shares_of_writers_are_added_up(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    const char *const ok[] = {"http://a:1", "200"};
    struct metric *first = metrics_open(ms, 0, &labelled, NULL);
    struct metric *second = metrics_open(ms, 1, &labelled, NULL);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(metrics_open(ms, 1, &labelled, NULL), second); /* it goes on where it was */
    metric_add(first, ok, 1);
    metric_add(second, ok, 4);
    metric_touch(second, (const char *const[]){"http://a:1", "500"});
    expect_text(ms, "# HELP t_calls_total A \\\\ and\\na line.\n# TYPE t_calls_total counter\n"
                    "t_calls_total{target=\"http://a:1\",code=\"200\"} 5\n"
                    "t_calls_total{target=\"http://a:1\",code=\"500\"} 0\n");
    metrics_free(ms);
}

static void odd_values_are_escaped_and_mended(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric *m = metrics_open(ms, 0, &labelled, NULL);
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    metric_add(m, (const char *const[]){"a\"b\\c\nd", "\xff\xc3\xa9\xc3"}, 1);
    metric_add(m, (const char *const[]){longer, ""}, 1);
    metric_add(m, (const char *const[]){longer, ""}, 1); /* found again, though it is shown cut */
    char expected[1000];
    snprintf(expected, sizeof expected,
             "# HELP t_calls_total A \\\\ and\\na line.\n# TYPE t_calls_total counter\n"
             "t_calls_total{target=\"a\\\"b\\\\c\\nd\",code=\"?\xc3\xa9?\"} 1\n"
             "t_calls_total{target=\"%.128s\",code=\"\"} 2\n",
             longer);
    expect_text(ms, expected);
    metrics_free(ms);
}

/* Whoever chooses the values cannot make more than so many series. */
static void too_many_are_counted_as_other(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric *m = metrics_open(ms, 0, &labelled, NULL);
    for (int i = 0; i < 1000; i++) {
        char target[16];
        snprintf(target, sizeof target, "t%d", i);
        metric_add(m, (const char *const[]){target, "200"}, 1);
    }
    metric_add(m, (const char *const[]){"t1", "200"}, 1);
    expect_text(ms, "# HELP t_calls_total A \\\\ and\\na line.\n# TYPE t_calls_total counter\n"
                    "t_calls_total{target=\"t0\",code=\"200\"} 1\n"
                    "t_calls_total{target=\"t1\",code=\"200\"} 2\n"
                    "t_calls_total{target=\"t2\",code=\"200\"} 1\n"
                    "t_calls_total{target=\"other\",code=\"other\"} 997\n");
    metrics_free(ms);
}

static void buckets_are_cumulative(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    const char *const a[] = {"a"};
    struct metric *m = metrics_open(ms, 0, &waits, NULL);
    struct metric *other = metrics_open(ms, 7, &waits, NULL);
    metric_observe(m, a, 0.1); /* a bound belongs to its bucket */
    metric_observe(m, a, 0.5);
    metric_observe(m, a, 100);
    metric_observe(other, a, 2);
    expect_text(ms, "# HELP t_wait_seconds Waits.\n# TYPE t_wait_seconds histogram\n"
                    "t_wait_seconds_bucket{who=\"a\",le=\"0.1\"} 1\n"
                    "t_wait_seconds_bucket{who=\"a\",le=\"1.0\"} 2\n"
                    "t_wait_seconds_bucket{who=\"a\",le=\"2.5\"} 3\n"
                    "t_wait_seconds_bucket{who=\"a\",le=\"+Inf\"} 4\n"
                    "t_wait_seconds_sum{who=\"a\"} 102.59999999999999\n"
                    "t_wait_seconds_count{who=\"a\"} 4\n");
    metrics_free(ms);
}

static void a_name_stands_for_one_thing(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric_desc d = labelled;
    struct err e = {0};
    assert_non_null(metrics_open(ms, 0, &labelled, &e));
    d.type = METRIC_GAUGE;
    assert_null(metrics_open(ms, 1, &d, &e));
    assert_string_equal(e.text, "metric t_calls_total is a counter already");
    d = labelled;
    d.labels[1] = "status";
    assert_null(metrics_open(ms, 1, &d, &e));
    assert_string_equal(e.text, "metric t_calls_total has other labels already");
    d = labelled;
    d.labels[1] = NULL;
    assert_null(metrics_open(ms, 1, &d, &e));
    assert_non_null(metrics_open(ms, 1, &waits, &e));
    d = waits;
    d.bounds_count = 2;
    assert_null(metrics_open(ms, 1, &d, &e));
    assert_string_equal(e.text, "metric t_wait_seconds has other buckets already");
    metrics_free(ms);
}

static void nothing_takes_everything(void **state)
{
    (void)state;
    metric_touch(NULL, NULL);
    metric_add(NULL, NULL, 1);
    metric_set(NULL, NULL, 1);
    metric_observe(NULL, NULL, 1);
    metrics_free(NULL);
}

/* ---- generations ---- */

static struct metric *open_as(struct metrics *ms, uint32_t generation, const char *label,
                              const char *help)
{
    struct err e = {0};
    struct metric_desc d = {.name = "t_made_total",
                            .help = help,
                            .type = METRIC_COUNTER,
                            .labels = {label},
                            .series_max = 5,
                            .generation = generation};
    struct metric *m = metrics_open(ms, 1, &d, &e);
    assert_non_null(m);
    return m;
}

static void one_generation_is_shown(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric_part one, two, three;
    const char *const x[] = {"x"};
    metrics_join(ms, &one, 1);
    struct metric *first = open_as(ms, 1, "realm", "Made.");
    metric_add(first, x, 1);
    expect_text(ms, "");
    metrics_show(ms, 1);
    expect_text(ms, "# HELP t_made_total Made.\n# TYPE t_made_total counter\n"
                    "t_made_total{realm=\"x\"} 1\n");

    metrics_join(ms, &two, 2);
    struct metric *second = open_as(ms, 2, "client", "Made by.");
    assert_ptr_not_equal(first, second);
    metric_add(second, x, 5); /* as its init may */
    metric_add(first, x, 1);
    expect_text(ms, "# HELP t_made_total Made.\n# TYPE t_made_total counter\n"
                    "t_made_total{realm=\"x\"} 2\n");
    metrics_show(ms, 2);
    metric_add(first, x, 1); /* its last messages */
    const char *now = "# HELP t_made_total Made by.\n# TYPE t_made_total counter\n"
                      "t_made_total{client=\"x\"} 5\n";
    expect_text(ms, now);
    metrics_leave(ms, &one);
    expect_text(ms, now);

    metrics_join(ms, &three, 3); /* back to the first: nothing of it is left */
    assert_int_equal(list_length(&ms->families), 1);
    metric_add(open_as(ms, 3, "realm", "Made."), x, 7);
    metrics_show(ms, 3);
    metrics_leave(ms, &two);
    expect_text(ms, "# HELP t_made_total Made.\n# TYPE t_made_total counter\n"
                    "t_made_total{realm=\"x\"} 7\n");
    metrics_leave(ms, &three);
    metrics_free(ms);
}

static void what_stays_alike_goes_on(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric_part one, two;
    const char *const x[] = {"x"};
    metrics_join(ms, &one, 1);
    struct metric *first = open_as(ms, 1, "realm", "Made.");
    metric_add(first, x, 3);
    metrics_show(ms, 1);
    metrics_join(ms, &two, 2);
    assert_ptr_equal(open_as(ms, 2, "realm", "In other words."), first);
    expect_text(ms, "# HELP t_made_total Made.\n# TYPE t_made_total counter\n"
                    "t_made_total{realm=\"x\"} 3\n");
    metrics_show(ms, 2);
    metrics_leave(ms, &one);
    metric_add(first, x, 1);
    expect_text(ms, "# HELP t_made_total In other words.\n# TYPE t_made_total counter\n"
                    "t_made_total{realm=\"x\"} 4\n");
    metrics_leave(ms, &two); /* nobody is left: it is shown still, and goes on with a new part */
    metrics_join(ms, &two, 2);
    assert_ptr_equal(open_as(ms, 2, "realm", "In other words."), first);
    metrics_leave(ms, &two);
    metrics_show(ms, 3); /* now it is over */
    assert_int_equal(list_length(&ms->families), 0);
    metrics_free(ms);
}

/* Generations that come and go, refused ones among them, leave nothing behind. */
static void what_is_over_is_freed(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric_part parts[2][2], trial, never = {.generation = 0};
    metric_add(metrics_open(ms, 0, &plain, NULL), NULL, 1);
    for (uint32_t g = 1; g <= 100; g++) {
        char label[20];
        struct metric_part *now = parts[g % 2], *before = parts[(g + 1) % 2];
        snprintf(label, sizeof label, "label_%u", (unsigned)g);
        metrics_join(ms, &trial, 1000 + g);
        open_as(ms, 1000 + g, "refused", "Made.");
        metrics_leave(ms, &trial);
        for (int i = 0; i < 2; i++) {
            metrics_join(ms, &now[i], g);
            metric_add(open_as(ms, g, label, "Made."), (const char *const[]){"x"}, 1);
        }
        metrics_show(ms, g);
        for (int i = 0; g > 1 && i < 2; i++)
            metrics_leave(ms, &before[i]);
        assert_int_equal(list_length(&ms->families), 2);
    }
    expect_text(ms, "# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 1\n"
                    "# HELP t_made_total Made.\n# TYPE t_made_total counter\n"
                    "t_made_total{label_100=\"x\"} 2\n");
    metrics_leave(ms, &never);
    metrics_leave(ms, &parts[0][0]);
    metrics_leave(ms, &parts[0][1]);
    metrics_free(ms);
}

/* Within one of them a name stands for one thing, and the host's own for one thing in all. */
static void a_generation_does_not_contradict_itself(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    struct metric_part part;
    struct err e = {0};
    struct metric_desc d = labelled;
    metrics_join(ms, &part, 1);
    d.generation = 1;
    assert_non_null(metrics_open(ms, 0, &d, &e));
    d.series_max = 4;
    assert_null(metrics_open(ms, 0, &d, &e));
    assert_string_equal(e.text, "metric t_calls_total has another max already");
    d.generation = 2;
    assert_non_null(metrics_open(ms, 0, &d, &e));
    d.type = METRIC_GAUGE;
    assert_null(metrics_open(ms, 0, &d, &e));
    assert_string_equal(e.text, "metric t_calls_total is a counter already");
    metrics_leave(ms, &part);
    metrics_free(ms);
}

/* ---- several threads, and one that reads meanwhile ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static struct metrics *shared;
static const struct metric_desc level = {.name = "t_level",
                                         .help = "Level.",
                                         .type = METRIC_GAUGE,
                                         .labels = {"who"},
                                         .series_max = 10,
                                         .common = true};

static void *write_much(void *arg)
{
    int writer = *(int *)arg;
    struct metric *calls = metrics_open(shared, writer, &labelled, NULL);
    struct metric *wait = metrics_open(shared, writer, &waits, NULL);
    struct metric *gauge = metrics_open(shared, writer, &level, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        char code[8];
        snprintf(code, sizeof code, "%d", i % 3);
        metric_add(calls, (const char *const[]){"t", code}, 1);
        metric_observe(wait, (const char *const[]){"all"}, 0.5);
        metric_add(gauge, (const char *const[]){i % 2 ? "a" : "b"}, i % 4 < 2 ? 1 : -1);
    }
    return NULL;
}

static void threads_write_while_one_reads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int writers[THREADS];
    shared = metrics_new();
    for (int i = 0; i < THREADS; i++) {
        writers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_much, &writers[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        struct buf out;
        buf_init(&out);
        metrics_text(shared, &out);
        assert_false(out.failed);
        buf_free(&out);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct buf out;
    buf_init(&out);
    metrics_text(shared, &out);
    assert_non_null(strstr(out.data, "t_wait_seconds_count{who=\"all\"} 80000\n"));
    assert_non_null(strstr(out.data, "t_wait_seconds_sum{who=\"all\"} 40000\n"));
    assert_non_null(strstr(out.data, "t_calls_total{target=\"t\",code=\"0\"} 26668\n"));
    assert_non_null(strstr(out.data, "t_level{who=\"a\"} 0\n"));
    assert_non_null(strstr(out.data, "t_level{who=\"b\"} 0\n"));
    buf_free(&out);
    metrics_free(shared);
}

static void a_common_gauge_is_one_number(void **state)
{
    (void)state;
    struct metrics *ms = metrics_new();
    const char *const a[] = {"a"};
    struct metric *first = metrics_open(ms, 0, &level, NULL);
    struct metric *second = metrics_open(ms, 1, &level, NULL);
    metric_set(first, a, 5);
    metric_set(second, a, 7);
    metric_add(first, a, -1);
    expect_text(ms, "# HELP t_level Level.\n# TYPE t_level gauge\nt_level{who=\"a\"} 6\n");
    metrics_free(ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_start_at_zero),
        cmocka_unit_test(shares_of_writers_are_added_up),
        cmocka_unit_test(odd_values_are_escaped_and_mended),
        cmocka_unit_test(too_many_are_counted_as_other),
        cmocka_unit_test(buckets_are_cumulative),
        cmocka_unit_test(a_name_stands_for_one_thing),
        cmocka_unit_test(nothing_takes_everything),
        cmocka_unit_test(one_generation_is_shown),
        cmocka_unit_test(what_stays_alike_goes_on),
        cmocka_unit_test(what_is_over_is_freed),
        cmocka_unit_test(a_generation_does_not_contradict_itself),
        cmocka_unit_test(threads_write_while_one_reads),
        cmocka_unit_test(a_common_gauge_is_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
