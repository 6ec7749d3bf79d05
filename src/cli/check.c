/* host check HANDLER: is what would run fit to run? Without the network. */
#include "aws/dynamodb.h"
#include "aws/sqs.h"
#include "base/exit.h"
#include "base/log.h"
#include "cli/check_keycloak.h"
#include "cli/check_queue.h"
#include "cli/checklist.h"
#include "cli/command.h"
#include "cli/lint.h"
#include "cli/options.h"
#include "cli/print_table.h"
#include "conf/conf.h"
#include "conf/secret.h"
#include "net/fetch.h"
#include "ops/handler_load.h"
#include "vm/bundle.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

struct command_line {
    struct check_events events; /* with the handler */
    bool json;
    bool online;
    bool print_table;
    struct conf_request request;
};

/* ---- what is looked at, one function each ---- */

struct look {
    const struct conf *conf;
    const char *handler;
    struct checklist *list;
};

static void look_at_configuration(const struct look *l)
{
    char words[300];
    const char *line = l->conf->warnings.data;
    snprintf(words, sizeof words, "%.200s%s", l->conf->file ? l->conf->file : CONF_FILE_NAME,
             l->conf->file ? "" : " is not there: variables and defaults");
    checklist_add(l->list, CHECK_OK, "configuration", words);
    while (*line) {
        char text[512];
        size_t n = strcspn(line, "\n");
        snprintf(text, sizeof text, "%.*s", (int)n, line);
        checklist_add(l->list, CHECK_DOUBT, "configuration", text);
        line += n + (line[n] == '\n');
    }
}

static void look_at_queue(const struct look *l)
{
    char region[64];
    struct err e = {0};
    const struct conf *c = l->conf;
    const char *queue = c->queue.url ? c->queue.url : c->queue.name, *server = c->queue.endpoint;
    const struct sqs_options o = {
        .endpoint = c->queue.endpoint, .region = c->queue.region, .queue_url = c->queue.url};
    bool bad =
        conf_require_queue(c, &e) != 0 || sqs_tell_region(&o, region, sizeof region, &e) != 0;
    bool apart = !bad && server && strncmp(queue, server, strlen(server)) != 0;
    checklist_say(l->list, bad ? CHECK_BAD : CHECK_OK, "queue", "%s%s%s", bad ? e.text : queue,
                  apart ? " at " : "", apart ? server : "");
}

static void look_at_handler(const struct look *l)
{
    struct err e = {0};
    struct bundle *handler = bundle_new(l->handler, l->conf->handler_json, 1);
    bool good = handler ? handler_load(l->conf, handler, &e) == 0
                        : err_set(&e, EXIT_FAILED, "no memory to load a handler") == 0;
    checklist_add(l->list, good ? CHECK_OK : CHECK_BAD, "handler", good ? l->handler : e.text);
    if (good && lint(l->conf, handler, l->list, &e) != 0)
        checklist_add(l->list, CHECK_DOUBT, "lint", e.text);
    bundle_unref(handler);
}

static void look_at_file(const struct look *l, const char *what, const char *path)
{
    struct err e = {0};
    struct buf secret;
    buf_init(&secret);
    bool bad = conf_read_secret(path, &secret, &e) != 0;
    OPENSSL_cleanse(secret.data, secret.len);
    buf_free(&secret);
    checklist_add(l->list, bad ? CHECK_BAD : CHECK_OK, what, bad ? e.text : path);
}

static void look_at_secrets(const struct look *l)
{
    const struct conf *c = l->conf;
    bool set = c->keycloak.client_secret;
    if (!set && c->keycloak.client_secret_file)
        look_at_file(l, "client secret", c->keycloak.client_secret_file);
    else if (!set && c->keycloak.url)
        checklist_add(l->list, CHECK_DOUBT, "client secret",
                      "none is set, so no call of host.keycloak gets a token: set "
                      "keycloak.client_secret_file or LUAHOST_KEYCLOAK_CLIENT_SECRET");
    if (c->admin.token_file)
        look_at_file(l, "admin token", c->admin.token_file);
}

