#include "conf/keys.h"

#include "base/nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct conf, field)
#define RANGE(low, high) .min = (low), .max = (high)

#define KIB 1024.0
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define HOURS_12 43200  /* what SQS allows for a visibility timeout */
#define DAYS_14 1209600 /* what SQS keeps a message at most */

/* In the order of the enums in conf.h and base/log.h. */
static const char *const envelopes[] = {"none", "auto", "sns", "eventbridge", NULL};
static const char *const fails[] = {"open", "closed", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"auto", "text", "json", NULL};

static const char *const aws_regions[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};
static const char *const aws_endpoints[] = {"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL", NULL};
static const char *const aws_table_endpoints[] = {"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL",
                                                  NULL};

const struct conf_key conf_keys[] = {
    {"queue.url", KEY_URL, AT(queue.url), .flag = "--queue-url", .arg = "URL",
     .help = "the queue to consume"},
    {"queue.name", KEY_NAME, AT(queue.name), .flag = "--queue", .arg = "NAME",
     .help = "the queue's name instead of its URL"},
    {"queue.region", KEY_NAME, AT(queue.region), .flag = "--region", .arg = "R", .aws = aws_regions,
     .help = "AWS region"},
    {"queue.endpoint", KEY_URL, AT(queue.endpoint), .flag = "--endpoint-url", .arg = "URL",
     .aws = aws_endpoints, .help = "server that speaks SQS, if it is not AWS"},
    {"queue.dlq_url", KEY_URL, AT(queue.dlq_url),
     .help = "dead-letter queue; else the one of the redrive policy"},
    {"queue.wait", KEY_INT, AT(queue.wait), .def = "20", RANGE(0, 20),
     .help = "long poll, seconds"},
    {"queue.batch", KEY_INT, AT(queue.batch), .def = "10", RANGE(1, 10),
     .help = "messages of one receive"},
    {"queue.visibility", KEY_INT, AT(queue.visibility), .def = "30", RANGE(1, HOURS_12),
     .help = "lease of a message, seconds; extended while it is in hand"},
    {"queue.envelope", KEY_ENUM, AT(queue.envelope), .def = "none", .names = envelopes,
     .help = "what events come in: none, sns, eventbridge, auto"},
    {"workers.min", KEY_INT, AT(workers.min), .def = "1", RANGE(1, 1000),
     .help = "fewest threads that run handlers"},
    {"workers.max", KEY_INT, AT(workers.max), .def = "10", RANGE(1, 1000), .flag = "--workers",
     .arg = "N|MIN:MAX", .help = "most threads that run handlers"},
    {"slots", KEY_INT, AT(slots), .def = "4", RANGE(1, 1000), .flag = "--slots", .arg = "N",
     .help = "messages in progress on one worker"},
    {"scale.drain_target", KEY_SECONDS, AT(scale.drain_target), .def = "60", RANGE(1, 86400),
     .help = "a backlog should be gone within this"},
    {"scale.interval", KEY_SECONDS, AT(scale.interval), .def = "5", RANGE(1, 3600),
     .help = "time between two decisions"},
    {"retry.base", KEY_SECONDS, AT(retry.base), .def = "5", RANGE(0, HOURS_12),
     .help = "backoff of the first retry, doubled each time, full jitter"},
    {"retry.cap", KEY_SECONDS, AT(retry.cap), .def = "900", RANGE(1, HOURS_12),
     .help = "longest backoff"},
    {"retry.max_attempts", KEY_INT, AT(retry.max_attempts), RANGE(1, 1000),
     .help = "then it is rejected; else the queue's maxReceiveCount"},
    {"retry.hold", KEY_SECONDS, AT(retry.hold), .def = "300", RANGE(0, HOURS_12),
     .help = "longest time a message is parked"},
    {"dedupe.key", KEY_STRING, AT(dedupe.key), .def = "message_id",
     .help = "message_id, deduplication_id, or a JSON pointer: \"/event_id\""},
    {"dedupe.ttl", KEY_SECONDS, AT(dedupe.ttl), .def = "3600", RANGE(0, DAYS_14),
     .help = "how long an acked message is remembered"},
    {"dedupe.max", KEY_INT, AT(dedupe.max), .def = "1000000", RANGE(1, 1e8),
     .help = "how many acked messages are remembered"},
    {"dedupe.store", KEY_STRING, AT(dedupe.store), .def = "memory",
     .help = "where: memory, or \"dynamodb://table\" for several hosts"},
    {"dedupe.region", KEY_NAME, AT(dedupe.region),
     .help = "AWS region of the table; else the queue's"},
    {"dedupe.endpoint", KEY_URL, AT(dedupe.endpoint), .aws = aws_table_endpoints,
     .help = "server that speaks DynamoDB, if it is not AWS"},
    {"dedupe.fail", KEY_ENUM, AT(dedupe.fail), .def = "open", .names = fails,
     .help = "when the store is away: run unfenced, or wait"},
    {"limits.time", KEY_SECONDS, AT(limits.time), .def = "60", RANGE(0.001, HOURS_12),
     .help = "wall time of a message"},
    {"limits.cpu", KEY_SECONDS, AT(limits.cpu), .def = "0.25", RANGE(0.001, 3600),
     .help = "CPU time of a message"},
    {"limits.memory", KEY_SIZE, AT(limits.memory), .def = "64M", RANGE(MIB, 64 * GIB),
     .help = "memory of a worker's Lua state"},
    {"http.timeout", KEY_SECONDS, AT(http.timeout), .def = "10", RANGE(0.001, 3600),
     .help = "a whole request"},
    {"http.connect_timeout", KEY_SECONDS, AT(http.connect_timeout), .def = "3", RANGE(0.001, 600),
     .help = "connection and TLS handshake"},
    {"http.max_body", KEY_SIZE, AT(http.max_body), .def = "8M", RANGE(KIB, GIB),
     .help = "longest answer"},
    {"http.ca_file", KEY_PATH, AT(http.ca_file),
     .help = "certificates to trust instead of the system's"},
    {"http.allow", KEY_LIST, AT(http.allow), .help = "hosts that handlers may call; else all"},
    {"breaker.failures", KEY_INT, AT(breaker.failures), .def = "5", RANGE(1, 10000),
     .help = "failures that make a target unusable"},
    {"breaker.window", KEY_SECONDS, AT(breaker.window), .def = "10", RANGE(0.1, 3600),
     .help = "time within which they count"},
    {"breaker.probe", KEY_SECONDS, AT(breaker.probe), .def = "2", RANGE(0.1, 3600),
     .help = "time between two probes"},
    {"breaker.couple", KEY_LIST, AT(breaker.couple),
     .help = "targets that hold intake even if handlers catch errors"},
    {"breaker.storm", KEY_INT, AT(breaker.storm), .def = "20", RANGE(0, 100),
     .help = "hold intake when nearly all of so many runs failed alike; 0: never"},
    {"targets.max", KEY_INT, AT(targets.max), RANGE(1, 1000),
     .help = "most requests at once to a target; else as many as it takes well"},
    {"targets.fixed", KEY_INT, AT(targets.fixed), RANGE(1, 1000),
     .help = "so many requests at once to a target, instead of finding it out"},
    {"targets.rate", KEY_NUMBER, AT(targets.rate), RANGE(0.001, 1e6),
     .help = "requests per second to a target"},
    {"rate", KEY_NUMBER, AT(rate), RANGE(0.001, 1e6), .help = "messages per second, whole host"},
    {"keycloak.url", KEY_URL, AT(keycloak.url), .help = "Keycloak, up to /realms"},
    {"keycloak.realm", KEY_STRING, AT(keycloak.realm), .help = "realm of the users"},
    {"keycloak.auth_realm", KEY_STRING, AT(keycloak.auth_realm),
     .help = "realm of the client, if it is another"},
    {"keycloak.client_id", KEY_STRING, AT(keycloak.client_id),
     .help = "client with a service account"},
    {"keycloak.client_secret_file", KEY_PATH, AT(keycloak.client_secret_file),
     .help = "file that holds its secret"},
    {"keycloak.client_secret", KEY_STRING, AT(keycloak.client_secret), .marks = KEY_SECRET,
     .help = "the secret itself, from the environment only"},
    {"admin.listen", KEY_ADDRESS, AT(admin.listen), .def = "127.0.0.1:9180", .flag = "--admin",
     .arg = "ADDR|off", .help = "admin server"},
    {"admin.socket", KEY_PATH, AT(admin.socket),
     .help = "admin socket; else one in the runtime folder"},
    {"admin.token_file", KEY_PATH, AT(admin.token_file),
     .help = "file with the token for changes over TCP"},
    {"log.level", KEY_ENUM, AT(log.level), .def = "info", .names = levels, .flag = "--log-level",
     .arg = "L", .help = "least level that is logged"},
    {"log.format", KEY_ENUM, AT(log.format), .def = "auto", .names = formats,
     .flag = "--log-format", .arg = "F", .help = "auto is text on a terminal, else json"},
    {"log.settled", KEY_SHARE, AT(log.settled), .def = "all",
     .help = "lines for acked messages: all, errors, or a fraction"},
    {"pii", KEY_LIST, AT(pii), .marks = KEY_LATER,
     .def = "email,phone,firstName,lastName,first_name,last_name",
     .help = "fields masked in logs, page, tap and exports"},
    {"drain", KEY_SECONDS, AT(drain), .def = "65", RANGE(0, 86400),
     .help = "how long running handlers may go on after TERM"},
    {"handler", KEY_BLOCK, AT(handler_json), .def = "{}",
     .help = "the handler's own settings: host.config"},
};
const size_t conf_keys_count = sizeof conf_keys / sizeof conf_keys[0];

