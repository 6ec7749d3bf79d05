/* The commands of the program, and how one is found and run. Main thread. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>

struct command {
    const char *name; /* NULL ends the table */
    const char *help; /* one line */
    bool first;       /* among the six to start with, shown by the bare program */
    /* argv[0] is the command's name. Returns an exit code (base/exit.h). */
    int (*run)(int argc, char **argv);
};

/* argv as main got it. Handles no command at all, help, --help, --version and unknown ones;
 * flushes stdout, and makes EXIT_FAILED of a command whose output could not be written. */
int command_main(const struct command *commands, int argc, char **argv);

struct cli_usage;
/* Each command of the table that command_main runs, with its options. */
void command_each(void (*seen)(void *arg, const struct command *c, const struct cli_usage *u),
                  void *arg);

int cmd_completion(int argc, char **argv);
int cmd_dev(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_invoke(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_man(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_scale(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_types(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
