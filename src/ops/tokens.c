#include "ops/tokens.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/table.h"
#include "conf/secret.h"

#include <ev.h>
#include <json-c/json.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum {
    WARM_AGAIN_MS = 2000,
    MARGIN_MIN_MS = 5000, /* reference: keycloak, section 1 */
    MARGIN_MAX_MS = 30000,
    ANSWER_MAX_BYTES = 1 << 20,
};

struct realm {
    struct table_node by_name;
    struct tokens *tokens;
    struct token *token; /* NULL: none that is good */
    struct list waiting; /* token_request */
    struct fetch_call *call;
    struct buf body; /* of the call; holds the secret */
    int64_t asked_ms;
    char *url;
    char name[];
};

struct tokens {
    struct tokens_options options;
    struct tokens_events events;
    struct ev_loop *loop;
    struct fetch *fetch;
    struct table realms;
    uint64_t last_number;
    char target[128];
    struct realm *warm; /* until its first token has come */
    bool tried;         /* the warm one, once */
    bool said_down;
    ev_timer again;
    struct metric *refreshes;
};

/* ---- answers to those who wait ---- */

static void answer_all(struct realm *r, const struct err *e)
{
    struct tokens *t = r->tokens;
    struct list waiting, *node;
    list_init(&waiting);
    list_splice(&waiting, &r->waiting);
    while ((node = list_pop(&waiting))) {
        struct token_request *req = list_entry(node, struct token_request, node);
        if (r->token) {
            req->token = token_ref(r->token);
        } else {
            req->error = *e;
            req->target_failed = true;
            memcpy(req->target, t->target, sizeof req->target);
        }
        t->events.answer(t->events.arg, req);
    }
}

static void warm_failed(struct realm *r, const struct err *e)
{
    struct tokens *t = r->tokens;
    t->tried = true;
    if (!t->said_down)
        log_warn("%s", e->text);
    t->said_down = true;
    t->events.down(t->events.arg, t->target, e->text);
    ev_timer_stop(t->loop, &t->again);
    ev_now_update(t->loop);
    ev_timer_set(&t->again, WARM_AGAIN_MS / 1000.0, 0.);
    ev_timer_start(t->loop, &t->again);
}

static void fetch_failed(struct realm *r, const struct err *e)
{
    answer_all(r, e);
    if (r->tokens->warm == r)
        warm_failed(r, e);
}

static void fetch_worked(struct realm *r)
{
    struct tokens *t = r->tokens;
    answer_all(r, NULL);
    if (t->warm == r) {
        t->tried = true;
        t->warm = NULL;
        t->events.up(t->events.arg, t->target);
    }
}

/* ---- reading Keycloak's answer ---- */

static int64_t margin_ms(int64_t lifetime_ms)
{
    int64_t margin = lifetime_ms / 10;
    margin = margin < MARGIN_MIN_MS ? MARGIN_MIN_MS : margin;
    margin = margin > MARGIN_MAX_MS ? MARGIN_MAX_MS : margin;
    return margin < lifetime_ms ? margin : lifetime_ms / 2;
}

static struct token *read_token(struct realm *r, struct json_object *answer)
{
    struct json_object *text, *expires;
    if (!json_object_object_get_ex(answer, "access_token", &text) ||
        !json_object_is_type(text, json_type_string))
        return NULL;
    int64_t lifetime_ms = 60000; /* Keycloak's own default where the answer does not say */
    if (json_object_object_get_ex(answer, "expires_in", &expires))
        lifetime_ms = json_object_get_int64(expires) * 1000;
    return token_new(json_object_get_string(text), ++r->tokens->last_number,
                     r->asked_ms + lifetime_ms - margin_ms(lifetime_ms));
}

static const char *member(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : "";
}

static const char *advice(int status, const char *error)
{
    if (status == 404)
        return "check keycloak.url and keycloak.auth_realm";
    if (strcmp(error, "unauthorized_client") == 0 || strcmp(error, "invalid_client") == 0)
        return "check keycloak.client_id, its secret (keycloak.client_secret_file or "
               "LUAHOST_KEYCLOAK_CLIENT_SECRET) and that the client has a service account";
    if (status == 429)
        return "it has too much to do; trying again";
    if (status >= 500)
        return "Keycloak is in trouble; trying again";
    return "check the keycloak settings";
}

