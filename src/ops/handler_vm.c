#include "ops/handler_vm.h"

#include "policy/envelope.h"

#include <string.h>

static int ms(double seconds)
{
    return (int)(seconds * 1000);
}

/* The queue's name, also where it is given by its URL. */
static const char *queue_name(const struct conf *c)
{
    const char *slash = c->queue.url ? strrchr(c->queue.url, '/') : NULL;
    return slash ? slash + 1 : c->queue.url ? c->queue.url : c->queue.name;
}

enum {
    IDLE_CONNECTION_S = 25,
    STUCK_MS = 3000, /* a load phase, a collection of garbage */
    STUCK_TIMES_CPU = 20,
};

struct fetch_options handler_fetch_options(const struct conf *c)
{
    return (struct fetch_options){.ca_file = c->http.ca_file,
                                  .connect_timeout_ms = ms(c->http.connect_timeout),
                                  .idle_connection_s = IDLE_CONNECTION_S,
                                  .max_connections = c->slots * 2};
}

struct tokens_options handler_tokens_options(const struct conf *c)
{
    return (struct tokens_options){.keycloak_url = c->keycloak.url,
                                   .client_id = c->keycloak.client_id,
                                   .client_secret = c->keycloak.client_secret,
                                   .client_secret_file = c->keycloak.client_secret_file,
                                   .timeout_ms = ms(c->http.timeout)};
}

unsigned handler_unwraps(const struct conf *c)
{
    static const unsigned unwraps[] = {[ENVELOPE_NONE] = 0,
                                       [ENVELOPE_AUTO] =
                                           UNWRAP_SNS | UNWRAP_EVENTBRIDGE | UNWRAP_ELSE_BARE,
                                       [ENVELOPE_SNS] = UNWRAP_SNS,
                                       [ENVELOPE_EVENTBRIDGE] = UNWRAP_EVENTBRIDGE};
    return unwraps[c->queue.envelope];
}

unsigned handler_unwraps_kindly(const struct conf *c)
{
    unsigned unwrap = handler_unwraps(c);
    return unwrap ? unwrap | UNWRAP_ELSE_BARE : 0;
}

int64_t handler_stuck_ms(const struct conf *c)
{
    return STUCK_MS + (int64_t)(STUCK_TIMES_CPU * 1000 * c->limits.cpu * c->slots);
}

struct vm_options handler_vm_options(const struct conf *c, const char *handler_path)
{
    return (struct vm_options){.handler_path = handler_path,
                               .generation = 1,
                               .queue_name = queue_name(c),
                               .handler_json = c->handler_json,
                               .limit_time_s = c->limits.time,
                               .limit_cpu_s = c->limits.cpu,
                               .limit_memory_bytes = c->limits.memory,
                               .slots = c->slots,
                               .http_timeout_ms = ms(c->http.timeout),
                               .http_connect_timeout_ms = ms(c->http.connect_timeout),
                               .http_max_body_bytes = c->http.max_body,
                               .retry_after_max_ms = ms(c->retry.cap),
                               .http_allow = c->http.allow,
                               .keycloak_url = c->keycloak.url,
                               .keycloak_realm = c->keycloak.realm,
                               .keycloak_auth_realm = c->keycloak.auth_realm};
}
