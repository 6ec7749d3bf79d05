#include "cli/admin_client.h"

#include "base/exit.h"
#include "conf/conf.h"
#include "net/fetch.h"
#include "ops/admin_socket.h"

#include <ev.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000, LISTED_MAX = 20 };

/* ---- the request ---- */

struct call {
    const char *path;
    struct buf *out;
    struct err *e;
    int rc;
    bool done;
};

static void on_done(void *arg, const struct fetch_response *r)
{
    struct call *c = arg;
    c->done = true;
    if (r->result == FETCH_NO_CONNECTION)
        c->rc = err_set(c->e, EXIT_FAILED,
                        "no host answers at %s: it has ended, or the socket is not yours", c->path);
    else if (r->result != FETCH_OK)
        c->rc = err_set(c->e, EXIT_FAILED, "the host at %s did not answer: %s", c->path, r->error);
    else if (r->status != 200)
        c->rc = err_set(c->e, EXIT_FAILED, "%.*s", (int)strcspn(r->body, "\n"), r->body);
    else
        buf_add(c->out, r->body, r->body_len);
}

static int call_over(struct ev_loop *loop, struct fetch *fetch, const char *method,
                     const char *target, struct call *c)
{
    char url[256];
    snprintf(url, sizeof url, "http://localhost%s", target);
    const struct fetch_request request = {.method = method,
                                          .url = url,
                                          .unix_path = c->path,
                                          .timeout_ms = TIMEOUT_MS,
                                          .done = on_done,
                                          .arg = c};
    if (!fetch_start(fetch, &request, c->e))
        return -1;
    while (!c->done) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    if (c->rc == 0 && c->out->failed)
        return err_set(c->e, EXIT_FAILED, "out of memory");
    return c->rc;
}

/* The same as admin_client_call, with the host's socket known. */
static int call_at(const char *path, const char *method, const char *target, struct buf *out,
                   struct err *e)
{
    const struct fetch_options options = {
        .connect_timeout_ms = TIMEOUT_MS, .idle_connection_s = 1, .max_connections = 1};
    struct call c = {.path = path, .out = out, .e = e};
    if (fetch_global_init(e) != 0)
        return -1;
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    if (!loop)
        return err_set(e, EXIT_FAILED, "cannot make an event loop");
    struct fetch *fetch = fetch_new(loop, &options, e);
    if (!fetch)
        return -1;
    int rc = call_over(loop, fetch, method, target, &c);
    fetch_free(fetch);
    return rc;
}

struct json_object *admin_client_object(const struct buf *answer, struct err *e)
{
    struct json_object *object = json_tokener_parse(answer->data);
    if (json_object_is_type(object, json_type_object))
        return object;
    json_object_put(object);
    err_set(e, EXIT_FAILED, "the host's answer is no JSON object: is it another version?");
    return NULL;
}

/* ---- which host ---- */

struct found {
    const char *queue;  /* only those that consume it; NULL: all */
    const char *config; /* only those that read that file; NULL: all */
    int count;
    char path[ADMIN_PATH_BYTES]; /* the last one */
    struct buf list;
};

/* QUEUE-PID.sock, with the queue's name cut if it is long. */
static bool is_of_queue(const char *path, const char *queue)
{
    const char *name = strrchr(path, '/') + 1, *dash = strrchr(name, '-');
    size_t len = dash ? (size_t)(dash - name) : 0;
    return len > 0 && len <= strlen(queue) && strncmp(name, queue, len) == 0 &&
           (queue[len] == '\0' || strlen(path) >= ADMIN_PATH_BYTES - 8);
}

static bool reads_config(const char *path, const char *config)
{
    struct err e = {0};
    struct buf answer;
    buf_init(&answer);
    int rc = call_at(path, "GET", "/api/v1/status", &answer, &e);
    struct json_object *status = rc == 0 ? admin_client_object(&answer, &e) : NULL;
    const char *file = json_object_get_string(json_object_object_get(status, "config"));
    bool same = file && strcmp(file, config) == 0;
    json_object_put(status);
    buf_free(&answer);
    return same;
}

