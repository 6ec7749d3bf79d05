/* What the kernel says of this process, from /proc. Any thread. */
#ifndef OPS_PROCESS_STATS_H
#define OPS_PROCESS_STATS_H

#include <stdbool.h>

/* -1 where it cannot be told. */
struct process_stats {
    double cpu_seconds;
    double start_seconds; /* since 1970 */
    double resident_bytes, virtual_bytes;
    double open_fds, max_fds;
};

void process_stats_read(struct process_stats *s);

#endif
