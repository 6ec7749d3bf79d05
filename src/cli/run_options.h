/* The command line of `host run`: its own options and the flags of the key table. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "base/err.h"
#include "conf/conf.h"

#include <stdbool.h>

struct run_options {
    const char *handler;
    struct conf_request conf; /* ready for conf_load, environ included */
    bool until_empty;
    double patience_s; /* 60 unless said */
    bool print_config;
    bool watch;
};

/* 0: go on. 1: help was asked for and printed, leave with EXIT_DONE. -1: `e` (EXIT_USAGE); end
 * with run_options_end. The strings are argv's. */
int run_options_parse(int argc, char **argv, struct run_options *o, struct err *e);

/* Prints "host run: TEXT" to stderr, for EXIT_USAGE with a hint at --help; returns e->code. */
int run_options_end(const struct err *e);

#endif
