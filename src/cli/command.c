#include "cli/command.h"

#include "base/exit.h"
#include "base/nearest.h"
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct command *find(const struct command *commands, const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static void put_commands(const struct command *commands, bool all)
{
    for (const struct command *c = commands; c->name; c++)
        if (all || c->first)
            printf("  host %-10s %s\n", c->name, c->help);
}

/* The bare program: what to start with. */
static void greet(const struct command *commands)
{
    puts("host runs Lua handlers on the messages of an SQS queue.\n");
    put_commands(commands, false);
    puts("\nhost COMMAND --help tells more, with an example; host --help lists all.");
}

static void help(const struct command *commands)
{
    puts("Usage: host COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:");
    put_commands(commands, true);
    puts("\nhost COMMAND --help tells more.\n\nExample:\n  host run register.lua --queue-url URL");
}

static int fail_unknown(const struct command *commands, const char *name)
{
    struct nearest n = NEAREST(name);
    for (const struct command *c = commands; c->name; c++)
        nearest_offer(&n, c->name);
    nearest_offer(&n, "help");
    const char *best = nearest_found(&n);
    fprintf(stderr, "host: unknown %s %s%s%s%s\nSee host --help\n",
            name[0] == '-' ? "option" : "command", name, best ? "; did you mean " : "",
            best ? best : "", best ? "?" : "");
    return EXIT_USAGE;
}

/* host help COMMAND is host COMMAND --help. */
static int help_on(const struct command *commands, const char *name)
{
    char flag[] = "--help";
    const struct command *c = find(commands, name);
    if (!c)
        return fail_unknown(commands, name);
    char *argv[] = {(char *)c->name, flag, NULL};
    return c->run(2, argv);
}

static const struct command *running; /* the table */

struct visit {
    void (*seen)(void *arg, const struct command *c, const struct cli_usage *u);
    void *arg;
    const struct command *command;
};

static void show(void *arg, const struct cli_usage *u)
{
    const struct visit *v = arg;
    v->seen(v->arg, v->command, u);
}

void command_each(void (*seen)(void *arg, const struct command *c, const struct cli_usage *u),
                  void *arg)
{
    struct visit v = {.seen = seen, .arg = arg};
    cli_on_help(show, &v);
    for (v.command = running; v.command->name; v.command++)
        help_on(running, v.command->name);
    cli_on_help(NULL, NULL);
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch(const struct command *commands, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        greet(commands);
        return EXIT_DONE;
    }
    if (is_help(name) && argc > 2 && argv[2][0] != '-')
        return help_on(commands, argv[2]);
    if (is_help(name)) {
        help(commands);
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct command *c = find(commands, name);
    return c ? c->run(argc - 1, argv + 1) : fail_unknown(commands, name);
}

int command_main(const struct command *commands, int argc, char **argv)
{
    running = commands;
    int code = dispatch(commands, argc, argv);
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "host: cannot write to standard output: %s\n",
            errno ? strerror(errno) : "an earlier write failed");
    return code ? code : EXIT_FAILED;
}