static int read_answer(struct realm *r, const struct fetch_response *resp, struct err *e)
{
    if (resp->result != FETCH_OK)
        return err_set(e, 0,
                       "no token from Keycloak: POST %s: %s. Is it running, and is "
                       "keycloak.url right? Trying again.",
                       r->url, resp->error);
    struct json_object *answer = json_tokener_parse(resp->body);
    int rc = 0;
    if (resp->status == 200 && (r->token = read_token(r, answer)) != NULL)
        goto done;
    const char *error = member(answer, "error"), *more = member(answer, "error_description");
    rc = err_set(e, 0, "no token from Keycloak: POST %s answered %d%s%s%s%s for client \"%s\": %s",
                 r->url, resp->status, *error ? " " : "", error, *more ? ": " : "", more,
                 r->tokens->options.client_id, advice(resp->status, error));
done:
    json_object_put(answer);
    return rc;
}

/* ---- asking ---- */

static void wipe_body(struct realm *r)
{
    OPENSSL_cleanse(r->body.data, r->body.len);
    buf_free(&r->body);
}

static void count(const struct tokens *t, const char *result)
{
    metric_add(t->refreshes, &result, 1);
}

static void answered(void *arg, const struct fetch_response *resp)
{
    struct realm *r = arg;
    struct err e = {0};
    r->call = NULL;
    wipe_body(r);
    bool good = read_answer(r, resp, &e) == 0;
    count(r->tokens, good ? "ok" : resp->result == FETCH_OK ? "refused" : "unreachable");
    if (good)
        fetch_worked(r);
    else
        fetch_failed(r, &e);
}

static void add_form_value(struct buf *b, const char *name, const char *value)
{
    buf_str(b, name);
    for (const char *p = value; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c))
            buf_char(b, (char)c);
        else
            buf_printf(b, "%%%02X", c);
    }
}

static int make_body(struct realm *r, struct err *e)
{
    const struct tokens_options *o = &r->tokens->options;
    struct buf secret;
    buf_init(&secret);
    int rc = 0;
    if (o->client_secret)
        buf_str(&secret, o->client_secret);
    else if (!o->client_secret_file)
        rc = err_set(e, 0,
                     "no client secret: set keycloak.client_secret_file to a file that "
                     "holds it, or LUAHOST_KEYCLOAK_CLIENT_SECRET");
    else
        rc = conf_read_secret(o->client_secret_file, &secret, e);
    if (rc == 0) {
        buf_str(&r->body, "grant_type=client_credentials");
        add_form_value(&r->body, "&client_id=", o->client_id ? o->client_id : "");
        add_form_value(&r->body, "&client_secret=", secret.data);
        if (r->body.failed)
            rc = err_set(e, 0, "no memory for a token request");
    }
    OPENSSL_cleanse(secret.data, secret.len);
    buf_free(&secret);
    return rc;
}

static void start_fetch(struct realm *r)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    struct tokens *t = r->tokens;
    struct err e = {0};
    if (r->call)
        return;
    r->asked_ms = clock_boot_ms();
    if (make_body(r, &e) == 0) {
        struct fetch_request req = {.method = "POST",
                                    .url = r->url,
                                    .headers = headers,
                                    .body = r->body.data,
                                    .body_len = r->body.len,
                                    .timeout_ms = t->options.timeout_ms,
                                    .max_body_bytes = ANSWER_MAX_BYTES,
                                    .repeatable = true,
                                    .done = answered,
                                    .arg = r};
        r->call = fetch_start(t->fetch, &req, &e);
    }
    if (!r->call) {
        wipe_body(r);
        count(t, "not_sent");
        fetch_failed(r, &e);
    }
}

static bool usable(const struct realm *r, uint64_t stale)
{
    return r->token && r->token->number != stale && clock_boot_ms() < r->token->refresh_ms;
}