const struct conf_key *conf_key_find(const char *path)
{
    for (size_t i = 0; i < conf_keys_count; i++)
        if (strcmp(conf_keys[i].path, path) == 0)
            return &conf_keys[i];
    return NULL;
}

const struct conf_key *conf_key_by_flag(const char *flag)
{
    for (size_t i = 0; i < conf_keys_count; i++)
        if (conf_keys[i].flag && strcmp(conf_keys[i].flag, flag) == 0)
            return &conf_keys[i];
    return NULL;
}

struct conf_origin *conf_origin(const struct conf *c, const struct conf_key *key)
{
    return &c->origins[key - conf_keys];
}

void conf_env_name(const struct conf_key *key, char out[CONF_ENV_NAME_BYTES])
{
    snprintf(out, CONF_ENV_NAME_BYTES, "LUAHOST_%s", key->path);
    for (char *p = out; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

static const char *leaf(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

const char *conf_key_nearest(const char *path)
{
    size_t section = (size_t)(leaf(path) - path);
    struct nearest whole = NEAREST(path), here = NEAREST(leaf(path));
    for (size_t i = 0; i < conf_keys_count; i++) {
        const char *known = conf_keys[i].path;
        nearest_offer(&whole, known);
        if (strncmp(known, path, section) == 0 && (size_t)(leaf(known) - known) == section)
            nearest_offer(&here, leaf(known));
    }
    if (nearest_found(&here)) /* a path's name, in the section that is the given one's */
        return here.best - section;
    for (size_t i = 0; i < conf_keys_count; i++)
        if (strcmp(leaf(conf_keys[i].path), leaf(path)) == 0)
            return conf_keys[i].path;
    bool has_section = section > 0 && here.distance < INT_MAX;
    return !has_section && whole.distance <= 2 ? nearest_found(&whole) : NULL;
}
