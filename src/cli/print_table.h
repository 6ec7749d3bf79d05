/* What makes the shared store's table: for `host check --print-table`. Main thread. */
#ifndef CLI_PRINT_TABLE_H
#define CLI_PRINT_TABLE_H

#include "base/err.h"
#include "conf/conf.h"

#include <stdbool.h>

/* Writes to standard output a shell script of aws commands with the IAM policy in its comments; or
 * (json) one object: create_table for --cli-input-json, time_to_live likewise for
 * update-time-to-live, and policy. EXIT_DONE; -1 with `e`: EXIT_CONFIG if dedupe.store names no
 * table. */
int print_table(const struct conf *c, bool json, struct err *e);

#endif