/* That a region can be told, and that the endpoint is a URL. */
static void look_at_store(const struct look *l)
{
    char region[64] = "", words[700];
    struct err e = {0};
    const struct conf *c = l->conf;
    const struct sqs_options queue = {
        .endpoint = c->queue.endpoint, .region = c->queue.region, .queue_url = c->queue.url};
    const char *table = conf_dedupe_table(c);
    if (!table)
        return;
    bool told = c->dedupe.region || sqs_tell_region(&queue, region, sizeof region, &e) == 0;
    const struct dynamodb_options o = {.table = table,
                                       .endpoint = c->dedupe.endpoint,
                                       .region = c->dedupe.region ? c->dedupe.region
                                                 : told           ? region
                                                                  : NULL};
    struct dynamodb *d = dynamodb_new(&o, NULL, NULL, &e);
    if (d)
        snprintf(words, sizeof words, "table %s in %s (%s)", table, dynamodb_region(d),
                 dynamodb_endpoint(d));
    checklist_add(l->list, d ? CHECK_OK : CHECK_BAD, "shared store", d ? words : e.text);
    dynamodb_free(d);
}

static void (*const looks[])(const struct look *) = {
    look_at_configuration, look_at_queue, look_at_handler, look_at_secrets, look_at_store};

/* ---- the command ---- */

static int check(const struct command_line *c, struct err *e)
{
    struct conf conf = {0};
    struct checklist list;
    int rc = -1;
    checklist_init(&list);
    log_setup(LOG_TEXT, LOG_ERROR);
    if (conf_load(&conf, &c->request, e) != 0) {
        if (e->code != EXIT_CONFIG || c->print_table)
            goto done;
        checklist_add(&list, CHECK_BAD, "configuration", e->text);
    } else if (c->print_table) {
        rc = print_table(&conf, c->json, e);
        goto done;
    } else if (fetch_global_init(e) != 0) {
        goto done;
    } else {
        const struct look look = {.conf = &conf, .handler = c->events.handler, .list = &list};
        for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
            looks[i](&look);
        if (c->online) {
            check_queue(&conf, &list);
            check_keycloak(&conf, &c->events, &list);
        }
    }
    rc = checklist_print(&list, c->json, e);
done:
    checklist_free(&list);
    conf_free(&conf);
    return rc;
}

static const char about[] =
    "Looks at a handler and its configuration and (without --online) reaches no network: every key "
    "is\n"
    "checked, the handler and what it requires are compiled and loaded, as a worker would, and\n"
    "their source is looked through for common slips. Those are doubts (!); \"-- check: ignore\"\n"
    "at the end of a line keeps it quiet. Leaves with 78 if something would keep the host from\n"
    "running. --online asks the queue and Keycloak, too, and writes nothing: credentials, redrive\n"
    "policy, dead-letter queue, token. It runs sample events dry (-e; else HANDLER.event.json or\n"
    "event.json beside the handler) to see which roles, groups and user attributes the calls\n"
    "need, and whether the realm has them. --print-table prints the commands that create the\n"
    "table of dedupe.store, and the IAM policy that it needs.\n";

static const char example[] = "  host check register.lua\n"
                              "  host check register.lua --online -e register.event.json\n"
                              "  host check register.lua --json | jq '.checks[]'\n"
                              "  host check register.lua --print-table | sh\n";

static int take_event(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    struct check_events *events = arg;
    (void)option;
    if (events->count == CHECK_EVENTS_MAX)
        return err_set(e, EXIT_USAGE, "-e can be given %d times", CHECK_EVENTS_MAX);
    events->paths[events->count++] = value;
    return 0;
}

int cmd_check(int argc, char **argv)
{
    struct command_line c = {0};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "config",
         .letter = 'c',
         .arg = "FILE",
         .value = &c.request.file,
         .help = "configuration, instead of " CONF_FILE_NAME " beside the handler"},
        {.name = "print-table",
         .flag = &c.print_table,
         .help = "print how to create the table of dedupe.store, and leave"},
        {.name = "online",
         .flag = &c.online,
         .help = "also ask the queue and Keycloak; nothing is written"},
        {.name = "event",
         .letter = 'e',
         .arg = "FILE",
         .each = take_event,
         .each_arg = &c.events,
         .help = "sample event for --online, again for more; - is standard input"},
        {.name = "json", .flag = &c.json, .help = "print one JSON object"},
        {0},
    };
    const struct cli_usage usage = {.command = "check",
                                    .operands = "HANDLER",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 1,
                                    .operands_max = 1};
    int rc = cli_parse(&usage, argc, argv, &c.events.handler, &e);
    if (rc >= 0 && c.events.count > 0 && !c.online)
        rc = err_set(&e, EXIT_USAGE, "-e goes with --online; without it, see host invoke");
    if (rc >= 0) {
        c.request.handler_path = c.events.handler;
        c.request.environ = environ;
        rc = check(&c, &e);
    }
    return rc < 0 ? cli_end(&usage, rc == CLI_HELP ? CLI_HELP : CLI_BAD, &e) : rc;
}
