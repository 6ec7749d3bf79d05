#include "conf/conf.h"

#include "base/exit.h"
#include "conf/check.h"
#include "conf/env.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- flags ---- */

void conf_request_flag(struct conf_request *r, const char *flag, const char *value)
{
    int i = 0;
    while (i < r->flag_count && strcmp(r->flags[i].flag, flag) != 0)
        i++;
    if (i == CONF_FLAGS_MAX)
        return; /* there are fewer flags in the table */
    r->flags[i] = (struct conf_flag){flag, value};
    if (i == r->flag_count)
        r->flag_count++;
}

static int set_flag(struct conf *c, const struct conf_key *key, const char *flag, const char *text,
                    size_t len, struct err *e)
{
    char words[512], who[128];
    if (len >= sizeof words)
        return err_set(e, EXIT_USAGE, "%s: its value is longer than %zu bytes", flag,
                       sizeof words - 1);
    snprintf(words, sizeof words, "%.*s", (int)len, text);
    snprintf(who, sizeof who, "%s (%s)", flag, key->path);
    struct conf_value v = conf_words(words);
    if (conf_set(c, key, &v, who, e)) {
        if (e && e->code == EXIT_CONFIG)
            e->code = EXIT_USAGE;
        return -1;
    }
    conf_origin(c, key)->source = FROM_FLAG;
    return 0;
}

/* N is a fixed number of workers, MIN:MAX a range. */
static int set_workers(struct conf *c, const char *flag, const char *text, struct err *e)
{
    size_t low = strcspn(text, ":");
    const char *high = text[low] ? text + low + 1 : text;
    if (set_flag(c, conf_key_find("workers.min"), flag, text, low, e))
        return -1;
    return set_flag(c, conf_key_find("workers.max"), flag, high, strlen(high), e);
}

static int read_flags(struct conf *c, const struct conf_request *r, struct err *e)
{
    for (int i = 0; i < r->flag_count; i++) {
        const char *flag = r->flags[i].flag, *text = r->flags[i].value;
        const struct conf_key *key = *flag == '-' ? conf_key_by_flag(flag) : conf_key_find(flag);
        int rc;
        if (!key)
            return err_set(e, EXIT_USAGE, "there is no setting with the flag %s", flag);
        if (strcmp(key->path, "workers.max") == 0)
            rc = set_workers(c, flag, text, e);
        else
            rc = set_flag(c, key, flag, text, strlen(text), e);
        if (rc)
            return -1;
    }
    return 0;
}

/* ---- the file ---- */

/* c->file stays NULL when there is none, and nobody asked for one. */
static int find_file(struct conf *c, const struct conf_request *r, struct err *e)
{
    if (r->no_file)
        return 0;
    const char *slash = r->handler_path ? strrchr(r->handler_path, '/') : NULL;
    int folder = slash ? (int)(slash - r->handler_path) + 1 : 0;
    if (r->file)
        c->file = strdup(r->file);
    else if (asprintf(&c->file, "%.*s" CONF_FILE_NAME, folder, slash ? r->handler_path : "") < 0)
        c->file = NULL;
    if (!c->file)
        return err_set(e, EXIT_FAILED, "no memory for the configuration");
    if (!r->file && access(c->file, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        free(c->file);
        c->file = NULL;
    }
    return 0;
}

/* ---- all of it ---- */

static int set_defaults(struct conf *c, struct err *e)
{
    for (size_t i = 0; i < conf_keys_count; i++)
        if (conf_set_default(c, &conf_keys[i], e))
            return -1;
    return 0;
}

static int read_sources(struct conf *c, const struct conf_request *r, struct err *e)
{
    if (r->environ && conf_read_aws(c, r->environ, e))
        return -1;
    if (c->file && conf_read_file(c, c->file, e))
        return -1;
    if (r->environ && conf_read_env(c, r->environ, e))
        return -1;
    return read_flags(c, r, e);
}

int conf_load(struct conf *c, const struct conf_request *r, struct err *e)
{
    memset(c, 0, sizeof *c);
    buf_init(&c->warnings);
    c->origins = calloc(conf_keys_count, sizeof *c->origins);
    if (!c->origins)
        return err_set(e, EXIT_FAILED, "no memory for the configuration");
    if (set_defaults(c, e) || find_file(c, r, e) || read_sources(c, r, e))
        return -1;
    return conf_check(c, e);
}

void conf_free(struct conf *c)
{
    if (c->keycloak.client_secret)
        explicit_bzero(c->keycloak.client_secret, strlen(c->keycloak.client_secret));
    for (size_t i = 0; i < conf_keys_count; i++)
        if (conf_is_text(&conf_keys[i]))
            free(*(char **)conf_field(c, &conf_keys[i]));
    free(c->file);
    free(c->origins);
    buf_free(&c->warnings);
    memset(c, 0, sizeof *c);
    buf_init(&c->warnings);
}
