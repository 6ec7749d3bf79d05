/* Command lines: one table per command makes both the parser and the help. Main thread.
 *
 * --name value, --name=value, -n value, -nvalue; `--` ends the options; `-` alone is an
 * operand; -h and --help are known everywhere. An unknown option is an error with the nearest
 * known one. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

/* Where the value goes is one of flag, value and each. */
struct cli_option {
    const char *name; /* without its dashes; NULL ends the table */
    char letter;      /* 0: none */
    const char *arg;  /* placeholder in the help ("URL"); NULL: takes no value */
    const char *help; /* one line */
    bool *flag;
    const char **value; /* given twice, the last one counts */
    /* Called for each time it is given, in order; -1 with `e` stops. */
    int (*each)(void *arg, const struct cli_option *option, const char *value, struct err *e);
    void *each_arg;
};

struct cli_usage {
    const char *command;  /* "run": shown after the program's name; NULL: the program itself */
    const char *operands; /* "HANDLER", "[PATH...]"; NULL: none */
    const char *about;    /* whole lines, at most 100 columns */
    const char *example;  /* whole lines, at most 100 columns */
    const struct cli_option *options;
    int operands_min;        /* fewer is an error that names `operands` */
    int operands_max;        /* at most CLI_OPERANDS_MAX */
    void (*more)(FILE *out); /* what follows the options in the help; NULL: nothing */
};

enum { CLI_OPERANDS_MAX = 64, CLI_BAD = -1, CLI_HELP = -2 };

/* argv[0] is the command's own name and is skipped. Returns the number of operands, which are
 * stored in `operands` (room for operands_max); CLI_HELP when help was asked for and printed to
 * stdout; CLI_BAD with `e` (EXIT_USAGE). */
int cli_parse(const struct cli_usage *u, int argc, char **argv, const char **operands,
              struct err *e);

void cli_help(const struct cli_usage *u, FILE *out);

/* From now on a command that is asked for help shows its table to `seen` instead of printing it:
 * for what is made of all of them (command_each). NULL: it prints again. */
void cli_on_help(void (*seen)(void *arg, const struct cli_usage *u), void *arg);

/* How a command ends after CLI_HELP or CLI_BAD, and after any other error:
 *     if (n < 0)
 *         return cli_end(&usage, n, &e);
 * prints "host run: TEXT" to stderr (for EXIT_USAGE with a hint at --help) unless it was help,
 * and returns the exit code: EXIT_DONE, or e->code, or EXIT_FAILED where that is 0. */
int cli_end(const struct cli_usage *u, int outcome, const struct err *e);

/* Values of options: the whole text must be a number within the range. -1 with EXIT_USAGE and
 * the option's name ("--count") in the text. */
int cli_int(const char *name, const char *text, long min, long max, long *out, struct err *e);
int cli_seconds(const char *name, const char *text, double min, double max, double *out,
                struct err *e);

#endif
