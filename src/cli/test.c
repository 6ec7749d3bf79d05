/* host test [PATH...]: runs *_test.lua files. */
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/test_files.h"
#include "cli/test_report.h"
#include "cli/test_run.h"

#include <stdio.h>
#include <string.h>

static const char about[] = "Runs the cases of *_test.lua files, in the folders named or in this "
                            "one. A handler under test\n"
                            "runs as in production, but nothing is sent: Keycloak is in memory, "
                            "other servers are scripted,\n"
                            "sleeps take no time. What a test can say is in host.test.\n";

static const char example[] = "  host test\n"
                              "  host test register_test.lua --filter 'no e-mail'\n"
                              "  host test handlers --junit report.xml\n";

static int run_files(const struct test_files *files, const char *filter, bool verbose,
                     const char *junit, struct err *e)
{
    struct test_report report;
    test_report_init(&report, junit != NULL);
    log_setup(LOG_TEXT, verbose ? LOG_DEBUG : LOG_ERROR + 1);
    for (int i = 0; i < files->count; i++)
        test_run_file(files->paths[i], filter, &report);
    int rc = test_report_end(&report, files->count, filter);
    if (junit && test_report_write(&report, junit, e) != 0)
        rc = -1;
    test_report_free(&report);
    return rc;
}

int cmd_test(int argc, char **argv)
{
    const char *paths[CLI_OPERANDS_MAX], *filter = NULL, *junit = NULL;
    bool verbose = false;
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "filter",
         .arg = "TEXT",
         .value = &filter,
         .help = "only cases whose name contains TEXT"},
        {.name = "junit", .arg = "FILE", .value = &junit, .help = "also write a JUnit report"},
        {.name = "verbose", .letter = 'v', .flag = &verbose, .help = "show what handlers log"},
        {0},
    };
    const struct cli_usage usage = {.command = "test",
                                    .operands = "[PATH...]",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_max = CLI_OPERANDS_MAX};
    int n = cli_parse(&usage, argc, argv, paths, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    if (n == 0)
        paths[n++] = ".";
    struct test_files files;
    int rc = test_files_find(&files, paths, n, &e);
    if (rc == 0)
        rc = run_files(&files, filter, verbose, junit, &e);
    test_files_free(&files);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
