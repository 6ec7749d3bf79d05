#include "conf/check.h"

#include "base/exit.h"
#include "base/log.h"
#include "base/nearest.h"
#include "conf/keys.h"
#include "conf/value.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void warn(struct conf *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct conf *c, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_printf(&c->warnings, "%s\n", line);
}

static enum conf_source source_of(const struct conf *c, const char *path)
{
    return conf_origin(c, conf_key_find(path))->source;
}

static void unset(struct conf *c, const char *path)
{
    const struct conf_key *key = conf_key_find(path);
    char **field = conf_field(c, key);
    free(*field);
    *field = NULL;
    *conf_origin(c, key) = (struct conf_origin){FROM_DEFAULT, NULL};
}

/* The stronger source names the queue: --queue on the command line goes before a URL in the
 * file. */
static int choose_queue(struct conf *c, struct err *e)
{
    enum conf_source url = source_of(c, "queue.url"), name = source_of(c, "queue.name");
    if (!c->queue.url || !c->queue.name)
        return 0;
    if (url == name)
        return err_set(e, EXIT_CONFIG,
                       "queue.url (\"%s\") and queue.name (\"%s\") are both set: leave one out",
                       c->queue.url, c->queue.name);
    unset(c, url < name ? "queue.url" : "queue.name");
    return 0;
}

static bool is_at(const char *url, const char *server)
{
    size_t len = strlen(server);
    return strncasecmp(url, server, len) == 0 && strchr("/", url[len]);
}

/* A queue's URL names its server, too. An endpoint from a weaker source was meant for another
 * queue: what is typed for one server must not go to the other. The AWS_* variables stay, since
 * that is what they are for: every AWS tool calls them whatever host a queue's URL names. */
static void choose_server(struct conf *c)
{
    enum conf_source url = source_of(c, "queue.url"), endpoint = source_of(c, "queue.endpoint");
    if (!c->queue.url || !c->queue.endpoint || endpoint >= url || endpoint == FROM_AWS ||
        is_at(c->queue.url, c->queue.endpoint))
        return;
    warn(c,
         "queue.endpoint (%.150s, from %.100s) is not called: %s names the server, too (%.150s); "
         "if that queue is to be called there, say so with %s",
         c->queue.endpoint, endpoint == FROM_FILE ? c->file : "LUAHOST_QUEUE_ENDPOINT",
         url == FROM_FLAG ? "--queue-url" : "LUAHOST_QUEUE_URL", c->queue.url,
         url == FROM_FLAG ? "--endpoint-url" : "LUAHOST_QUEUE_ENDPOINT");
    unset(c, "queue.endpoint");
}

/* A queue that is typed may be another one than the file's, whose dead letters go there. It is not
 * dropped: the file may have been written for a queue that is always named on the command line. */
static void doubt_dead_letters(struct conf *c)
{
    bool url = source_of(c, "queue.url") == FROM_FLAG;
    if (!c->queue.dlq_url || source_of(c, "queue.dlq_url") != FROM_FILE ||
        (!url && source_of(c, "queue.name") != FROM_FLAG))
        return;
    warn(c,
         "dead letters of the queue that %s names go to queue.dlq_url of %.100s (%.200s): if that "
         "is another queue's, set LUAHOST_QUEUE_DLQ_URL",
         url ? "--queue-url" : "--queue", c->file, c->queue.dlq_url);
}

bool conf_lease_doubt(const struct conf *c, char *out, size_t size)
{
    double one_call = c->http.timeout + c->http.connect_timeout;
    struct conf shipped = {0};
    conf_set_default(&shipped, conf_key_find("queue.visibility"), NULL);
    conf_set_default(&shipped, conf_key_find("limits.time"), NULL);
    bool as_shipped =
        c->queue.visibility == shipped.queue.visibility && c->limits.time == shipped.limits.time;
    if (c->queue.visibility < one_call)
        snprintf(out, size,
                 "queue.visibility (%d s) is less than one HTTP call may take (%.15g s): a lease "
                 "that SQS fails to extend once ends while its request is on the wire; raise it, "
                 "or lower http.timeout",
                 c->queue.visibility, one_call);
    else if (c->queue.visibility < c->limits.time && !as_shipped)
        snprintf(out, size,
                 "queue.visibility (%d s) is less than limits.time (%.15g s): while SQS is away, "
                 "leases end before slow handlers do, and their messages run twice; raise it to "
                 "limits.time",
                 c->queue.visibility, c->limits.time);
    else
        return false;
    return true;
}

