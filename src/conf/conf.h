/* The configuration, typed and checked. Made once by conf_load before any thread starts and
 * only read afterwards: then any thread may read it.
 *
 * Where values come from (contract, section 3): flag over LUAHOST_* variable over config file
 * over AWS_* variable over default. The keys, their types, defaults and ranges are one table,
 * conf/keys.c. Strings are never empty: not set is NULL. Lists are one string with commas
 * between the items; NULL: not set, "": set and empty. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum conf_envelope { ENVELOPE_NONE, ENVELOPE_AUTO, ENVELOPE_SNS, ENVELOPE_EVENTBRIDGE };
enum conf_fail { FAIL_OPEN, FAIL_CLOSED };

#define CONF_FILE_NAME "host.conf.lua"

struct conf_origin; /* where a value came from, one for each key; conf/keys.h */

struct conf {
    struct {
        char *url;
        char *name; /* at most one of url and name is set */
        char *region;
        char *endpoint; /* scheme://host[:port] of SQS */
        char *dlq_url;
        int wait;       /* s, 0-20 */
        int batch;      /* 1-10 */
        int visibility; /* s, 1-43200 */
        int envelope;   /* enum conf_envelope */
    } queue;
    struct {
        int min;
        int max;
    } workers;
    int slots;
    struct {
        double drain_target; /* s */
        double interval;     /* s */
    } scale;
    struct {
        double base;      /* s */
        double cap;       /* s; base <= cap */
        int max_attempts; /* 0: the queue's maxReceiveCount */
        double hold;      /* s */
    } retry;
    struct {
        char *key;      /* "message_id", "deduplication_id" or a JSON pointer: "/event_id" */
        double ttl;     /* s */
        int max;        /* keys remembered */
        char *store;    /* "memory" or "dynamodb://TABLE"; conf_dedupe_table */
        char *region;   /* of the table; NULL: the queue's */
        char *endpoint; /* scheme://host[:port] of DynamoDB; NULL: AWS's own */
        int fail;       /* enum conf_fail */
    } dedupe;
    struct {
        double time;   /* wall s of a message */
        double cpu;    /* CPU s of a message */
        size_t memory; /* bytes of a worker's Lua state */
    } limits;
    struct {
        double timeout;         /* s, whole request */
        double connect_timeout; /* s */
        size_t max_body;        /* bytes of an answer */
        char *ca_file;          /* NULL: the system's */
        char *allow;            /* hosts, commas between; NULL: all */
    } http;
    struct {
        int failures;
        double window; /* s */
        double probe;  /* s */
        char *couple;  /* targets, commas between */
        int storm;     /* runs by which a failure storm is told; 0: never */
    } breaker;
    struct {
        int max;     /* requests at once, for each target; 0: as many as it can take */
        int fixed;   /* the same number, whatever it makes of it; 0: found by watching it */
        double rate; /* requests per second, for each target; 0: no limit */
    } targets;
    double rate; /* messages per second, whole host; 0: no limit */
    struct {
        char *url; /* without a slash at its end; NULL: not configured */
        char *realm;
        char *auth_realm; /* NULL: the realm */
        char *client_id;
        char *client_secret_file; /* conf_read_secret, by who uses it */
        char *client_secret;      /* given directly: goes before the file. NULL: not given */
    } keycloak;
    struct {
        char *listen; /* "host:port" or "off" */
        char *socket;
        char *token_file;
    } admin;
    struct {
        int level;      /* enum log_level (base/log.h) */
        int format;     /* enum log_format */
        double settled; /* share of the lines for acked messages, 0-1 */
    } log;
    char *pii;          /* field names, commas between */
    double drain;       /* s */
    char *handler_json; /* the `handler` block as JSON, keys sorted; "{}" if none */

    char *file;                  /* the config file that was read; NULL: none */
    struct conf_origin *origins; /* as many as there are keys */
    struct buf warnings;         /* lines of text; conf_log_warnings */
};

/* What conf_load goes by; zero is a fine start. All strings are the caller's and are only
 * read during the call. */
enum { CONF_FLAGS_MAX = 32 };
struct conf_flag {
    const char *flag; /* as in keys.c: "--queue-url"; or a key, which the command itself fixes */
    const char *value;
};
struct conf_request {
    const char *handler_path; /* host.conf.lua is looked for beside it; NULL: current folder */
    const char *file;         /* -c FILE: must exist. NULL: host.conf.lua, if it is there */
    struct conf_flag flags[CONF_FLAGS_MAX];
    int flag_count;
    char *const *environ; /* NULL: no variables */
    bool no_file;         /* none is looked for */
};

/* Notes a flag; given twice, the last one counts. */
void conf_request_flag(struct conf_request *r, const char *flag, const char *value);

/* Fills `c` from nothing. -1: `e` names the source (file and line, variable or flag), the key,
 * what was found and what to do; its code is EXIT_USAGE for a flag's value and EXIT_CONFIG for
 * all others. conf_free is safe, and needed, either way. */
int conf_load(struct conf *c, const struct conf_request *r, struct err *e);
void conf_free(struct conf *c);

/* After log_setup: one line for each thing that is legal and probably not meant, or that has
 * no effect yet. */
void conf_log_warnings(const struct conf *c);

/* A lease is extended while its message is in hand, so that a short one is legal. It is also one
 * failed extension away from a second run: true, and why in `out`, unless queue.visibility and
 * limits.time both stand as we ship them. One of the warnings above. */
bool conf_lease_doubt(const struct conf *c, char *out, size_t size);

/* -1 with EXIT_CONFIG when no queue is named, or it is one that cannot be consumed. Apart from
 * conf_load, because not every command needs a queue. */
int conf_require_queue(const struct conf *c, struct err *e);

/* The table of dedupe.store, or NULL: what was acked is remembered in memory. */
const char *conf_dedupe_table(const struct conf *c);

/* A line for each key: key, value as Lua would write it, source. Secrets are masked. False:
 * no memory. */
bool conf_print(const struct conf *c, struct buf *out);

/* "Lua 5.4.4", for the version command. */
const char *conf_lua_version(void);

#endif
