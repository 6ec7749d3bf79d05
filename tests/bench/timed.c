/* timed OUT COMMAND [ARGUMENT...]
 *
 * Runs a command and writes what it cost to OUT, as one line of JSON. A program of its own
 * because a child's peak RSS starts with that of the process that forked it: this one's is
 * next to nothing. Exits as the command did; 128 and the signal's number if it was killed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: timed OUT COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    double start_s = now_s();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        fprintf(stderr, "timed: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    int status;
    struct rusage u;
    if (pid < 0 || wait4(pid, &status, 0, &u) != pid) {
        fprintf(stderr, "timed: %s\n", strerror(errno));
        return 2;
    }
    FILE *out = fopen(argv[1], "w");
    if (!out ||
        fprintf(out,
                "{\"user_s\":%.6f,\"sys_s\":%.6f,\"wall_s\":%.3f,\"rss_kib\":%ld,"
                "\"waits\":%ld,\"preempted\":%ld}\n",
                seconds(u.ru_utime), seconds(u.ru_stime), now_s() - start_s, u.ru_maxrss,
                u.ru_nvcsw, u.ru_nivcsw) < 0 ||
        fclose(out) != 0) {
        fprintf(stderr, "timed: %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
