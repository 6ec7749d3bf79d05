/* host test [PATH...]: runs *_test.lua files. */
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/test_files.h"
#include "cli/test_report.h"
#include "cli/test_run.h"
#include "net/file_watch.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char about[] = "Runs the cases of *_test.lua files, in the folders named or in this "
                            "one. A handler under test\n"
                            "runs as in production, but nothing is sent: Keycloak is in memory, "
                            "other servers are scripted,\n"
                            "sleeps take no time. What a test can say is in host.test.\n";

static const char example[] = "  host test\n"
                              "  host test register_test.lua --filter 'no e-mail'\n"
                              "  host test handlers --junit report.xml\n"
                              "  host test --watch\n";

struct plan {
    const char *paths[CLI_OPERANDS_MAX];
    int path_count;
    const char *filter, *junit;
    bool verbose, watch;
};

static int run_once(const struct plan *p, struct file_watch *watch, struct err *e)
{
    struct test_report report;
    struct test_files files;
    int rc = test_files_find(&files, p->paths, p->path_count, e);
    test_report_init(&report, p->junit != NULL);
    for (int i = 0; rc == 0 && i < files.count; i++)
        test_run_file(files.paths[i], p->filter, watch, &report);
    if (rc == 0)
        rc = test_report_end(&report, files.count, p->filter);
    if (rc >= 0 && p->junit && test_report_write(&report, p->junit, e) != 0)
        rc = -1;
    test_report_free(&report);
    test_files_free(&files);
    return rc;
}

/* ---- --watch ---- */

static void on_event(void *arg)
{
    *(bool *)arg = true;
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)loop, (void)events;
    on_event(w->data);
}

/* What changes while tests run is seen afterwards. */
static int run_again_and_again(const struct plan *p, struct err *e)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    bool changed = false, stopped = false;
    ev_signal term, interrupt;
    struct file_watch *watch = loop ? file_watch_new(loop, on_event, &changed, e) : NULL;
    if (!watch)
        return loop ? -1 : err_set(e, EXIT_FAILED, "no event loop: too many open files?");
    ev_signal_init(&term, on_signal, SIGTERM);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    term.data = interrupt.data = &stopped;
    ev_signal_start(loop, &term);
    ev_signal_start(loop, &interrupt);
    int rc = run_once(p, watch, e);
    while (rc >= 0 && !stopped) {
        printf("\nAgain when a file is saved; Ctrl-C ends it.\n\n");
        fflush(stdout);
        for (changed = false; !changed && !stopped;)
            ev_run(loop, EVRUN_ONCE);
        if (changed && !stopped && run_once(p, watch, e) < 0)
            fprintf(stderr, "host test: %s\n", e->text); /* a file was there, and comes back */
    }
    file_watch_free(watch);
    ev_signal_stop(loop, &term);
    ev_signal_stop(loop, &interrupt);
    return rc < 0 ? -1 : EXIT_DONE;
}

int cmd_test(int argc, char **argv)
{
    struct plan p = {0};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "filter",
         .arg = "TEXT",
         .value = &p.filter,
         .help = "only cases whose name contains TEXT"},
        {.name = "junit", .arg = "FILE", .value = &p.junit, .help = "also write a JUnit report"},
        {.name = "verbose", .letter = 'v', .flag = &p.verbose, .help = "show what handlers log"},
        {.name = "watch", .flag = &p.watch, .help = "again whenever a file that was used is saved"},
        {0},
    };
    const struct cli_usage usage = {.command = "test",
                                    .operands = "[PATH...]",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_max = CLI_OPERANDS_MAX};
    int n = cli_parse(&usage, argc, argv, p.paths, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    p.path_count = n;
    if (n == 0)
        p.paths[p.path_count++] = ".";
    log_setup(LOG_TEXT, p.verbose ? LOG_DEBUG : LOG_ERROR + 1);
    int rc = p.watch ? run_again_and_again(&p, &e) : run_once(&p, NULL, &e);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
