/* host status, pause, resume, scale: one request to a running host, and what it says then. */
#include "base/exit.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/status_screen.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command_line {
    const char *socket;
    const char *operand; /* of scale */
    bool json;
};

static int print_answer(const struct buf *answer, bool json, struct err *e)
{
    struct buf screen;
    if (json) {
        fwrite(answer->data, 1, answer->len, stdout);
        return EXIT_DONE;
    }
    struct json_object *status = admin_client_object(answer, e);
    if (!status)
        return -1;
    buf_init(&screen);
    status_screen(status, &screen);
    int rc = screen.failed ? err_set(e, EXIT_FAILED, "out of memory") : EXIT_DONE;
    if (rc == EXIT_DONE)
        fwrite(screen.data, 1, screen.len, stdout);
    buf_free(&screen);
    json_object_put(status);
    return rc;
}

static int ask(const struct command_line *c, const char *method, const char *target, struct err *e)
{
    struct buf answer;
    buf_init(&answer);
    int rc = admin_client_call(c->socket, method, target, &answer, e);
    if (rc == 0)
        rc = print_answer(&answer, c->json, e);
    buf_free(&answer);
    return rc;
}

/* `operands` NULL: it takes none. */
static int run(const struct cli_usage *about, int argc, char **argv, const char *method,
               const char *(*target)(const struct command_line *, struct err *))
{
    struct command_line c = {0};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "socket", .arg = "PATH", .value = &c.socket, .help = ADMIN_CLIENT_SOCKET_HELP},
        {.name = "json", .flag = &c.json, .help = "print the host's answer, JSON"},
        {0},
    };
    struct cli_usage usage = *about;
    usage.options = options;
    int rc = cli_parse(&usage, argc, argv, &c.operand, &e);
    const char *where = rc >= 0 ? target(&c, &e) : NULL;
    if (rc >= 0)
        rc = where ? ask(&c, method, where, &e) : CLI_BAD;
    return rc < 0 ? cli_end(&usage, rc, &e) : rc;
}

static const char *status_target(const struct command_line *c, struct err *e)
{
    (void)c, (void)e;
    return "/api/v1/status";
}

static const char *pause_target(const struct command_line *c, struct err *e)
{
    (void)c, (void)e;
    return "/api/v1/pause";
}

static const char *resume_target(const struct command_line *c, struct err *e)
{
    (void)c, (void)e;
    return "/api/v1/resume";
}

static const char *scale_target(const struct command_line *c, struct err *e)
{
    static char target[64];
    const char *range = c->operand, *colon = strchr(range, ':');
    if (strlen(range) > 20 || strspn(range, "0123456789:") != strlen(range) || atoi(range) < 1 ||
        (colon && atoi(colon + 1) < atoi(range))) {
        err_set(
            e, EXIT_USAGE,
            "scale takes a number of workers, from 1, or a range with the smaller number first, "
            "4 or 2:8, not \"%s\"",
            range);
        return NULL;
    }
    snprintf(target, sizeof target, "/api/v1/scale?workers=%s", range);
    return target;
}

int cmd_status(int argc, char **argv)
{
    static const struct cli_usage usage = {
        .command = "status",
        .about =
            "Shows what a running host does: whether it receives and if not, what holds it and\n"
            "since when; what is in hand, its workers, the servers it calls, and its "
            "counts.\n" ADMIN_CLIENT_FINDS,
        .example = "  host status\n  host status --json | jq .hold\n"};
    return run(&usage, argc, argv, "GET", status_target);
}

int cmd_pause(int argc, char **argv)
{
    static const struct cli_usage usage = {
        .command = "pause",
        .about =
            "A running host stops receiving; what is in hand goes on. A poll that is open may\n"
            "still bring up to ten messages (for queue.wait seconds, 20 unless set otherwise): "
            "the\n"
            "answer says so, and host status says when none is open any more.\n" ADMIN_CLIENT_FINDS,
        .example = "  host pause && host status\n"};
    return run(&usage, argc, argv, "POST", pause_target);
}

int cmd_resume(int argc, char **argv)
{
    static const struct cli_usage usage = {.command = "resume",
                                           .about =
                                               "A paused host receives again.\n" ADMIN_CLIENT_FINDS,
                                           .example = "  host resume\n"};
    return run(&usage, argc, argv, "POST", resume_target);
}

int cmd_scale(int argc, char **argv)
{
    static const struct cli_usage usage = {
        .command = "scale",
        .operands = "N|MIN:MAX",
        .operands_min = 1,
        .operands_max = 1,
        .about =
            "Sets how many workers a running host may have: a number, or a range within which it\n"
            "scales by itself. It lasts until the host ends.\n" ADMIN_CLIENT_FINDS,
        .example = "  host scale 4\n  host scale 2:16 --socket /run/luahost/signups-812.sock\n"};
    return run(&usage, argc, argv, "POST", scale_target);
}