static void offer(void *arg, const char *path)
{
    struct found *f = arg;
    if ((f->queue && !is_of_queue(path, f->queue)) || (f->config && !reads_config(path, f->config)))
        return;
    snprintf(f->path, sizeof f->path, "%s", path);
    if (f->count++ < LISTED_MAX)
        buf_printf(&f->list, "\n  --socket %s", path);
}

static void look(struct found *f, const char *queue, const char *config)
{
    f->queue = queue;
    f->config = config;
    f->count = 0;
    buf_clear(&f->list);
    admin_socket_each_live(offer, f);
}

static const char *queue_name(const struct conf *c)
{
    const char *name = c->queue.url ? c->queue.url : c->queue.name;
    const char *slash = name ? strrchr(name, '/') : NULL;
    return slash ? slash + 1 : name;
}

/* The configuration here is of another queue than whatever runs: that one is not meant. */
static int fail_other_queue(const struct conf *c, const struct found *f, struct err *e)
{
    return err_set(e, EXIT_FAILED,
                   "no host that consumes \"%.80s\", which %s names, is running; if %s is meant, "
                   "say so:%s",
                   queue_name(c), c->file ? c->file : "LUAHOST_QUEUE_URL or LUAHOST_QUEUE_NAME",
                   f->count == 1 ? "this one" : "one of these", f->list.data);
}

static int choose(const struct conf *c, struct found *f, struct err *e)
{
    const char *queue = queue_name(c);
    char config[PATH_MAX];
    if (queue)
        look(f, queue, NULL);
    /* A flag may have named another queue, and host dev has its own. */
    if (queue && f->count == 0 && c->file && realpath(c->file, config))
        look(f, NULL, config);
    if (f->count == 0) {
        look(f, NULL, NULL);
        if (f->count > 0 && queue)
            return fail_other_queue(c, f, e);
    }
    if (f->count == 0)
        return err_set(e, EXIT_FAILED,
                       "no running host is found: start one with `host run`, or name its socket "
                       "with --socket or LUAHOST_ADMIN_SOCKET (it is on its log's line \"admin\")");
    return f->count == 1 ? 0
                         : err_set(e, EXIT_FAILED, "%d hosts are running here; say which:%s",
                                   f->count, f->list.data);
}

static int find_host(const char *socket, char path[ADMIN_PATH_BYTES], struct err *e)
{
    const struct conf_request request = {.environ = environ};
    struct conf c = {0};
    struct found f = {0};
    int rc = 0;
    buf_init(&f.list);
    if (!socket && (rc = conf_load(&c, &request, e)) == 0)
        socket = c.admin.socket;
    if (rc == 0 && !socket) {
        rc = choose(&c, &f, e);
        socket = f.path;
    }
    if (rc == 0 && snprintf(path, ADMIN_PATH_BYTES, "%s", socket) >= ADMIN_PATH_BYTES)
        rc = err_set(e, EXIT_USAGE, "'%s' is too long for a socket's path", socket);
    buf_free(&f.list);
    conf_free(&c);
    return rc;
}

/* ---- the command's ---- */

int admin_client_call(const char *socket, const char *method, const char *target, struct buf *out,
                      struct err *e)
{
    char path[ADMIN_PATH_BYTES];
    return find_host(socket, path, e) == 0 ? call_at(path, method, target, out, e) : -1;
}

struct json_object *admin_client_ask(const char *socket, const char *method, const char *target,
                                     struct err *e)
{
    struct buf answer;
    buf_init(&answer);
    int rc = admin_client_call(socket, method, target, &answer, e);
    struct json_object *object = rc == 0 ? admin_client_object(&answer, e) : NULL;
    buf_free(&answer);
    return object;
}
