/* host send: sample events onto a queue. */
#include "aws/sqs.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/sender.h"
#include "conf/conf.h"
#include "net/fetch.h"
#include "ops/queue_lookup.h"
#include "vm/embed.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT_MAX = 100000000, LOOKUP_PATIENCE_MS = 5000, IDLE_CONNECTION_S = 25 };

#define SAMPLE "examples/register.event.json"

extern char **environ;

struct command_line {
    const char *event, *group, *count_text, *conf_file;
    long count;
    bool json;
    struct conf_request request;
};

static int take_flag(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    (void)e;
    /* conf_request keeps the flag's text: these have the life it needs. */
    static const char *const flags[] = {"--queue-url", "--queue", "--endpoint-url", "--region"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(flags[i] + 2, option->name) == 0)
            conf_request_flag(arg, flags[i], value);
    return 0;
}

static int read_event(const struct command_line *c, struct buf *event, struct err *e)
{
    size_t len;
    if (c->event)
        return input_read(c->event, SENDER_BODY_MAX_BYTES, event, e);
    const char *sample = embed_find(SAMPLE, &len);
    if (!sample)
        return err_set(e, EXIT_FAILED, "this program has no sample event: give one by --event");
    buf_add(event, sample, len);
    return event->failed ? err_set(e, EXIT_FAILED, "out of memory") : 0;
}

static void show_progress(long settled, long count)
{
    static int64_t shown_ms;
    static long shown;
    int64_t now = clock_boot_ms();
    if (settled == shown || (settled < count && now < shown_ms + 100))
        return;
    shown_ms = now;
    shown = settled;
    fprintf(stderr, "\r%ld of %ld%s", settled, count, settled == count ? "\n" : "");
}

/* The queue's URL, asked for if only the name is known. */
static int find_queue(const struct conf *c, struct ev_loop *loop, struct fetch *fetch,
                      struct sqs *sqs, struct err *e)
{
    struct queue_lookup lookup = {0};
    if (c->queue.url)
        return 0;
    struct queue_lookup_options o = {.name = c->queue.name, .patience_ms = LOOKUP_PATIENCE_MS};
    queue_lookup_start(&lookup, loop, sqs, &o);
    while (!lookup.ended) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    queue_lookup_stop(&lookup);
    if (lookup.error.code == 0)
        return 0;
    *e = lookup.error;
    return -1;
}

static void print_summary(bool json, const struct sender_result *r, long count,
                          const struct sqs *sqs, double seconds)
{
    const char *url = sqs_queue_url(sqs), *server = sqs_other_server(sqs);
    if (!json) {
        printf("%ld of %ld messages sent to %s%s%s", r->accepted, count, url, server ? " at " : "",
               server ? server : "");
        if (count > 1)
            printf(" in %.1f s", seconds);
        printf("\n");
        return;
    }
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "{\"sent\":%ld,\"refused\":%ld,\"given_up\":%ld,\"seconds\":%.3f,\"queue_url\":",
               r->accepted, r->refused, count - r->accepted - r->refused, seconds);
    buf_json(&b, url, strlen(url));
    if (server) {
        buf_str(&b, ",\"endpoint\":");
        buf_json(&b, server, strlen(server));
    }
    buf_str(&b, "}\n");
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
}

static int send_all(const struct command_line *c, const struct sender_options *o,
                    struct ev_loop *loop, struct fetch *fetch, struct sqs *sqs, struct err *e)
{
    struct sender_result r;
    int64_t began_us = clock_mono_us();
    int rc = sender_run(o, loop, fetch, sqs, &r, e);
    print_summary(c->json, &r, o->count, sqs, (double)(clock_mono_us() - began_us) / 1e6);
    if (rc != 0)
        return -1;
    if (r.accepted < o->count)
        return err_set(e, EXIT_FAILED, "%ld of %ld messages were not accepted: %s",
                       o->count - r.accepted, o->count, r.why.text);
    return EXIT_DONE;
}

static bool is_at(const char *url, const char *server)
{
    size_t len = strlen(server);
    return strncmp(url, server, len) == 0 && strchr(":/", url[len]);
}

/* A queue on this machine is a stand-in, and wants keys only for the form's sake. */
static void lend_keys(const struct conf *c)
{
    const char *url = c->queue.endpoint ? c->queue.endpoint : c->queue.url ? c->queue.url : "";
    if (getenv("AWS_ACCESS_KEY_ID") || getenv("AWS_SECRET_ACCESS_KEY"))
        return;
    if (is_at(url, "http://127.0.0.1") || is_at(url, "http://localhost") ||
        is_at(url, "http://[::1]")) {
        setenv("AWS_ACCESS_KEY_ID", "local", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "local", 1);
    }
}

