/* host sandbox: the stand-in servers in the foreground, until TERM or INT. */
#include "vm/sandbox.h"

#include "base/exit.h"
#include "base/log.h"
#include "base/rand.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/sandbox_defaults.h"
#include "conf/secret.h"

#include <errno.h>
#include <ev.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    QUEUES_MAX = 32,
    REALMS_MAX = 16,
    REALM_FILE_MAX_BYTES = 16 << 20,
    QUEUE_NAME_MAX = 80, /* as lua/sandbox/sqs_queues.lua has it */
};

struct command_line {
    const char *listen, *secret_file;
    bool allow_remote, json;
    const char *queues[QUEUES_MAX + 1];
    int queue_count;
    char dead_letters[QUEUE_NAME_MAX + 1]; /* of the first queue; "" if its name is too long */
    struct sandbox_realm realms[REALMS_MAX];
    struct buf realm_texts[REALMS_MAX];
    int realm_count;
    struct buf secret;
};

static int take_queue(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    struct command_line *c = arg;
    if (c->queue_count == QUEUES_MAX)
        return err_set(e, EXIT_USAGE, "--%s: at most %d queues", option->name, QUEUES_MAX);
    c->queues[c->queue_count++] = value;
    return 0;
}

static int take_realm(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    struct command_line *c = arg;
    if (c->realm_count == REALMS_MAX)
        return err_set(e, EXIT_USAGE, "--%s: at most %d realms", option->name, REALMS_MAX);
    struct buf *text = &c->realm_texts[c->realm_count];
    buf_init(text);
    if (input_read(value, REALM_FILE_MAX_BYTES, text, e) != 0) {
        buf_free(text);
        return -1;
    }
    c->realms[c->realm_count++] = (struct sandbox_realm){value, text->data, text->len};
    return 0;
}

/* "registrations-dlq". */
static void name_dead_letters(struct command_line *c)
{
    static const char suffix[] = "-dlq";
    size_t len = strlen(c->queues[0]);
    if (len + sizeof suffix <= sizeof c->dead_letters)
        snprintf(c->dead_letters, sizeof c->dead_letters, "%s%s", c->queues[0], suffix);
}

static int make_secret(struct command_line *c, struct err *e)
{
    char random[37];
    if (c->secret_file)
        return conf_read_secret(c->secret_file, &c->secret, e);
    rand_uuid(random);
    buf_str(&c->secret, random);
    return c->secret.failed ? err_set(e, EXIT_FAILED, "out of memory") : 0;
}

/* "127.0.0.1:40123": an address that a client can use, also where the server takes all. */
static void client_address(const struct sandbox *s, char out[80])
{
    const char *name = sandbox_name(s), *port = strrchr(name, ':');
    bool all = strncmp(name, "0.0.0.0:", 8) == 0 || strncmp(name, "[::]:", 5) == 0;
    snprintf(out, 80, "%s%s", all ? "127.0.0.1" : "", all ? port : name);
}

static void print_json(const struct sandbox_options *o, const char *address)
{
    struct buf b;
    buf_init(&b);
    buf_printf(
        &b, "{\"queue_endpoint\":\"http://%s\",\"queue_url\":\"http://%s/" SANDBOX_ACCOUNT "/%s\",",
        address, address, o->queues[0]);
    if (o->dead_letters)
        buf_printf(&b, "\"dead_letter_queue_url\":\"http://%s/" SANDBOX_ACCOUNT "/%s\",", address,
                   o->dead_letters);
    buf_printf(&b, "\"keycloak_url\":\"http://%s\",\"realm\":", address);
    buf_json(&b, o->realm, strlen(o->realm));
    buf_str(&b, ",\"client_id\":");
    buf_json(&b, o->client_id, strlen(o->client_id));
    buf_str(&b, ",\"client_secret\":");
    buf_json(&b, o->client_secret, strlen(o->client_secret));
    buf_str(&b, "}\n");
    fwrite(b.data, 1, b.len, stdout);
    OPENSSL_cleanse(b.data, b.len);
    buf_free(&b);
}

/* The queue's URL alone says where its endpoint is. */
static void print_banner(const struct command_line *c, const struct sandbox_options *o,
                         const char *address)
{
    printf("A queue and a Keycloak, in memory: nothing persists. Signatures are not checked.\n\n");
    for (int i = 0; o->queues[i]; i++)
        printf("  queue     http://%s/" SANDBOX_ACCOUNT "/%s\n", address, o->queues[i]);
    if (o->dead_letters)
        printf("  dead      http://%s/" SANDBOX_ACCOUNT "/%s takes what %s gave out %d times\n",
               address, o->dead_letters, o->queues[0], o->redrive_max);
    printf("  keycloak  http://%s, realm %s, client %s\n", address, o->realm, o->client_id);
    printf("  faults    http://%s/_sandbox/faults\n\n", address);
    printf("In another terminal:\n\n"
           "  export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox AWS_REGION=us-east-1\n"
           "  export LUAHOST_QUEUE_URL=http://%s/" SANDBOX_ACCOUNT "/%s\n"
           "  export LUAHOST_KEYCLOAK_URL=http://%s LUAHOST_KEYCLOAK_REALM=%s\n"
           "  export LUAHOST_KEYCLOAK_CLIENT_ID=%s\n",
           address, o->queues[0], address, o->realm, o->client_id);
    if (c->secret_file)
        printf("  export LUAHOST_KEYCLOAK_CLIENT_SECRET_FILE=%s\n", c->secret_file);
    else
        printf("  export LUAHOST_KEYCLOAK_CLIENT_SECRET=%s\n", o->client_secret);
    printf("  host send --event event.json --count 200\n"
           "  host run register.lua\n\n"
           "Ctrl-C ends it.\n");
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)loop;
    (void)events;
    *(bool *)w->data = true;
}

