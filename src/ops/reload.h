/* Replacing the handler while it runs (contract, section 4): reads the configuration's `handler`
 * block and the handler's files anew, and lets the pool go over to them, or not. Core thread only.
 *
 * One at a time: what is asked for meanwhile is done once, afterwards. */
#ifndef OPS_RELOAD_H
#define OPS_RELOAD_H

#include "base/err.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stdint.h>

struct bundle;
struct pool;

enum reload_state {
    RELOAD_NEVER, /* nobody has asked for one */
    RELOAD_BUSY,
    RELOAD_DONE,
    RELOAD_REFUSED,
};

struct reload {
    const struct conf *conf;            /* the running one */
    const struct conf_request *request; /* where it came from */
    const char *handler_path;
    struct pool *pool;
    uint32_t generation; /* that runs; 0: none yet */
    struct bundle *trying;
    int64_t began_ms;
    bool wanted;     /* asked for, and not begun yet */
    const char *why; /* "SIGHUP" */
    enum reload_state state;
    struct err error;      /* with RELOAD_REFUSED: in full */
    struct bundle *failed; /* with RELOAD_REFUSED: what was tried; or NULL */
    struct bundle *running;
    void (*ended)(void *arg); /* after each end */
    void *arg;
};

/* The first handler runs, or, at the start, could not be had: `b` is what was tried, or NULL. Take
 * the reference over. */
void reload_first(struct reload *r, struct bundle *running);
void reload_first_failed(struct reload *r, struct bundle *b, const struct err *why);
void reload_free(struct reload *r);

/* `why` outlives the call. */
void reload_ask(struct reload *r, const char *why);

/* Reads the configuration anew, and makes a bundle for the generation to come with its `handler`
 * block. NULL with `e`. */
struct bundle *reload_read(const struct reload *r, struct err *e);

/* After each turn of the pool. */
void reload_turn(struct reload *r);

/* RELOAD_BUSY also while one waits to begin. */
enum reload_state reload_state(const struct reload *r);

#endif
