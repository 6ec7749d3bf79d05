#include "cli/man_view.h"

#include "base/exit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const viewers[][4] = {{"man", "-l", "-", NULL}, {"mandoc", "-a", NULL}};

enum { VIEWERS = sizeof viewers / sizeof *viewers };

static bool is_there(const char *program)
{
    char path[512];
    const char *folders = getenv("PATH");
    for (const char *folder = folders ? folders : "/usr/bin:/bin"; *folder;) {
        size_t n = strcspn(folder, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)n, folder, program);
        if (access(path, X_OK) == 0)
            return true;
        folder += n + (folder[n] == ':');
    }
    return false;
}

static void give_back(struct man_view *v)
{
    dup2(v->output, STDOUT_FILENO);
    close(v->output);
}

static int start(struct man_view *v, char *const *viewer, struct err *e)
{
    int ends[2];
    v->output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (v->output < 0 || pipe2(ends, O_CLOEXEC) != 0) {
        if (v->output >= 0)
            close(v->output);
        return err_set(e, EXIT_FAILED, "cannot start %s: %s", viewer[0], strerror(errno));
    }
    v->pid = fork();
    if (v->pid == 0) {
        dup2(ends[0], STDIN_FILENO);
        execvp(viewer[0], viewer);
        _exit(127);
    }
    int why = errno;
    if (v->pid > 0)
        dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    if (v->pid > 0)
        return 0;
    give_back(v);
    return err_set(e, EXIT_FAILED, "cannot start %s: %s", viewer[0], strerror(why));
}

int man_view_begin(struct man_view *v, struct err *e)
{
    *v = (struct man_view){0};
    fflush(stdout);
    if (!isatty(STDOUT_FILENO))
        return 0;
    for (int i = 0; i < VIEWERS; i++)
        if (is_there(viewers[i][0])) {
            signal(SIGPIPE, SIG_IGN); /* it may be left before its end */
            return start(v, viewers[i], e);
        }
    return err_set(e, EXIT_FAILED,
                   "the page is troff, and neither man nor mandoc is here to show it: install "
                   "man-db, or write it into a file (host man PAGE > PAGE.1) and read that where "
                   "there is one (man -l PAGE.1)");
}

int man_view_end(struct man_view *v, struct err *e)
{
    int status = 0;
    if (v->pid == 0)
        return 0;
    fflush(stdout);
    clearerr(stdout);
    give_back(v);            /* which closes the pipe: the page has ended */
    signal(SIGINT, SIG_IGN); /* it is the pager's */
    while (waitpid(v->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return err_set(e, EXIT_FAILED, "man could not show the page (it left with %d)",
                       WEXITSTATUS(status));
    return 0;
}
