/* host types: what an editor's Lua language server has to know of the handler's modules. */
#include "base/exit.h"
#include "cli/command.h"
#include "cli/doc_pages.h"
#include "cli/options.h"

#include <stdio.h>

static const char about[] =
    "Writes definitions of the host's modules for lua-language-server (LuaLS): functions, their\n"
    "parameters, what they return and raise. With DIR a file per module, which is what the\n"
    ".luarc.json of `host init` points to; without, all of them to standard output.\n";

static const char example[] = "  host types .luahost/types\n"
                              "  host types | less\n";

int cmd_types(int argc, char **argv)
{
    const char *folder = NULL;
    struct err e = {0};
    const struct cli_option options[] = {{0}};
    const struct cli_usage usage = {.command = "types",
                                    .operands = "[DIR]",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &folder, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    int rc = doc_pages_print("types", folder, &e);
    if (rc == EXIT_DONE && folder)
        fprintf(stderr, "host types: written into %s\n", folder);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
