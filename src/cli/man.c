/* host man PAGE: the manual page of this program, from the tables of commands, options and keys.
 * host-handler(7), the one for authors, is made from the modules themselves (types.c). */
#include "base/exit.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/doc_pages.h"
#include "cli/man_view.h"
#include "cli/options.h"
#include "conf/keys.h"

#include <stdio.h>
#include <string.h>

static const char about[] =
    "Shows a manual page: host, for who runs it, or host-handler, for who writes handlers. On a\n"
    "terminal it goes through man or mandoc; elsewhere it is troff as it is. `make install` puts\n"
    "both where man looks for them.\n";

static const char example[] = "  host man host-handler\n"
                              "  host man host > host.1\n";

static const struct {
    int code;
    const char *meaning;
} exits[] = {
    {EXIT_DONE, "done"},
    {EXIT_FAILED, "failed: a test, a check; run --until-empty with messages left for later"},
    {EXIT_USAGE, "wrong usage"},
    {EXIT_UNREACHABLE, "the queue stayed unreachable for 60 s at start-up"},
    {EXIT_STUCK, "a worker got stuck in C code a second time"},
    {EXIT_DRAIN, "the drain ran out of time; what was left is listed"},
    {EXIT_CONFIG, "bad configuration or handler, queue missing or access denied"},
};

static const struct {
    const char *name;
    const char *meaning;
} signals[] = {
    {"TERM, INT", "receive no more, finish what is in hand, leave; a second one stops waiting"},
    {"HUP", "take the handler anew, as host reload does"},
    {"USR1", "write a report of the state to the log"},
    {"TSTP, CONT", "stop receiving and go on, where there is no terminal"},
};

/* ---- troff --------------------------------------------------------------------------------------
 */

/* A line's first . or ' would make it a request. */
static void put(const char *text)
{
    bool begins = true;
    for (const char *c = text; *c; c++) {
        if (begins && (*c == '.' || *c == '\''))
            fputs("\\&", stdout);
        if (*c == '\\')
            fputs("\\e", stdout);
        else if (*c == '-')
            fputs("\\-", stdout);
        else
            putchar(*c);
        begins = *c == '\n';
    }
}

static void put_line(const char *text)
{
    put(text);
    if (!*text || text[strlen(text) - 1] != '\n')
        putchar('\n');
}

static void put_item(const char *tag, const char *text)
{
    fputs(".TP\n.B ", stdout);
    put_line(tag);
    put_line(text);
}

static void put_as_is(const char *text)
{
    puts(".nf");
    put_line(text);
    puts(".fi");
}

/* ---- commands -----------------------------------------------------------------------------------
 */

