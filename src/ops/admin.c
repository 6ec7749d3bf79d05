#include "ops/admin.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric_text.h"
#include "conf/conf.h"
#include "conf/secret.h"
#include "flow/flow.h"
#include "net/httpd.h"
#include "ops/admin_socket.h"
#include "ops/handler_vm.h"
#include "ops/health.h"
#include "ops/metrics.h"
#include "ops/running.h"
#include "ops/status.h"
#include "pool/pool.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    BODY_MAX_BYTES = 64 * 1024,
    CONNECTIONS_MAX = 64,
    IDLE_S = 30,
    EXCHANGE_S = 10,
    RECEIVE_SPARE_S = 10, /* over the long poll; aws/sqs.c */
};

/* One of the two servers. */
struct door {
    struct admin *admin;
    struct httpd *httpd; /* NULL: it is not open */
    bool trusted;        /* changes need no token */
};

struct admin {
    const struct running *running;
    struct admin_events events;
    struct door tcp, local;
    char socket_path[ADMIN_PATH_BYTES]; /* "": none */
    struct buf out;                     /* scratch */
};

/* ---- answers ---- */

static void answer(struct httpd_request *r, unsigned status, const char *type, const struct buf *b)
{
    const struct httpd_header headers[] = {
        {"Content-Type", type}, {"Cache-Control", "no-store"}, {NULL, NULL}};
    if (b->failed)
        httpd_reply(r, 500, NULL, "no memory\n", 10);
    else
        httpd_reply(r, status, headers, b->data, b->len);
}

static void answer_words(struct httpd_request *r, unsigned status, const char *text)
{
    const struct httpd_header headers[] = {{"Content-Type", "text/plain; charset=utf-8"},
                                           {"Cache-Control", "no-store"},
                                           {"WWW-Authenticate", status == 401 ? "Bearer" : ""},
                                           {NULL, NULL}};
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s\n", text);
    httpd_reply(r, status, headers, b.data, b.len);
    buf_free(&b);
}

/* ---- reads ---- */

static struct buf *scratch(struct admin *a)
{
    buf_clear(&a->out);
    return &a->out;
}

static void get_metrics(struct admin *a, struct httpd_request *r)
{
    metrics_write(a->running, scratch(a));
    answer(r, 200, METRIC_TEXT_TYPE, &a->out);
}

static void get_json(struct admin *a, struct httpd_request *r,
                     void (*write)(const struct running *, struct buf *))
{
    write(a->running, scratch(a));
    buf_char(&a->out, '\n');
    answer(r, 200, "application/json", &a->out);
}

static void get_status(struct admin *a, struct httpd_request *r)
{
    get_json(a, r, status_host);
}

static void get_workers(struct admin *a, struct httpd_request *r)
{
    get_json(a, r, status_workers);
}

static void get_targets(struct admin *a, struct httpd_request *r)
{
    get_json(a, r, status_targets);
}

static struct health_facts facts_of(const struct running *r)
{
    const struct conf *c = r->conf;
    struct health_facts f = {.stopping = r->stopping,
                             .stuck = r->stuck,
                             .receive_max_ms = (c->queue.wait + RECEIVE_SPARE_S) * INT64_C(1000),
                             .turn_max_ms = 2 * handler_stuck_ms(c)};
    struct worker_view worker;
    for (int i = 0; r->pool && pool_look(r->pool, i, &worker); i++)
        if (!worker.fenced && worker.in_one_turn_ms > f.turn_ms)
            f.turn_ms = worker.in_one_turn_ms;
    if (r->flow) {
        struct flow_view v;
        flow_look(r->flow, &v);
        f.flow = true;
        f.stopping |= v.draining;
        f.answered = v.answered;
        f.usable = v.failure == QUEUE_OK;
        f.held = v.hold != NULL;
        f.silent_ms = clock_boot_ms() - v.alive_ms;
    }
    return f;
}

static void answer_health(struct httpd_request *r, const char *wrong)
{
    answer_words(r, wrong ? 503 : 200, wrong ? wrong : "ok");
}

static void get_healthz(struct admin *a, struct httpd_request *r)
{
    struct health_facts f = facts_of(a->running);
    answer_health(r, health_dead(&f));
}

static void get_readyz(struct admin *a, struct httpd_request *r)
{
    struct health_facts f = facts_of(a->running);
    answer_health(r, health_unready(&f));
}

/* ---- changes ---- */

