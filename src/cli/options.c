#include "cli/options.h"

#include "base/exit.h"
#include "base/nearest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "host"

enum { LEFT_COLUMNS = 28 };

/* ---- help ---- */

static void put_lines(FILE *out, const char *text)
{
    fprintf(out, "%s%s", text, *text && text[strlen(text) - 1] != '\n' ? "\n" : "");
}

static void put_name(FILE *out, const struct cli_usage *u)
{
    fprintf(out, PROGRAM "%s%s", u->command ? " " : "", u->command ? u->command : "");
}

static void put_option(FILE *out, const struct cli_option *o)
{
    char left[64], letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
             o->arg ? o->arg : "");
    if (strlen(left) > LEFT_COLUMNS)
        fprintf(out, "  %s\n  %*s %s\n", left, LEFT_COLUMNS, "", o->help);
    else
        fprintf(out, "  %-*s %s\n", LEFT_COLUMNS, left, o->help);
}

void cli_help(const struct cli_usage *u, FILE *out)
{
    static const struct cli_option help = {.name = "help", .letter = 'h', .help = "this text"};
    fputs("Usage: ", out);
    put_name(out, u);
    fprintf(out, " [OPTIONS]%s%s\n\n", u->operands ? " " : "", u->operands ? u->operands : "");
    put_lines(out, u->about);
    fputs("\nOptions:\n", out);
    for (const struct cli_option *o = u->options; o->name; o++)
        put_option(out, o);
    put_option(out, &help);
    if (u->more)
        u->more(out);
    fputs("\nExample:\n", out);
    put_lines(out, u->example);
}

static void (*help_seen)(void *arg, const struct cli_usage *u);
static void *help_seen_arg;

void cli_on_help(void (*seen)(void *arg, const struct cli_usage *u), void *arg)
{
    help_seen = seen;
    help_seen_arg = arg;
}

static void give_help(const struct cli_usage *u)
{
    if (help_seen)
        help_seen(help_seen_arg, u);
    else
        cli_help(u, stdout);
}

/* ---- parsing ---- */

static int unknown(const struct cli_usage *u, const char *given, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    struct nearest n = NEAREST(name + strspn(name, "-"));
    for (const struct cli_option *o = u->options; o->name; o++)
        nearest_offer(&n, o->name);
    nearest_offer(&n, "help");
    const char *best = n.word[0] ? nearest_found(&n) : NULL;
    if (best)
        return err_set(e, EXIT_USAGE, "unknown option %s; did you mean --%s?", name, best);
    return err_set(e, EXIT_USAGE, "unknown option %s", name);
}

static const struct cli_option *by_name(const struct cli_usage *u, const char *name, size_t len)
{
    for (const struct cli_option *o = u->options; o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static const struct cli_option *by_letter(const struct cli_usage *u, char letter)
{
    for (const struct cli_option *o = u->options; o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

static int take(const struct cli_option *o, const char *value, struct err *e)
{
    if (o->flag)
        *o->flag = true;
    if (o->value)
        *o->value = value;
    return o->each ? o->each(o->each_arg, o, value, e) : 0;
}

/* One option at argv[*i]; `value` is what stood in the same word, or NULL. */
static int option(const struct cli_option *o, const char *value, int argc, char **argv, int *i,
                  struct err *e)
{
    if (!o->arg && value)
        return err_set(e, EXIT_USAGE, "--%s takes no value", o->name);
    if (o->arg && !value) {
        const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
        if (!next || strncmp(next, "--", 2) == 0)
            return err_set(e, EXIT_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
        value = next;
        ++*i;
    }
    if (value && !*value)
        return err_set(e, EXIT_USAGE, "the value of --%s is empty", o->name);
    return take(o, value, e);
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int word(const struct cli_usage *u, int argc, char **argv, int *i, struct err *e)
{
    const char *given = argv[*i];
    if (given[1] == '-') {
        size_t len = strcspn(given + 2, "=");
        const struct cli_option *o = by_name(u, given + 2, len);
        const char *value = given[2 + len] ? given + 2 + len + 1 : NULL;
        return o ? option(o, value, argc, argv, i, e) : unknown(u, given, e);
    }
    const struct cli_option *o = by_letter(u, given[1]);
    return o ? option(o, given[2] ? given + 2 : NULL, argc, argv, i, e) : unknown(u, given, e);
}

int cli_parse(const struct cli_usage *u, int argc, char **argv, const char **operands,
              struct err *e)
{
    int count = 0;
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        if (options && asks_for_help(given)) {
            give_help(u);
            return CLI_HELP;
        }
        if (options && strcmp(given, "--") == 0) {
            options = false;
        } else if (options && given[0] == '-' && given[1]) {
            if (word(u, argc, argv, &i, e))
                return CLI_BAD;
        } else if (count == u->operands_max) {
            return err_set(e, EXIT_USAGE, "one argument too many: %s", given);
        } else {
            operands[count++] = given;
        }
    }
    if (count < u->operands_min)
        return err_set(e, EXIT_USAGE, "%s is missing: " PROGRAM " %s %s", u->operands,
                       u->command ? u->command : "", u->operands);
    return count;
}

int cli_end(const struct cli_usage *u, int outcome, const struct err *e)
{
    if (outcome == CLI_HELP)
        return EXIT_DONE;
    put_name(stderr, u);
    fprintf(stderr, ": %s\n", e->text);
    if (e->code == EXIT_USAGE) {
        fputs("See ", stderr);
        put_name(stderr, u);
        fputs(" --help\n", stderr);
    }
    return e->code ? e->code : EXIT_FAILED;
}

/* ---- values ---- */

int cli_int(const char *name, const char *text, long min, long max, long *out, struct err *e)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    if (strspn(text, "+-0123456789") != strlen(text) || end == text || *end || errno ||
        *out < min || *out > max)
        return err_set(e, EXIT_USAGE, "%s must be a whole number from %ld to %ld, found \"%s\"",
                       name, min, max, text);
    return 0;
}

int cli_seconds(const char *name, const char *text, double min, double max, double *out,
                struct err *e)
{
    char *end;
    *out = strtod(text, &end);
    if (strspn(text, "+-.eE0123456789") != strlen(text) || end == text || *end ||
        !(*out >= min && *out <= max))
        return err_set(e, EXIT_USAGE,
                       "%s must be a number of seconds from %.15g to %.15g, found \"%s\"", name,
                       min, max, text);
    return 0;
}