static void put_option(const struct cli_option *o)
{
    fputs(".TP\n", stdout);
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", stdout);
    put(o->name);
    fputs("\\fR", stdout);
    if (o->arg) {
        fputs(" \\fI", stdout);
        put(o->arg);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_line(o->help);
}

static void put_command(void *arg, const struct command *c, const struct cli_usage *u)
{
    (void)arg;
    printf(".SS %s\n\\fBhost %s\\fR [\\fIoptions\\fR]", c->name, c->name);
    if (u->operands) {
        fputs(" \\fI", stdout);
        put(u->operands);
        fputs("\\fR", stdout);
    }
    puts("\n.PP");
    put_line(u->about);
    for (const struct cli_option *o = u->options; o->name; o++)
        put_option(o);
    puts(".PP\nExample:\n.PP");
    put_as_is(u->example);
}

/* ---- keys ---------------------------------------------------------------------------------------
 */

static const char *takes(const struct conf_key *key)
{
    static const char *const words[] = {
        [KEY_STRING] = "a text",
        [KEY_NAME] = "a name",
        [KEY_URL] = "a URL",
        [KEY_PATH] = "a path",
        [KEY_ADDRESS] = "host:port, or off",
        [KEY_LIST] = "a list",
        [KEY_BLOCK] = "a table",
        [KEY_INT] = "a whole number",
        [KEY_SECONDS] = "seconds",
        [KEY_NUMBER] = "a number",
        [KEY_SHARE] = "all, errors, or a fraction",
        [KEY_SIZE] = "bytes, or text with K, M or G",
    };
    return words[key->type];
}

static void put_range(const struct conf_key *key)
{
    if (key->type == KEY_ENUM) {
        for (int i = 0; key->names[i]; i++)
            printf("%s%s", i ? ", " : "", key->names[i]);
        return;
    }
    put(takes(key));
    if (key->max > key->min)
        printf(", %.15g to %.15g", key->min, key->max);
}

static void put_key(const struct conf_key *key)
{
    char variable[CONF_ENV_NAME_BYTES];
    conf_env_name(key, variable);
    fputs(".TP\n.B ", stdout);
    put_line(key->path);
    put(key->help);
    fputs(" (", stdout);
    put_range(key);
    if (key->def && *key->def) {
        fputs("; default: ", stdout);
        put(key->def);
    }
    printf(").\n.br\n%s", variable);
    if (key->flag) {
        fputs(", ", stdout);
        put(key->flag);
    }
    for (int i = 0; key->aws && key->aws[i]; i++)
        printf(", %s", key->aws[i]);
    puts(key->marks & KEY_LATER ? "; no effect yet" : "");
}

/* ---- the pages ----------------------------------------------------------------------------------
 */

static void put_head(void)
{
    puts(
        ".TH HOST 1 \"\" \"host " HOST_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nhost \\- run Lua handlers on the messages of an Amazon SQS queue\n"
        ".SH SYNOPSIS\n.B host\n\\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n"
        ".SH DESCRIPTION\n"
        "Polls a queue, runs a bounded pool of worker threads, keeps duplicates out, and calls "
        "the\n"
        "function handle(msg) of a Lua file for each message. What the function returns or raises\n"
        "decides whether the message is deleted, tried again or put on the dead\\-letter queue: "
        "see\n"
        ".BR host\\-handler (7).\n.SH COMMANDS");
}

static void put_tail(void)
{
    puts(".SH EXIT STATUS");
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        char code[16];
        snprintf(code, sizeof code, "%d", exits[i].code);
        put_item(code, exits[i].meaning);
    }
    puts(".SH SIGNALS\nOf host run:");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        put_item(signals[i].name, signals[i].meaning);
    puts(".SH SEE ALSO\n.BR host\\-handler (7)");
}

static void put_program(void)
{
    put_head();
    command_each(put_command, NULL);
    puts(
        ".SH CONFIGURATION\nA flag goes before a variable, a variable before\n.IR host.conf.lua\n"
        "beside the handler (a Lua file that returns a table), the file before the default. Under\n"
        "each key stand its variable, its flag, and the AWS variables that it falls back on.");
    for (size_t i = 0; i < conf_keys_count; i++)
        put_key(&conf_keys[i]);
    put_tail();
}

static int show(const char *page, struct err *e)
{
    struct man_view view;
    int rc = EXIT_DONE;
    bool program = strcmp(page, "host") == 0;
    if (!program && strcmp(page, "host-handler") != 0)
        return err_set(e, EXIT_USAGE, "there is no page %s: host, host-handler", page);
    if (man_view_begin(&view, e) != 0)
        return -1;
    if (program)
        put_program();
    else
        rc = doc_pages_print("man", NULL, e);
    if (man_view_end(&view, rc == EXIT_DONE ? e : NULL) != 0)
        rc = -1;
    return rc;
}

int cmd_man(int argc, char **argv)
{
    const char *page = "host";
    struct err e = {0};
    const struct cli_option options[] = {{0}};
    const struct cli_usage usage = {.command = "man",
                                    .operands = "host|host-handler",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 1,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &page, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    int rc = show(page, &e);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