static void set_paused(struct admin *a, struct httpd_request *r, bool paused)
{
    if (!a->running->flow) {
        answer_words(r, 409, "the host is still starting: nothing is received yet; try again");
        return;
    }
    a->events.pause(a->events.arg, paused);
    get_status(a, r);
}

static void post_pause(struct admin *a, struct httpd_request *r)
{
    set_paused(a, r, true);
}

static void post_resume(struct admin *a, struct httpd_request *r)
{
    set_paused(a, r, false);
}

/* ?workers=N or ?workers=MIN:MAX */
static bool read_range(const char *query, int *min, int *max)
{
    static const char name[] = "workers=";
    char *end;
    if (strncmp(query, name, sizeof name - 1) != 0)
        return false;
    const char *text = query + sizeof name - 1;
    if (strlen(text) > 20 || strspn(text, "0123456789:%3aA") != strlen(text))
        return false;
    long low = strtol(text, &end, 10), high = low;
    bool two = *end == ':' || strncasecmp(end, "%3a", 3) == 0;
    if (end == text)
        return false;
    if (two) {
        const char *second = end + (*end == ':' ? 1 : 3);
        high = strtol(second, &end, 10);
        if (end == second)
            return false;
    }
    if (*end || low < 1 || high < low || high > 1000)
        return false;
    *min = (int)low;
    *max = (int)high;
    return true;
}

static void post_scale(struct admin *a, struct httpd_request *r)
{
    struct err e = {0};
    int min, max;
    if (!read_range(httpd_query(r), &min, &max)) {
        answer_words(r, 400,
                     "say how many: ?workers=N or ?workers=MIN:MAX, whole numbers from 1 to 1000, "
                     "the smaller one first");
        return;
    }
    if (a->events.scale(a->events.arg, min, max, &e) != 0)
        answer_words(r, 409, e.text);
    else
        get_status(a, r);
}

/* It goes on by itself: the status says "busy" until it is done, or refused. */
static void post_reload(struct admin *a, struct httpd_request *r)
{
    a->events.reload(a->events.arg);
    get_status(a, r);
}

/* ---- who may change ---- */

/* NULL: he may. Otherwise why not, with the status of the answer. */
static const char *refuse_change(const struct door *door, const struct httpd_request *r,
                                 unsigned *status)
{
    static const char prefix[] = "Bearer ";
    const char *file = door->admin->running->conf->admin.token_file;
    const char *given = httpd_header(r, "Authorization");
    struct buf token;
    struct err e = {0};
    if (door->trusted)
        return NULL;
    *status = 403;
    if (!file)
        return "changes are made over the admin socket (host reload, pause, resume, scale), or "
               "over TCP "
               "with the token of admin.token_file, which is not set";
    *status = 401;
    if (!given || strncasecmp(given, prefix, sizeof prefix - 1) != 0)
        return "a change over TCP needs the header Authorization: Bearer TOKEN, with the token of "
               "admin.token_file";
    given += sizeof prefix - 1;
    buf_init(&token);
    const char *wrong = NULL;
    if (conf_read_secret(file, &token, &e) != 0) {
        log_with(LOG_WARN, "admin: a change was refused", LF_TEXT("error", e.text));
        *status = 500;
        wrong = "the file of admin.token_file cannot be read; the host's log says why";
    } else if (strlen(given) != token.len || CRYPTO_memcmp(given, token.data, token.len) != 0) {
        wrong = "the token is not that of admin.token_file";
    }
    OPENSSL_cleanse(token.data, token.len);
    buf_free(&token);
    return wrong;
}

/* ---- routes ---- */

struct route {
    const char *path;
    void (*get)(struct admin *a, struct httpd_request *r);
    void (*post)(struct admin *a, struct httpd_request *r);
};

static const struct route routes[] = {
    {"/metrics", get_metrics, NULL},        {"/healthz", get_healthz, NULL},
    {"/readyz", get_readyz, NULL},          {"/api/v1/status", get_status, NULL},
    {"/api/v1/workers", get_workers, NULL}, {"/api/v1/targets", get_targets, NULL},
    {"/api/v1/pause", NULL, post_pause},    {"/api/v1/resume", NULL, post_resume},
    {"/api/v1/scale", NULL, post_scale},    {"/api/v1/reload", NULL, post_reload},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    return NULL;
}

static void not_found(struct admin *a, struct httpd_request *r)
{
    struct buf *b = scratch(a);
    buf_str(b, "nothing is here; there are:\n");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        buf_printf(b, "%-4s %s\n", routes[i].get ? "GET" : "POST", routes[i].path);
    answer(r, 404, "text/plain; charset=utf-8", b);
}

