#include "conf/env.h"

#include "base/exit.h"
#include "base/nearest.h"
#include "conf/keys.h"
#include "conf/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "LUAHOST_"

/* Value of a variable, NULL if it is not set or empty. */
static const char *variable(char *const *environ_, const char *name)
{
    size_t n = strlen(name);
    for (char *const *p = environ_; *p; p++)
        if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
            return (*p)[n + 1] ? *p + n + 1 : NULL;
    return NULL;
}

static int set(struct conf *c, const struct conf_key *key, const char *name, const char *text,
               enum conf_source source, struct err *e)
{
    struct conf_value v = conf_words(text);
    char who[160];
    snprintf(who, sizeof who, "%s (%s)", name, key->path);
    if (conf_set(c, key, &v, who, e))
        return -1;
    *conf_origin(c, key) = (struct conf_origin){source, source == FROM_AWS ? name : NULL};
    return 0;
}

int conf_read_aws(struct conf *c, char *const *environ_, struct err *e)
{
    const char *ignore = variable(environ_, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    bool no_endpoints = ignore && strcasecmp(ignore, "true") == 0;
    for (size_t i = 0; i < conf_keys_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (!key->aws || (key->type == KEY_URL && no_endpoints))
            continue;
        for (const char *const *name = key->aws; *name; name++) {
            const char *text = variable(environ_, *name);
            if (!text)
                continue;
            if (set(c, key, *name, text, FROM_AWS, e))
                return -1;
            break;
        }
    }
    return 0;
}

/* What other programs of this project use, and what Kubernetes sets in every pod for a
 * service whose name begins with "luahost". */
static bool is_foreign(const char *name)
{
    const char *port = strstr(name, "_PORT_");
    size_t n = strlen(name);
    return strcmp(name, PREFIX "CACHE") == 0 || strncmp(name, PREFIX "TEST_", 13) == 0 ||
           strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT") ||
           (port && isdigit((unsigned char)port[6])) ||
           (n > 5 && strcmp(name + n - 5, "_PORT") == 0);
}

static int fail_unknown(const char *name, struct err *e)
{
    int distance = INT_MAX;
    char nearest[CONF_ENV_NAME_BYTES] = "";
    if (strncmp(name, PREFIX "HANDLER_", 16) == 0)
        return err_set(e, EXIT_CONFIG,
                       "%s: there is no such key; the handler's settings are one variable, "
                       "LUAHOST_HANDLER, that holds a JSON object",
                       name);
    for (size_t i = 0; i < conf_keys_count; i++) {
        char known[CONF_ENV_NAME_BYTES];
        conf_env_name(&conf_keys[i], known);
        struct nearest n = NEAREST(name + strlen(PREFIX)); /* which is no likeness */
        nearest_offer(&n, known + strlen(PREFIX));
        if (nearest_found(&n) && n.distance <= 2 && n.distance < distance) {
            distance = n.distance;
            snprintf(nearest, sizeof nearest, "%s", known);
        }
    }
    if (!*nearest)
        return err_set(e, EXIT_CONFIG,
                       "%s: there is no such key; `host run --help` lists them. Unset it, if it "
                       "is not meant for host",
                       name);
    return err_set(e, EXIT_CONFIG, "%s: there is no such key; did you mean %s?", name, nearest);
}

static const struct conf_key *find(const char *name)
{
    for (size_t i = 0; i < conf_keys_count; i++) {
        char known[CONF_ENV_NAME_BYTES];
        conf_env_name(&conf_keys[i], known);
        if (strcmp(known, name) == 0)
            return &conf_keys[i];
    }
    return NULL;
}

int conf_read_env(struct conf *c, char *const *environ_, struct err *e)
{
    for (char *const *p = environ_; *p; p++) {
        char name[CONF_ENV_NAME_BYTES * 2];
        size_t n = strcspn(*p, "=");
        if (strncmp(*p, PREFIX, strlen(PREFIX)) != 0 || !(*p)[n] || !(*p)[n + 1])
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(n < 120 ? n : 120), *p);
        const struct conf_key *key = find(name);
        if (!key && is_foreign(name))
            continue;
        if (!key)
            return fail_unknown(name, e);
        if (set(c, key, name, *p + n + 1, FROM_ENV, e))
            return -1;
    }
    return 0;
}