static void serve(struct ev_loop *loop, struct sandbox *s, bool *stopped)
{
    while (!*stopped) {
        ev_run(loop, EVRUN_ONCE);
        sandbox_turn(s);
    }
}

/* What listen_tcp and sandbox_new said, with what to do about it. */
static int explain(const struct command_line *c, struct err *e)
{
    char text[sizeof e->text];
    int code = e->code;
    snprintf(text, sizeof text, "%s", e->text);
    if (code == EADDRINUSE)
        return err_set(e, EXIT_FAILED,
                       "%s: another server, maybe another sandbox, is there. Stop "
                       "it, or choose another port: --listen 127.0.0.1:0 takes a free one",
                       text);
    if (code == EACCES && !c->allow_remote)
        return err_set(e, EXIT_USAGE,
                       "%s. Whoever can reach the sandbox can use it, since it "
                       "checks no signatures; if that is what you want, add --allow-remote",
                       text);
    return err_set(e,
                   code == EINVAL ? EXIT_USAGE
                   : code == EDOM ? EXIT_CONFIG
                                  : EXIT_FAILED,
                   "%s", text);
}

static int run(struct command_line *c, struct err *e)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    ev_signal term, interrupt;
    bool stopped = false;
    char address[80];
    if (!loop)
        return err_set(e, EXIT_FAILED, "cannot make an event loop");
    if (make_secret(c, e) != 0)
        return -1;
    if (c->queue_count == 0)
        c->queues[c->queue_count++] = SANDBOX_QUEUE;
    name_dead_letters(c);
    const struct sandbox_options o = {.listen = c->listen ? c->listen : SANDBOX_LISTEN,
                                      .allow_remote = c->allow_remote,
                                      .queues = c->queues,
                                      .dead_letters = *c->dead_letters ? c->dead_letters : NULL,
                                      .redrive_max = SANDBOX_REDRIVE_MAX,
                                      .realms = c->realms,
                                      .realm_count = c->realm_count,
                                      .realm = SANDBOX_REALM,
                                      .client_id = SANDBOX_CLIENT,
                                      .client_secret = c->secret.data};
    struct sandbox *s = sandbox_new(loop, &o, e);
    if (!s)
        return explain(c, e);
    ev_signal_init(&term, on_signal, SIGTERM);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    term.data = interrupt.data = &stopped;
    ev_signal_start(loop, &term);
    ev_signal_start(loop, &interrupt);
    client_address(s, address);
    if (c->json)
        print_json(&o, address);
    else
        print_banner(c, &o, address);
    fflush(stdout); /* whoever started us reads it through a pipe, and waits for it */
    serve(loop, s, &stopped);
    ev_signal_stop(loop, &term);
    ev_signal_stop(loop, &interrupt);
    sandbox_free(s);
    return EXIT_DONE;
}

static const char about[] =
    "Runs stand-ins for SQS and Keycloak on this machine, for trying handlers and for tests. They\n"
    "keep nothing: what was sent and registered is gone when it ends. The first queue has a\n"
    "dead-letter queue, NAME-dlq. A realm `demo` with a group /customers, a role customer and a\n"
    "client luahost is there; realm files add others. POST /_sandbox/faults makes them fail: cut\n"
    "lines, statuses, throttling, second deliveries; GET / on the same port lists what is there.\n";

static const char example[] =
    "  host sandbox\n"
    "  host sandbox --listen 127.0.0.1:0 --json --queue signups --realm-file customers.json\n";

int cmd_sandbox(int argc, char **argv)
{
    struct command_line c = {0};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "listen",
         .arg = "HOST:PORT",
         .value = &c.listen,
         .help = "where [" SANDBOX_LISTEN "]; port 0: any free one"},
        {.name = "queue",
         .arg = "NAME",
         .each = take_queue,
         .each_arg = &c,
         .help = "a queue to make, may be repeated [registrations]"},
        {.name = "realm-file",
         .arg = "FILE",
         .each = take_realm,
         .each_arg = &c,
         .help = "a realm as Keycloak exports it, may be repeated"},
        {.name = "client-secret-file",
         .arg = "FILE",
         .value = &c.secret_file,
         .help = "the secret of the realm demo's client [random]"},
        {.name = "allow-remote",
         .flag = &c.allow_remote,
         .help = "may listen where other machines reach it"},
        {.name = "json", .flag = &c.json, .help = "print addresses and secret as one JSON line"},
        {0},
    };
    const struct cli_usage usage = {
        .command = "sandbox", .about = about, .example = example, .options = options};
    buf_init(&c.secret);
    int rc = cli_parse(&usage, argc, argv, NULL, &e);
    if (rc >= 0) {
        log_setup(LOG_AUTO, LOG_INFO);
        rc = run(&c, &e);
    }
    if (rc < 0)
        rc = cli_end(&usage, rc, &e);
    for (int i = 0; i < c.realm_count; i++)
        buf_free(&c.realm_texts[i]);
    OPENSSL_cleanse(c.secret.data, c.secret.len);
    buf_free(&c.secret);
    return rc;
}
