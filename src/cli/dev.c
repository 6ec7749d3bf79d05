/* host dev [HANDLER]: the host with a queue and a Keycloak stand-in inside, reloading on save.
 *
 * Whatever the configuration and the environment say about queue, Keycloak, store and AWS keys, it
 * uses its own: a handler that is being tried must not reach the real ones. */
#include "base/exit.h"
#include "base/log.h"
#include "base/rand.h"
#include "cli/command.h"
#include "cli/dev_handler.h"
#include "cli/dev_servers.h"
#include "cli/key_flags.h"
#include "cli/options.h"
#include "cli/sandbox_defaults.h"
#include "conf/conf.h"
#include "ops/host.h"
#include "vm/bundle.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANY_PORT "127.0.0.1:0"

enum { OPTIONS_MAX = 12 };

struct dev {
    const char *listen; /* NULL: SANDBOX_LISTEN, or any port if that is taken */
    char handler[PATH_MAX];
    char secret[37];
    char endpoint[80], queue_url[128], dead_url[128];
    bool found_alone; /* host send, in this folder, finds the queue without being told */
    struct conf_request request;
    struct conf conf;
};

/* ---- the servers ---- */

static struct dev_servers *start_servers(struct dev *d, struct sandbox_options *o, struct err *e)
{
    o->listen = d->listen ? d->listen : SANDBOX_LISTEN;
    struct dev_servers *servers = dev_servers_start(o, e);
    if (!servers && !d->listen && e->code == EADDRINUSE) {
        *e = (struct err){0};
        o->listen = ANY_PORT;
        servers = dev_servers_start(o, e);
    }
    if (!servers) {
        struct err said = *e;
        bool usage = said.code == EINVAL || said.code == EACCES;
        err_set(e, usage ? EXIT_USAGE : EXIT_FAILED, "%s%s", said.text,
                said.code == EADDRINUSE ? ": without --listen a free port is taken" : "");
        return NULL;
    }
    const char *address = dev_servers_address(servers);
    snprintf(d->endpoint, sizeof d->endpoint, "http://%s", address);
    snprintf(d->queue_url, sizeof d->queue_url, "http://%s/" SANDBOX_ACCOUNT "/" SANDBOX_QUEUE,
             address);
    snprintf(d->dead_url, sizeof d->dead_url, "http://%s/" SANDBOX_ACCOUNT "/" SANDBOX_QUEUE "-dlq",
             address);
    return servers;
}

/* ---- the configuration ---- */

/* Of the configuration in this folder, without flags: what another command will go by here. */
static bool finds_queue(const struct dev *d)
{
    const struct conf_request request = {.environ = environ};
    struct conf c = {0};
    struct err e = {0};
    bool finds = conf_load(&c, &request, &e) == 0 && c.queue.url && c.queue.endpoint &&
                 strcmp(c.queue.url, d->queue_url) == 0 &&
                 strcmp(c.queue.endpoint, d->endpoint) == 0;
    conf_free(&c);
    return finds;
}

