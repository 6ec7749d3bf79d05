/* The running host, as metrics, status, health and the admin server see it: the parts that they
 * read, filled in by host.c as they come to be. Core thread only. */
#ifndef OPS_RUNNING_H
#define OPS_RUNNING_H

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct flow;
struct metrics;
struct pool;
struct reload;
struct scaler;

struct running {
    const struct conf *conf;
    const char *handler_path;
    const char *queue_url; /* NULL: not looked up yet */
    const char *endpoint;  /* that is called, if it is not the URL's server; else NULL */
    const struct reload *reload;
    int64_t started_ms; /* CLOCK_BOOTTIME */
    struct metrics *metrics;
    struct pool *pool;           /* NULL: not there yet */
    struct flow *flow;           /* NULL: not there yet */
    const struct scaler *scaler; /* NULL: not there yet */
    bool stopping;
    bool stuck; /* more workers got stuck in C code than are replaced: it leaves with 70 */
};

enum { WRITER_CORE = 0 }; /* of the metrics; workers follow */

#endif
