#include "cli/command.h"

#include "base/exit.h"
#include "base/version.h"
#include "cli/options.h"
#include "conf/conf.h"
#include "net/fetch.h"
#include "net/httpd.h"

#include <ev.h>
#include <json-c/json_c_version.h>
#include <openssl/crypto.h>
#include <stdio.h>

enum { LIBRARIES = 6, VERSION_MAX_BYTES = 256 };

struct library {
    const char *name;
    char version[VERSION_MAX_BYTES];
};

/* What is linked at run time, which is what matters when something is reported. */
static void ask_libraries(struct library l[LIBRARIES])
{
    static const char *const names[] = {"lua", "curl", "openssl", "libev", "json-c", "microhttpd"};
    for (int i = 0; i < LIBRARIES; i++)
        l[i].name = names[i];
    snprintf(l[0].version, VERSION_MAX_BYTES, "%s", conf_lua_version());
    snprintf(l[1].version, VERSION_MAX_BYTES, "%s", fetch_library());
    snprintf(l[2].version, VERSION_MAX_BYTES, "%s", OpenSSL_version(OPENSSL_VERSION));
    snprintf(l[3].version, VERSION_MAX_BYTES, "libev %d.%d", ev_version_major(),
             ev_version_minor());
    snprintf(l[4].version, VERSION_MAX_BYTES, "json-c %s", json_c_version());
    snprintf(l[5].version, VERSION_MAX_BYTES, "libmicrohttpd %s", httpd_library());
}

/* The libraries' own words have no quotes or backslashes in them. */
static void print_json(const struct library *l)
{
    printf("{\"host\":\"%s\"", HOST_VERSION);
    for (int i = 0; i < LIBRARIES; i++)
        printf(",\"%s\":\"%s\"", l[i].name, l[i].version);
    puts("}");
}

static void print_text(const struct library *l)
{
    puts("host " HOST_VERSION);
    for (int i = 0; i < LIBRARIES; i++)
        printf("  %s\n", l[i].version);
}

int cmd_version(int argc, char **argv)
{
    struct library libraries[LIBRARIES];
    struct err e = {0};
    bool json = false;
    const struct cli_option options[] = {
        {.name = "json", .flag = &json, .help = "as one JSON object"},
        {0},
    };
    const struct cli_usage usage = {
        .command = "version",
        .about = "Prints this program's version, and those of the libraries it runs with.",
        .example = "  host version --json",
        .options = options,
    };
    int n = cli_parse(&usage, argc, argv, NULL, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    ask_libraries(libraries);
    if (json)
        print_json(libraries);
    else
        print_text(libraries);
    return EXIT_DONE;
}