static void fix_keys(struct dev *d)
{
    const struct conf_flag fixed[] = {
        {"queue.url", d->queue_url},
        {"queue.endpoint", d->endpoint},
        {"queue.region", "us-east-1"},
        {"queue.dlq_url", d->dead_url},
        {"dedupe.store", "memory"},
        {"keycloak.url", d->endpoint},
        {"keycloak.realm", SANDBOX_REALM},
        {"keycloak.auth_realm", SANDBOX_REALM},
        {"keycloak.client_id", SANDBOX_CLIENT},
        {"keycloak.client_secret", d->secret},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        conf_request_flag(&d->request, fixed[i].flag, fixed[i].value);
    setenv("AWS_ACCESS_KEY_ID", "sandbox", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "sandbox", 1);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_SECURITY_TOKEN");
    d->request.handler_path = *d->handler == BUNDLE_BUILT_IN ? NULL : d->handler;
    d->request.environ = environ;
}

/* ---- what it says ---- */

static void print_handler(const struct dev *d)
{
    if (*d->handler == BUNDLE_BUILT_IN)
        printf("  handler   the example in this program; one of your own: host init DIR\n");
    else
        printf("  handler   %s, reloaded when it or what it requires is saved\n", d->handler);
    if (d->conf.file)
        printf("  config    %s, but for queue, Keycloak and dedupe store\n", d->conf.file);
}

/* One argument a line where they are long: it must fit into 80 columns, and be copied whole. */
static void print_send(const struct dev *d)
{
    printf("  host send%s", access("event.json", R_OK) == 0 ? " --event event.json" : "");
    if (!d->found_alone)
        printf(" \\\n    --queue-url %s", d->queue_url);
    if (!d->found_alone && (getenv("AWS_ENDPOINT_URL_SQS") || getenv("AWS_ENDPOINT_URL")))
        printf(" \\\n    --endpoint-url %s", d->endpoint);
    printf("\n");
}

static void print_banner(void *arg, const char *admin)
{
    const struct dev *d = arg;
    printf("The host with a queue and a Keycloak, in memory: nothing persists. Other\n"
           "servers that the handler calls are the real ones.\n\n");
    print_handler(d);
    printf("  queue     %s\n", d->queue_url);
    printf("  dead      %s after %d tries\n", d->dead_url, SANDBOX_REDRIVE_MAX);
    printf("  keycloak  %s, realm " SANDBOX_REALM ", client " SANDBOX_CLIENT "\n", d->endpoint);
    printf("  faults    %s/_sandbox/faults\n", d->endpoint);
    if (admin)
        printf("  admin     http://%s/metrics\n", admin);
    else
        printf("  admin     host status only: no port (--admin 127.0.0.1:0 takes a free one)\n");
    printf("\nIn another terminal:\n\n");
    print_send(d);
    printf("  curl -s %s/_sandbox/log\n  host status\n\nCtrl-C ends it.\n", d->endpoint);
    fflush(stdout); /* whoever started us may read it through a pipe, and wait for it */
}

/* ---- all of it ---- */

/* A handler that is being written is waited for, a name that was mistyped is not. */
static bool is_there(const char *handler)
{
    return access(handler, F_OK) == 0;
}

static int work(struct dev *d, struct err *e)
{
    const struct host_options options = {.conf = &d->conf,
                                         .request = &d->request,
                                         .handler_path = d->handler,
                                         .watch = true,
                                         .mends = is_there(d->handler),
                                         .up = print_banner,
                                         .arg = d};
    if (conf_load(&d->conf, &d->request, e) != 0)
        return -1;
    log_setup(d->conf.log.format, d->conf.log.level);
    conf_log_warnings(&d->conf);
    int rc = host_run(&options);
    return rc == EXIT_DRAIN ? EXIT_DONE : rc; /* what was left is gone anyway */
}

static int run(struct dev *d, struct err *e)
{
    static const char *const queues[] = {SANDBOX_QUEUE, NULL};
    struct sandbox_options o = {.queues = queues,
                                .dead_letters = SANDBOX_QUEUE "-dlq",
                                .redrive_max = SANDBOX_REDRIVE_MAX,
                                .realm = SANDBOX_REALM,
                                .client_id = SANDBOX_CLIENT,
                                .client_secret = d->secret};
    if (!*d->handler && dev_handler_find(".", d->handler, sizeof d->handler, e) != 0)
        return -1;
    rand_uuid(d->secret);
    log_setup(LOG_AUTO, LOG_INFO);
    struct dev_servers *servers = start_servers(d, &o, e);
    if (!servers)
        return -1;
    d->found_alone = finds_queue(d);
    fix_keys(d);
    int rc = work(d, e);
    dev_servers_stop(servers);
    conf_free(&d->conf);
    return rc;
}

static const char about[] =
    "Runs a handler against a queue and a Keycloak stand-in that are part of this process, and "
    "loads\n"
    "it anew whenever it, a file that it requires or the configuration is saved. Nothing "
    "persists.\n"
    "Without HANDLER it is the only one in this folder, or the one with the folder's name, or the\n"
    "example in this program. Queue and Keycloak of the configuration are never touched.\n";

static const char example[] = "  host dev\n"
                              "  host dev signups.lua --admin off --log-level warn\n";

int cmd_dev(int argc, char **argv)
{
    struct dev d = {0};
    struct err e = {0};
    const char *handler = NULL;
    struct cli_option options[OPTIONS_MAX] = {
        {.name = "config",
         .letter = 'c',
         .arg = "FILE",
         .value = &d.request.file,
         .help = "configuration, instead of " CONF_FILE_NAME " beside the handler"},
        {.name = "listen",
         .arg = "HOST:PORT",
         .value = &d.listen,
         .help = "where queue and Keycloak listen [" SANDBOX_LISTEN ", or a free port]"},
    };
    key_flags_add(options, 2, OPTIONS_MAX, "queue.", &d.request);
    const struct cli_usage usage = {.command = "dev",
                                    .operands = "[HANDLER]",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_max = 1};
    int rc = cli_parse(&usage, argc, argv, &handler, &e);
    if (rc >= 0 && handler && strlen(handler) >= sizeof d.handler)
        rc = err_set(&e, EXIT_USAGE, "the handler's path is too long");
    if (rc >= 0) {
        snprintf(d.handler, sizeof d.handler, "%s", handler ? handler : "");
        rc = run(&d, &e);
    }
    return rc < 0 ? cli_end(&usage, rc, &e) : rc;
}