static int send_with(const struct command_line *c, const struct conf *conf,
                     const struct sender_options *o, struct err *e)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    const struct fetch_options options = {.ca_file = conf->http.ca_file,
                                          .connect_timeout_ms =
                                              (int)(conf->http.connect_timeout * 1000),
                                          .idle_connection_s = IDLE_CONNECTION_S,
                                          .max_connections = 8};
    const struct sqs_options where = {.endpoint = conf->queue.endpoint,
                                      .region = conf->queue.region,
                                      .queue_url = conf->queue.url};
    struct creds *creds = NULL;
    struct sqs *sqs = NULL;
    int rc = -1;
    if (!loop)
        return err_set(e, EXIT_FAILED, "cannot make an event loop");
    struct fetch *fetch = fetch_global_init(e) == 0 ? fetch_new(loop, &options, e) : NULL;
    lend_keys(conf);
    if (fetch)
        creds = creds_new(e);
    if (creds)
        sqs = sqs_new(&where, fetch, creds, e);
    if (sqs && find_queue(conf, loop, fetch, sqs, e) == 0)
        rc = send_all(c, o, loop, fetch, sqs, e);
    sqs_free(sqs);
    creds_free(creds);
    if (fetch)
        fetch_free(fetch);
    return rc;
}

static int run(struct command_line *c, struct err *e)
{
    struct conf conf = {0};
    struct buf event;
    int rc = -1;
    buf_init(&event);
    c->request.file = c->conf_file;
    c->request.environ = environ;
    if (c->count_text && cli_int("--count", c->count_text, 1, COUNT_MAX, &c->count, e) != 0)
        goto done;
    if (conf_load(&conf, &c->request, e) != 0 || conf_require_queue(&conf, e) != 0)
        goto done;
    log_setup(conf.log.format, LOG_WARN);
    if (read_event(c, &event, e) != 0)
        goto done;
    const struct sender_options o = {
        .event = event.data,
        .event_len = event.len,
        .group = c->group,
        .count = c->count,
        .progress = c->count > 1 && isatty(STDERR_FILENO) ? show_progress : NULL};
    const char *name = c->event ? c->event : SAMPLE;
    if (sender_check(&o, strcmp(name, "-") == 0 ? "standard input" : name, e) == 0)
        rc = send_with(c, &conf, &o, e);
done:
    buf_free(&event);
    conf_free(&conf);
    return rc;
}

static const char about[] =
    "Puts messages on a queue. The event's text is the body of each; {{n}} in it becomes the\n"
    "message's number, from 1, and {{uuid}} an id of its own. Without --event, a sample\n"
    "registration is sent. On a FIFO queue they go one batch after the other, each message with a\n"
    "deduplication id of its own. Where the queue is comes from flags, LUAHOST_* variables or the\n"
    "configuration file, as for host run; credentials from the AWS_* variables, which a queue on\n"
    "this machine does not need.\n";

static const char example[] =
    "  host send --queue-url http://127.0.0.1:9324/000000000000/registrations --count 200\n"
    "  host send --queue signups --event event.json\n"
    "  host send --queue signups.fifo --event event.json --count 50 --group 'person-{{n}}'\n"
    "  jq -c .user export.json | host send --event -\n";

int cmd_send(int argc, char **argv)
{
    struct command_line c = {.count = 1};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "event",
         .letter = 'e',
         .arg = "FILE",
         .value = &c.event,
         .help = "the body; - is standard input [a sample]"},
        {.name = "count",
         .letter = 'n',
         .arg = "N",
         .value = &c.count_text,
         .help = "how many [1]"},
        {.name = "group",
         .letter = 'g',
         .arg = "G",
         .value = &c.group,
         .help = "MessageGroupId, marks as in the event [FIFO: " SENDER_GROUP "]"},
        {.name = "queue-url",
         .arg = "URL",
         .each = take_flag,
         .each_arg = &c.request,
         .help = "the queue"},
        {.name = "queue",
         .arg = "NAME",
         .each = take_flag,
         .each_arg = &c.request,
         .help = "the queue's name instead of its URL"},
        {.name = "endpoint-url",
         .arg = "URL",
         .each = take_flag,
         .each_arg = &c.request,
         .help = "server that speaks SQS, if it is not AWS"},
        {.name = "region",
         .arg = "R",
         .each = take_flag,
         .each_arg = &c.request,
         .help = "AWS region"},
        {.name = "config",
         .letter = 'c',
         .arg = "FILE",
         .value = &c.conf_file,
         .help = "configuration [host.conf.lua, if it is here]"},
        {.name = "json", .flag = &c.json, .help = "print the summary as one JSON line"},
        {0},
    };
    const struct cli_usage usage = {
        .command = "send", .about = about, .example = example, .options = options};
    int rc = cli_parse(&usage, argc, argv, NULL, &e);
    if (rc >= 0)
        rc = run(&c, &e);
    return rc < 0 ? cli_end(&usage, rc, &e) : rc;
}
