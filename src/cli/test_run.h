/* Runs one file of tests, each case on fresh states of the handlers that it names. Main thread. */
#ifndef CLI_TEST_RUN_H
#define CLI_TEST_RUN_H

#include "cli/test_report.h"

struct file_watch;

/* Cases whose name contains `filter` (NULL: all). What goes wrong stands in the report. The files
 * that it used are added to `watch`; NULL: nobody watches. */
void test_run_file(const char *path, const char *filter, struct file_watch *watch,
                   struct test_report *report);

#endif