static void wrong_method(struct httpd_request *r, const struct route *route)
{
    const struct httpd_header headers[] = {{"Content-Type", "text/plain; charset=utf-8"},
                                           {"Allow", route->get ? "GET, HEAD" : "POST"},
                                           {NULL, NULL}};
    const char *text = route->get ? "GET only\n" : "POST only\n";
    httpd_reply(r, 405, headers, text, strlen(text));
}

static void on_request(void *arg, struct httpd_request *r)
{
    struct door *door = arg;
    struct admin *a = door->admin;
    const struct route *route = find_route(httpd_path(r));
    const char *method = httpd_method(r), *wrong;
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    unsigned status;
    if (!route) {
        not_found(a, r);
    } else if (get && route->get) {
        route->get(a, r);
    } else if (strcmp(method, "POST") != 0 || !route->post) {
        wrong_method(r, route);
    } else if ((wrong = refuse_change(door, r, &status)) != NULL) {
        answer_words(r, status, wrong);
    } else {
        log_with(LOG_INFO, "admin: a change was asked for", LF_TEXT("path", route->path),
                 LF_TEXT("query", *httpd_query(r) ? httpd_query(r) : NULL),
                 LF_TEXT("over", door->trusted ? "socket" : "tcp"));
        route->post(a, r);
    }
}

static void on_gone(void *arg, struct httpd_request *r)
{
    (void)arg; /* every request is answered at once */
    (void)r;
}

/* ---- opening and closing ---- */

/* A page of a foreign site can reach what listens on loopback; what listens elsewhere is called by
 * names that we do not know. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static void open_door(struct door *door, struct ev_loop *loop, struct httpd_options *o)
{
    const struct httpd_owner owner = {door, on_request, on_gone};
    struct err e = {0};
    o->max_body_bytes = BODY_MAX_BYTES;
    o->max_connections = CONNECTIONS_MAX;
    o->idle_s = IDLE_S;
    o->exchange_s = EXCHANGE_S;
    door->httpd = httpd_new(loop, o, &owner, &e);
    if (!door->httpd)
        log_with(LOG_WARN,
                 o->unix_path ? "admin: no socket; host status and its like will not find this "
                                "process. Set admin.socket to another path"
                              : "admin: no HTTP server, and no metrics over TCP. Set admin.listen "
                                "to another address, or to off",
                 LF_TEXT("error", e.text));
}

static void open_local(struct admin *a, struct ev_loop *loop, const char *queue_name)
{
    const char *path = a->running->conf->admin.socket;
    struct httpd_options o = {.unix_path = path ? path : a->socket_path};
    struct err e = {0};
    if (!path && admin_socket_place(queue_name, a->socket_path, &e) != 0) {
        log_with(LOG_WARN, "admin: no socket; host status and its like will not find this process",
                 LF_TEXT("error", e.text));
        return;
    }
    open_door(&a->local, loop, &o);
    if (path && a->local.httpd)
        snprintf(a->socket_path, sizeof a->socket_path, "%s", path);
    if (!a->local.httpd)
        a->socket_path[0] = '\0';
}

struct admin *admin_new(struct ev_loop *loop, const struct running *r, const char *queue_name,
                        const struct admin_events *events)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    const char *listen = r->conf->admin.listen;
    a->running = r;
    a->events = *events;
    a->tcp = (struct door){.admin = a};
    a->local = (struct door){.admin = a, .trusted = true};
    buf_init(&a->out);
    if (listen && strcmp(listen, "off") != 0) {
        struct httpd_options o = {.listen = listen, .allow_remote = !is_loopback(listen)};
        open_door(&a->tcp, loop, &o);
    }
    open_local(a, loop, queue_name);
    log_with(LOG_INFO, "admin", LF_TEXT("http", a->tcp.httpd ? httpd_name(a->tcp.httpd) : NULL),
             LF_TEXT("socket", a->socket_path[0] ? a->socket_path : NULL));
    return a;
}

const char *admin_address(const struct admin *a)
{
    return a && a->tcp.httpd ? httpd_name(a->tcp.httpd) : NULL;
}

void admin_turn(struct admin *a)
{
    if (a && a->tcp.httpd)
        httpd_turn(a->tcp.httpd);
    if (a && a->local.httpd)
        httpd_turn(a->local.httpd);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    httpd_free(a->tcp.httpd);
    httpd_free(a->local.httpd);
    if (a->socket_path[0])
        unlink(a->socket_path);
    buf_free(&a->out);
    free(a);
}
