/* What `host test` says of its cases: a line each on standard output, and a JUnit report. Main
 * thread. */
#ifndef CLI_TEST_REPORT_H
#define CLI_TEST_REPORT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct test_report {
    int passed, failed;
    bool keeps_xml;
    struct buf xml; /* the <testcase>s so far */
};

void test_report_init(struct test_report *r, bool keeps_xml);
void test_report_free(struct test_report *r);

/* One case. `words`: why it failed, many lines; NULL: it passed. `name` NULL: the whole file. */
void test_report_case(struct test_report *r, const char *file, const char *name, double seconds,
                      const char *words);

/* The closing lines; the exit code. */
int test_report_end(const struct test_report *r, int files, const char *filter);

/* -1 with EXIT_FAILED: the file cannot be written. */
int test_report_write(const struct test_report *r, const char *path, struct err *e);

#endif
