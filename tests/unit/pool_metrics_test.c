/* A handler's own metrics while it is replaced: what it declares otherwise is another metric, seen
 * from when the workers go over; what it declares alike goes on. Read all the while, as a scrape
 * may come at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metric_text.h"
#include "pool_scene.h"

enum { WORKERS = 2, ROUNDS = 12 };

static char *read_all(void)
{
    struct buf out;
    buf_init(&out);
    metrics_text(counted, &out);
    assert_false(out.failed);
    return buf_take(&out, NULL);
}

static bool has(const char *line)
{
    char *text = read_all();
    bool found = strstr(text, line) != NULL;
    free(text);
    return found;
}

/* One name, one shape: a text with two of them is refused as a whole by whoever reads it. */
static void expect_one_shape(void)
{
    char *text = read_all();
    const char *type = strstr(text, "# TYPE made_total counter\n");
    assert_non_null(type);
    assert_null(strstr(type + 1, "# TYPE made_total "));
    assert_false(strstr(text, "made_total{realm=") && strstr(text, "made_total{client="));
    free(text);
}

static const char *handler_with(const char *label)
{
    static char text[600];
    snprintf(text, sizeof text,
             "local host, m = require 'host', require 'host.metrics'\n"
             "local made = m.counter{name = 'made_total', help = 'x', labels = {'%s'}}\n"
             "local all = m.counter{name = 'all_total', help = 'x'}\n"
             "return {handle = function(msg)\n"
             "  made:inc{%s = 'a'} all:inc() host.sleep(0.002) made:inc{%s = 'b'} all:inc()\n"
             "end}",
             label, label, label);
    return text;
}

static void begin_counted(const char *handler)
{
    counted = metrics_new();
    assert_non_null(counted);
    begin(WORKERS, 2, handler);
}

static void end_counted(void)
{
    end();
    metrics_free(counted);
    counted = NULL;
}

static void give_and_wait(int count)
{
    wanted += count;
    for (int w = 0; w < WORKERS; w++)
        give(w, t.home, count / WORKERS);
    turn_until(all_home);
}

static void a_label_changes_under_way(void **state)
{
    (void)state;
    struct err e = {0};
    char line[40];
    wanted = 0;
    begin_counted(handler_with("realm"));
    assert_true(has("# TYPE made_total counter"));
    for (uint32_t generation = 2; generation < 2 + ROUNDS; generation++) {
        const char *label = generation % 2 ? "realm" : "client";
        assert_int_equal(pool_replace(t.pool, make_bundle(handler_with(label), generation), &e), 0);
        do {
            int given = 2 * WORKERS;
            wanted += given;
            for (int w = 0; w < WORKERS; w++)
                give(w, wanted, 2);
            while (t.home < wanted) {
                turn();
                expect_one_shape();
            }
        } while (!is_replaced());
        assert_int_equal(replaced, REPLACING_DONE);
        turn_until(is_one);
        give_and_wait(WORKERS);
        expect_one_shape();
        snprintf(line, sizeof line, "made_total{%s=\"a\"} ", label);
        assert_true(has(line));
    }
    snprintf(line, sizeof line, "\nall_total %d\n", 2 * wanted); /* it never began anew */
    assert_true(has(line));
    end_counted();
}

static void a_refused_one_is_never_seen(void **state)
{
    (void)state;
    wanted = 0;
    begin_counted(handler_with("realm"));
    give_and_wait(WORKERS);
    const char *refused = "local m = require 'host.metrics'\n"
                          "local made = m.counter{name = 'made_total', help = 'x'}\n"
                          "m.gauge{name = 'more', help = 'x'}:set(1)\n"
                          "return {handle = print, init = function() error 'no' end}";
    assert_int_equal(replace(refused, 2), REPLACING_REFUSED);
    assert_true(has("made_total{realm=\"a\"} 2\n"));
    assert_false(has("more"));
    /* and after it a good one, which does without what the first one had */
    assert_int_equal(replace("local m = require 'host.metrics'\n"
                             "m.gauge{name = 'more', help = 'x'}:set(2)\n"
                             "return {handle = print}",
                             2),
                     REPLACING_DONE);
    assert_true(has("\nmore 2\n"));
    assert_false(has("made_total"));
    end_counted();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_changes_under_way),
        cmocka_unit_test(a_refused_one_is_never_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