static struct realm *find_realm(struct tokens *t, const char *name)
{
    struct table_node *n = table_find(&t->realms, name);
    if (n)
        return table_entry(n, struct realm, by_name);
    size_t len = strlen(name);
    struct realm *r = calloc(1, sizeof *r + len + 1);
    struct buf url;
    buf_init(&url);
    size_t base_len = strlen(t->options.keycloak_url);
    while (base_len > 0 && t->options.keycloak_url[base_len - 1] == '/')
        base_len--;
    buf_add(&url, t->options.keycloak_url, base_len);
    add_form_value(&url, "/realms/", name);
    buf_str(&url, "/protocol/openid-connect/token");
    char *text = buf_take(&url, NULL);
    if (!r || !text) {
        free(r);
        free(text);
        return NULL;
    }
    memcpy(r->name, name, len + 1);
    r->tokens = t;
    r->url = text;
    list_init(&r->waiting);
    buf_init(&r->body);
    table_add(&t->realms, &r->by_name, r->name);
    return r;
}

static void refuse(struct tokens *t, struct token_request *req, const char *text, bool target)
{
    err_set(&req->error, 0, "%s", text);
    req->target_failed = target;
    t->events.answer(t->events.arg, req);
}

void tokens_request(struct tokens *t, struct token_request *req)
{
    if (!t->options.keycloak_url) {
        refuse(t, req, "keycloak.url is not set: name your Keycloak in host.conf.lua", false);
        return;
    }
    struct realm *r = find_realm(t, req->realm);
    if (!r) {
        refuse(t, req, "no memory for a token request", false);
        return;
    }
    list_append(&r->waiting, &req->node);
    if (usable(r, req->stale)) {
        answer_all(r, NULL);
        return;
    }
    if (!r->call) {
        token_unref(r->token);
        r->token = NULL;
        start_fetch(r);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct tokens *t = w->data;
    if (t->warm)
        start_fetch(t->warm);
}

void tokens_warm(struct tokens *t, const char *realm)
{
    t->warm = find_realm(t, realm);
    t->tried = t->warm == NULL; /* no memory: the first message asks again */
    if (t->warm)
        start_fetch(t->warm);
}

bool tokens_tried(const struct tokens *t)
{
    return t->tried;
}

static int open_metrics(struct tokens *t, struct err *e)
{
    static const struct metric_desc refreshes = {.name = "luahost_token_refreshes_total",
                                                 .help = "Access tokens asked for, by result.",
                                                 .type = METRIC_COUNTER,
                                                 .labels = {"result"},
                                                 .series_max = 8};
    static const char *const results[] = {"ok", "refused", "unreachable", "not_sent"};
    if (!t->options.metrics)
        return 0;
    t->refreshes = metrics_open(t->options.metrics, t->options.writer, &refreshes, e);
    for (size_t i = 0; t->refreshes && i < sizeof results / sizeof *results; i++)
        metric_touch(t->refreshes, &results[i]);
    return t->refreshes ? 0 : -1;
}

struct tokens *tokens_new(struct ev_loop *loop, struct fetch *fetch,
                          const struct tokens_options *options, const struct tokens_events *events,
                          struct err *e)
{
    struct tokens *t = calloc(1, sizeof *t);
    if (!t || table_init(&t->realms) != 0) {
        free(t);
        err_set(e, 0, "no memory");
        return NULL;
    }
    t->options = *options;
    t->events = *events;
    t->loop = loop;
    t->fetch = fetch;
    ev_timer_init(&t->again, on_again, 0., 0.);
    t->again.data = t;
    if (open_metrics(t, e) != 0) {
        tokens_free(t);
        return NULL;
    }
    if (options->keycloak_url &&
        fetch_origin(options->keycloak_url, t->target, sizeof t->target) != 0) {
        err_set(e, 0, "keycloak.url: \"%s\" is no http(s) URL", options->keycloak_url);
        tokens_free(t);
        return NULL;
    }
    return t;
}

void tokens_free(struct tokens *t)
{
    if (!t)
        return;
    struct err e = {.text = "the host is stopping"};
    struct table_node *n;
    ev_timer_stop(t->loop, &t->again);
    while ((n = table_any(&t->realms))) {
        struct realm *r = table_entry(n, struct realm, by_name);
        table_remove(&t->realms, n);
        if (r->call)
            fetch_cancel(r->call);
        wipe_body(r);
        token_unref(r->token);
        r->token = NULL;
        answer_all(r, &e);
        free(r->url);
        free(r);
    }
    table_free(&t->realms);
    free(t);
}
