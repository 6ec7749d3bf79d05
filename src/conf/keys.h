/* The table of configuration keys: the one place that says which exist, what they take and
 * what they are if nobody says. Flags, LUAHOST_* variables, the config file, --print-config
 * and --help are made from it. Constant; any thread. */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "conf/conf.h"

#include <stddef.h>

/* What a key takes; behind it the C type of its field in struct conf. */
enum conf_type {
    KEY_STRING,  /* char *; not empty, no control characters */
    KEY_NAME,    /* char *; letters, digits, - _ . */
    KEY_URL,     /* char *; http or https; slashes at its end are cut */
    KEY_PATH,    /* char *; in a config file relative to the file's own folder */
    KEY_ADDRESS, /* char *; host:port, or "off" */
    KEY_LIST,    /* char *; commas between the items */
    KEY_BLOCK,   /* char *; JSON object */
    KEY_INT,     /* int */
    KEY_ENUM,    /* int: index into `names` */
    KEY_SECONDS, /* double */
    KEY_NUMBER,  /* double */
    KEY_SHARE,   /* double 0-1; "all" is 1, "errors" is 0 */
    KEY_SIZE,    /* size_t; bytes, or text with K, M or G (powers of 1024) */
};

enum {
    KEY_SECRET = 1, /* never printed; from the environment only, not from the file */
    KEY_LATER = 2,  /* read and checked, and without effect until its feature is built */
};

struct conf_key {
    const char *path; /* "queue.url" */
    enum conf_type type;
    size_t offset;            /* in struct conf */
    const char *def;          /* as text; NULL: not set (a number is 0 then) */
    double min, max;          /* of numbers */
    const char *const *names; /* of KEY_ENUM, NULL-terminated */
    const char *flag;         /* of `run`, "--queue-url"; NULL: none */
    const char *arg;          /* the flag's placeholder */
    unsigned marks;           /* KEY_SECRET... */
    const char *const *aws;   /* variables below the config file, NULL-terminated; NULL: none */
    const char *help;
};

enum conf_source { FROM_DEFAULT, FROM_AWS, FROM_FILE, FROM_ENV, FROM_FLAG };

struct conf_origin {
    enum conf_source source;
    const char *name; /* FROM_AWS: the variable */
};

extern const struct conf_key conf_keys[];
extern const size_t conf_keys_count;

const struct conf_key *conf_key_find(const char *path); /* NULL: no such key */
const struct conf_key *conf_key_by_flag(const char *flag);
struct conf_origin *conf_origin(const struct conf *c, const struct conf_key *key);

enum { CONF_ENV_NAME_BYTES = 64 };
/* "LUAHOST_QUEUE_URL" */
void conf_env_name(const struct conf_key *key, char out[CONF_ENV_NAME_BYTES]);

/* The nearest known path, or NULL. A key in the wrong section counts as near. */
const char *conf_key_nearest(const char *path);

#endif
