/* host reload: asks a running host to load its handler anew, and waits for what comes of it. */
#include "base/exit.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/options.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char about[] =
    "A running host loads its handler, the files that it requires and the `handler` block of the\n"
    "configuration anew, tries them, and goes over to them between messages; what is in progress\n"
    "ends as it began. If anything is wrong nothing changes, and it leaves with 78 and the "
    "reason.\n" ADMIN_CLIENT_FINDS;

static const char *text(struct json_object *status, const char *name)
{
    const char *value = json_object_get_string(json_object_object_get(status, name));
    return value ? value : "";
}

/* What became of it, in the status that said so last; NULL with `e`. */
static struct json_object *reload(const char *socket, struct err *e)
{
    static const struct timespec nap = {.tv_nsec = 50000000};
    struct json_object *status = admin_client_ask(socket, "POST", "/api/v1/reload", e);
    while (status && strcmp(text(status, "reload"), "busy") == 0) {
        json_object_put(status);
        nanosleep(&nap, NULL);
        status = admin_client_ask(socket, "GET", "/api/v1/status", e);
    }
    return status;
}

static int tell(struct json_object *status, bool json, struct err *e)
{
    if (json)
        printf("%s\n", json_object_to_json_string_ext(status, JSON_C_TO_STRING_NOSLASHESCAPE));
    if (strcmp(text(status, "reload"), "done") != 0 && strcmp(text(status, "generation"), "0") == 0)
        return err_set(e, EXIT_CONFIG, "not loaded: %s", text(status, "reload_error"));
    if (strcmp(text(status, "reload"), "done") != 0)
        return err_set(e, EXIT_CONFIG, "not reloaded, generation %s goes on: %s",
                       text(status, "generation"), text(status, "reload_error"));
    if (!json)
        printf("reloaded: generation %s of %s\n", text(status, "generation"),
               text(status, "handler"));
    return EXIT_DONE;
}

int cmd_reload(int argc, char **argv)
{
    const char *socket = NULL;
    bool json = false;
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "socket", .arg = "PATH", .value = &socket, .help = ADMIN_CLIENT_SOCKET_HELP},
        {.name = "json", .flag = &json, .help = "print the host's status afterwards, JSON"},
        {0},
    };
    const struct cli_usage usage = {.command = "reload",
                                    .about = about,
                                    .example = "  host check register.lua && host reload\n",
                                    .options = options};
    int rc = cli_parse(&usage, argc, argv, NULL, &e);
    if (rc >= 0) {
        struct json_object *status = reload(socket, &e);
        rc = status ? tell(status, json, &e) : -1;
        json_object_put(status);
    }
    return rc < 0 ? cli_end(&usage, rc, &e) : rc;
}
