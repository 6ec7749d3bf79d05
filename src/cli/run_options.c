#include "cli/run_options.h"

#include "base/exit.h"
#include "cli/key_flags.h"
#include "cli/options.h"
#include "conf/keys.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MAX = 32, COLUMNS = 100, INDENT = 30 };

static const char about[] =
    "Consumes the queue with a handler, until stopped by TERM or Ctrl-C. The handler is a Lua\n"
    "file that returns a table with a function handle(msg). Settings come from flags, from\n"
    "LUAHOST_* variables, from " CONF_FILE_NAME " beside the handler, and from defaults, in this\n"
    "order. Secrets come from files or the environment, never from flags.\n";

static const char example[] =
    "  host run register.lua --queue-url https://sqs.eu-central-1.amazonaws.com/1234/signups\n"
    "  host run register.lua --queue signups --region eu-central-1 --until-empty\n"
    "  LUAHOST_WORKERS_MAX=4 host run register.lua --print-config\n";

static void put_key(FILE *out, const struct conf_key *key)
{
    char more[96];
    snprintf(more, sizeof more, "%s%s%s%s", key->def ? " [" : "", key->def ? key->def : "",
             key->def ? "]" : "", key->marks & KEY_LATER ? " (no effect yet)" : "");
    int used = fprintf(out, "  %-27s %s", key->path, key->help);
    if (used + (int)strlen(more) > COLUMNS)
        fprintf(out, "\n%*s", INDENT - 1, "");
    fprintf(out, "%s\n", more);
}

static void put_keys(FILE *out)
{
    fputs("\nKeys of " CONF_FILE_NAME ", with defaults; queue.wait is LUAHOST_QUEUE_WAIT as a "
          "variable:\n",
          out);
    for (size_t i = 0; i < conf_keys_count; i++)
        put_key(out, &conf_keys[i]);
}

static int read_patience(const char *text, struct run_options *o, struct err *e)
{
    o->patience_s = 60;
    if (!text)
        return 0;
    if (!o->until_empty)
        return err_set(e, EXIT_USAGE, "--patience goes with --until-empty only");
    return cli_seconds("--patience", text, 0, 43200, &o->patience_s, e);
}

int run_options_parse(int argc, char **argv, struct run_options *o, struct err *e)
{
    const char *patience = NULL;
    memset(o, 0, sizeof *o);
    struct cli_option options[OPTIONS_MAX] = {
        {.name = "config",
         .letter = 'c',
         .arg = "FILE",
         .value = &o->conf.file,
         .help = "configuration, instead of " CONF_FILE_NAME " beside the handler"},
        {.name = "until-empty",
         .flag = &o->until_empty,
         .help = "leave when the queue is empty; 1 if messages are left for later"},
        {.name = "patience",
         .arg = "S",
         .value = &patience,
         .help = "with --until-empty: wait for own retries due within S seconds [60]"},
        {.name = "print-config",
         .flag = &o->print_config,
         .help = "print each key, its value and where it came from, and leave"},
        {.name = "watch",
         .flag = &o->watch,
         .help = "reload when a file of the handler or the configuration changes"},
    };
    key_flags_add(options, 5, OPTIONS_MAX, NULL, &o->conf);
    const struct cli_usage usage = {.command = "run",
                                    .operands = "HANDLER",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 1,
                                    .operands_max = 1,
                                    .more = put_keys};
    int n = cli_parse(&usage, argc, argv, &o->handler, e);
    if (n == CLI_HELP)
        return 1;
    if (n < 0 || read_patience(patience, o, e))
        return -1;
    o->conf.handler_path = o->handler;
    o->conf.environ = environ;
    return 0;
}

int run_options_end(const struct err *e)
{
    const struct cli_usage usage = {.command = "run"};
    return cli_end(&usage, CLI_BAD, e);
}