static int check_pairs(struct conf *c, struct err *e)
{
    if (c->workers.min > c->workers.max)
        return err_set(e, EXIT_CONFIG, "workers.min (%d) is more than workers.max (%d)",
                       c->workers.min, c->workers.max);
    if (c->retry.base > c->retry.cap)
        return err_set(e, EXIT_CONFIG, "retry.base (%.15g s) is more than retry.cap (%.15g s)",
                       c->retry.base, c->retry.cap);
    if (c->drain < c->limits.time)
        warn(c,
             "drain (%.15g s) is less than limits.time (%.15g s): a handler that takes its time "
             "is cut off when the host is stopped",
             c->drain, c->limits.time);
    if (c->http.timeout >= c->limits.time)
        warn(c,
             "http.timeout (%.15g s) is not less than limits.time (%.15g s): a request that hangs "
             "takes its message's whole time",
             c->http.timeout, c->limits.time);
    char doubt[400];
    if (conf_lease_doubt(c, doubt, sizeof doubt))
        warn(c, "%s", doubt);
    if (c->keycloak.client_secret && c->keycloak.client_secret_file)
        warn(c,
             "LUAHOST_KEYCLOAK_CLIENT_SECRET is set, so keycloak.client_secret_file (%s) is "
             "not read",
             c->keycloak.client_secret_file);
    return 0;
}

/* RFC 6901: names after slashes, with ~0 for a tilde and ~1 for a slash in a name. */
static int check_dedupe_key(const struct conf *c, struct err *e)
{
    const char *key = c->dedupe.key;
    if (strcmp(key, "message_id") == 0 || strcmp(key, "deduplication_id") == 0)
        return 0;
    if (*key != '/') {
        struct nearest n = NEAREST(key);
        nearest_offer(&n, "message_id");
        nearest_offer(&n, "deduplication_id");
        return err_set(e, EXIT_CONFIG,
                       "dedupe.key can be \"message_id\", \"deduplication_id\" or a JSON pointer "
                       "into the body, not \"%s\"; did you mean \"%s%s\"?",
                       key, nearest_found(&n) ? "" : "/", nearest_found(&n) ? n.best : key);
    }
    for (const char *p = key; (p = strchr(p, '~')); p++)
        if (p[1] != '0' && p[1] != '1')
            return err_set(e, EXIT_CONFIG,
                           "dedupe.key \"%s\" is no JSON pointer: a tilde in a name is written ~0, "
                           "a slash ~1",
                           key);
    return 0;
}

#define TABLE_SCHEME "dynamodb://"

const char *conf_dedupe_table(const struct conf *c)
{
    size_t n = sizeof TABLE_SCHEME - 1;
    return strncmp(c->dedupe.store, TABLE_SCHEME, n) == 0 ? c->dedupe.store + n : NULL;
}

/* Tables' names as DynamoDB has them. */
static int check_store(const struct conf *c, struct err *e)
{
    enum { SHORTEST = 3, LONGEST = 255 };
    const char *table = conf_dedupe_table(c);
    if (!table && strcmp(c->dedupe.store, "memory") != 0)
        return err_set(e, EXIT_CONFIG,
                       "dedupe.store can be \"memory\" or \"" TABLE_SCHEME
                       "TABLE\" (a table of DynamoDB), not \"%s\"",
                       c->dedupe.store);
    size_t len = table ? strlen(table) : SHORTEST;
    if (len < SHORTEST || len > LONGEST ||
        (table && strspn(table, "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_.-") < len))
        return err_set(e, EXIT_CONFIG,
                       "dedupe.store: \"%s\" is no table's name: those have %d to %d letters, "
                       "digits, - _ and .",
                       table, SHORTEST, LONGEST);
    return 0;
}

/* Keys whose feature is not built yet. */
static void warn_unbuilt(struct conf *c)
{
    for (size_t i = 0; i < conf_keys_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (conf_origin(c, key)->source == FROM_DEFAULT)
            continue;
        if (key->marks & KEY_LATER)
            warn(c, "%s has no effect yet", key->path);
    }
}

int conf_check(struct conf *c, struct err *e)
{
    warn_unbuilt(c);
    if (check_store(c, e) || choose_queue(c, e) || check_dedupe_key(c, e) || check_pairs(c, e))
        return -1;
    choose_server(c);
    doubt_dead_letters(c);
    return c->warnings.failed ? err_set(e, EXIT_FAILED, "no memory for the configuration") : 0;
}

int conf_require_queue(const struct conf *c, struct err *e)
{
    const char *queue = c->queue.url ? c->queue.url : c->queue.name;
    if (!queue)
        return err_set(e, EXIT_CONFIG,
                       "no queue is named: set queue.url in " CONF_FILE_NAME
                       ", LUAHOST_QUEUE_URL or "
                       "--queue-url (or give its name with --queue)");
    if (c->queue.name && !c->queue.region && !c->queue.endpoint)
        return err_set(e, EXIT_CONFIG,
                       "queue.name (%s) needs queue.region (AWS_REGION, --region) or "
                       "queue.endpoint to be found; or set queue.url",
                       c->queue.name);
    return 0;
}

void conf_log_warnings(const struct conf *c)
{
    for (const char *line = c->warnings.data; *line;) {
        size_t n = strcspn(line, "\n");
        log_warn("%.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
}
