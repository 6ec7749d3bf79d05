#include "ops/process_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads a small file; false if it is not there. */
static bool read_file(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t len = fread(out, 1, size - 1, f);
    fclose(f);
    out[len] = '\0';
    return len > 0;
}

/* When the machine started: what starttime counts from. */
static double boot_seconds(void)
{
    char line[256];
    double seconds = -1;
    FILE *f = fopen("/proc/stat", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "btime %lf", &seconds) == 1)
            break;
    if (f)
        fclose(f);
    return seconds;
}

/* proc(5): fields after the name, which is in parentheses and may hold any character. */
static void read_stat(struct process_stats *s)
{
    char text[1024];
    uint64_t user, system, start, size;
    int64_t pages;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    const char *after = read_file("/proc/self/stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!after || sscanf(after,
                         ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                         " %*d %*d %*d %*d %*d %*d %" SCNu64 " %" SCNu64 " %" SCNd64,
                         &user, &system, &start, &size, &pages) != 5)
        return;
    double boot = boot_seconds();
    s->cpu_seconds = (double)(user + system) / ticks;
    s->virtual_bytes = (double)size;
    s->resident_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
    if (boot >= 0)
        s->start_seconds = boot + (double)start / ticks;
}

static double count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    double count = -1; /* the folder's own */
    for (const struct dirent *d; (d = readdir(folder));)
        count += d->d_name[0] != '.';
    closedir(folder);
    return count;
}

void process_stats_read(struct process_stats *s)
{
    struct rlimit files;
    *s = (struct process_stats){-1, -1, -1, -1, -1, -1};
    read_stat(s);
    s->open_fds = count_fds();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        s->max_fds = (double)files.rlim_cur;
}
