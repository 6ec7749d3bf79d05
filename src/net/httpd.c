#include "net/httpd_parts.h"

#include "base/log.h"
#include "net/http_head.h"
#include "net/listen.h"
#include "net/uri.h"

#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BODY_KEPT_BYTES = 65536,
    CONNECTION_MEMORY_BYTES = 65536,
};

/* ---- running libmicrohttpd ----------------------------------------------------------- */

static void pump(struct httpd *h)
{
    for (int round = 0; round < 2; round++) {
        h->one_closed = false;
        MHD_run(h->daemon);
        if (!h->one_closed)
            break; /* at the connection limit, one that closed lets another in: only now */
    }
    MHD_UNSIGNED_LONG_LONG ms = 0;
    bool wanted = MHD_get_timeout(h->daemon, &ms) == MHD_YES;
    if (h->in_turn && !list_empty(&h->ready)) {
        wanted = true; /* come out of the next ev_run at once: there is work for the owner */
        ms = 0;
    }
    ev_timer_stop(h->loop, &h->timer);
    if (wanted) {
        ev_timer_set(&h->timer, (double)ms / 1000.0, 0.0);
        ev_timer_start(h->loop, &h->timer);
    }
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    pump(w->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    pump(w->data);
}

/* After a resume libmicrohttpd asks for no timeout and no descriptor wakes it. */
static void pump_soon(struct httpd *h)
{
    if (h->in_turn)
        return; /* the turn ends with a pump */
    ev_timer_stop(h->loop, &h->timer);
    ev_timer_set(&h->timer, 0.0, 0.0);
    ev_timer_start(h->loop, &h->timer);
}

void httpd_resume(struct httpd_request *r)
{
    r->state = STATE_ANSWERED;
    MHD_resume_connection(r->connection);
    pump_soon(r->h);
}

/* ---- a connection's life ---------------------------------------------------------------- */

void httpd_deadline(struct httpd_request *r, int seconds)
{
    ev_timer_stop(r->h->loop, &r->deadline);
    ev_timer_set(&r->deadline, seconds, 0.0);
    ev_timer_start(r->h->loop, &r->deadline);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct httpd_request *r = w->data;
    shutdown(r->fd, SHUT_RDWR); /* libmicrohttpd then sees it end and closes it */
}

bool httpd_client_here(const struct httpd_request *r)
{
    char byte;
    ssize_t n = recv(r->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_departure(struct ev_loop *loop, ev_io *w, int events)
{
    (void)events;
    struct httpd_request *r = w->data;
    ev_io_stop(loop, w); /* bytes of a next request would fire it again and again */
    if (!httpd_client_here(r))
        list_append(&r->h->departed, &r->queue);
}

static void request_clear(struct httpd_request *r)
{
    list_remove(&r->queue);
    ev_io_stop(r->h->loop, &r->departure);
    if (r->response)
        MHD_destroy_response(r->response);
    r->response = NULL;
    r->state = STATE_NONE;
    r->method = NULL;
    r->first_call_done = false;
    r->swallowed = 0;
    r->header_count = 0;
    buf_clear(&r->target);
    buf_clear(&r->path);
    buf_clear(&r->body);
    if (r->body.cap > BODY_KEPT_BYTES)
        buf_free(&r->body);
}

static struct httpd_request *connection_opened(struct httpd *h, struct MHD_Connection *connection)
{
    struct httpd_request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->h = h;
    r->connection = connection;
    r->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    list_init(&r->queue);
    list_append(&h->connections, &r->node);
    ev_init(&r->deadline, on_deadline);
    r->deadline.data = r;
    ev_io_init(&r->departure, on_departure, r->fd, EV_READ);
    r->departure.data = r;
    buf_init(&r->target);
    buf_init(&r->path);
    buf_init(&r->body);
    httpd_deadline(r, h->options.idle_s + h->options.exchange_s);
    return r;
}

static void connection_closed(struct httpd_request *r)
{
    request_clear(r);
    r->h->one_closed = true;
    ev_timer_stop(r->h->loop, &r->deadline);
    list_remove(&r->node);
    buf_free(&r->target);
    buf_free(&r->path);
    buf_free(&r->body);
    free(r);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = connection_opened(arg, connection);
    else if (*context)
        connection_closed(*context);
}

static struct httpd_request *request_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct httpd *h = arg;
    struct httpd_request *r = request_of(connection);
    (void)context;
    (void)code;
    if (!r)
        return;
    request_clear(r);
    httpd_deadline(r, h->options.idle_s + h->options.exchange_s);
}

/* ---- a request's way in --------------------------------------------------------------------- */

/* The request line is here. Later libmicrohttpd only offers a decoded path, cut at %00. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct httpd *h = arg;
    struct httpd_request *r = request_of(connection);
    if (!r)
        return NULL;
    r->state = STATE_READING;
    size_t path_len = strcspn(target, "?");
    buf_add(&r->target, target, path_len);
    buf_char(&r->target, '\0');
    buf_str(&r->target, target[path_len] ? target + path_len + 1 : "");
    if (!uri_decode(&r->path, target, path_len, false) && !r->path.failed)
        buf_clear(&r->path); /* http_head_check refuses it */
    httpd_deadline(r, h->options.exchange_s);
    return r;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct httpd_request *r = arg;
    (void)kind;
    if (r->header_count < HTTPD_HEADERS_MAX)
        r->headers[r->header_count] = (struct httpd_header){name, value ? value : ""};
    r->header_count++;
    return MHD_YES;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

/* Reads the head. What is wrong with it, or NULL. */
static const char *check_head(struct httpd_request *r, unsigned *status)
{
    const struct http_head_limits limits = {r->h->options.allow_remote,
                                            r->h->options.max_body_bytes};
    *status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    if (r->target.failed || r->path.failed)
        return "out of memory\n";
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, on_header, r);
    *status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    if (r->header_count > HTTPD_HEADERS_MAX)
        return "too many headers\n";
    return http_head_check(r->path.data, r->headers, r->header_count, &limits, status);
}

/* Chunked bodies say their length last: what is too much is read and dropped, since an answer
 * cannot be queued in mid-upload; more than the same again is cut. */
static enum MHD_Result take_body(struct httpd_request *r, const char *data, size_t *size)
{
    size_t len = *size, limit = r->h->options.max_body_bytes;
    *size = 0;
    if (r->swallowed == 0 && len <= limit - r->body.len) {
        buf_add(&r->body, data, len);
        return r->body.failed ? MHD_NO : MHD_YES;
    }
    r->swallowed += len;
    return r->swallowed > limit ? MHD_NO : MHD_YES;
}

static enum MHD_Result hand_out(struct httpd_request *r)
{
    if (r->swallowed)
        return refuse(r->connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large\n");
    r->state = STATE_READY;
    ev_timer_stop(r->h->loop, &r->deadline);
    MHD_suspend_connection(r->connection);
    list_append(&r->h->ready, &r->queue);
    return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **context)
{
    struct httpd_request *r = request_of(connection);
    (void)arg;
    (void)url;
    (void)version;
    (void)context;
    if (!r)
        return MHD_NO;
    if (r->state == STATE_ANSWERED)
        return r->response ? MHD_queue_response(connection, r->status, r->response) : MHD_NO;
    if (!r->first_call_done) {
        r->first_call_done = true;
        r->method = method;
        unsigned status;
        const char *wrong = check_head(r, &status);
        return wrong ? refuse(connection, status, wrong) : MHD_YES;
    }
    return *size > 0 ? take_body(r, data, size) : hand_out(r);
}

/* ---- with the owner ----------------------------------------------------------------------------
 */

static void deliver_departed(struct httpd *h)
{
    for (struct list *node; (node = list_pop(&h->departed));) {
        struct httpd_request *r = list_entry(node, struct httpd_request, queue);
        h->owner.gone(h->owner.arg, r);
        if (r->state == STATE_OWNED)
            httpd_resume(r); /* without an answer: cut */
    }
}

static void deliver_ready(struct httpd *h)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &h->ready);
    for (struct list *node; (node = list_pop(&batch));) {
        struct httpd_request *r = list_entry(node, struct httpd_request, queue);
        r->state = STATE_OWNED;
        h->owner.request(h->owner.arg, r);
        if (r->state == STATE_OWNED)
            ev_io_start(h->loop, &r->departure);
    }
}

void httpd_turn(struct httpd *h)
{
    if (list_empty(&h->ready) && list_empty(&h->departed))
        return;
    h->in_turn = true;
    deliver_departed(h);
    deliver_ready(h);
    ev_now_update(h->loop);
    pump(h);
    h->in_turn = false;
}

const char *httpd_name(const struct httpd *h)
{
    return h->name;
}

const char *httpd_library(void)
{
    return MHD_get_version();
}

/* ---- start and stop ---- */

static void on_message(void *arg, const char *format, va_list args)
{
    char text[512];
    (void)arg;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http server: %s", text);
}

static struct MHD_Daemon *start_daemon(struct httpd *h, int fd)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, h->options.max_connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, h->options.idle_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, h},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, h},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
                            NULL, on_access, h, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
                            MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static int open_listener(struct httpd *h, struct err *e)
{
    const struct httpd_options *o = &h->options;
    if (!o->unix_path)
        return listen_tcp(o->listen, o->allow_remote, h->name, e);
    h->options.allow_remote = true; /* whoever may open the file is no page of a foreign site */
    snprintf(h->name, sizeof h->name, "%s", o->unix_path);
    return listen_unix(o->unix_path, e);
}

struct httpd *httpd_new(struct ev_loop *loop, const struct httpd_options *options,
                        const struct httpd_owner *owner, struct err *e)
{
    struct httpd *h = calloc(1, sizeof *h);
    if (!h) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    h->loop = loop;
    h->options = *options;
    h->owner = *owner;
    list_init(&h->connections);
    list_init(&h->ready);
    list_init(&h->departed);
    int fd = open_listener(h, e);
    if (fd < 0)
        goto fail;
    signal(SIGPIPE, SIG_IGN); /* a client that leaves while it is written to */
    h->daemon = start_daemon(h, fd);
    if (!h->daemon) {
        err_set(e, ENOMEM, "cannot start the HTTP server on %s: %s", h->name, strerror(errno));
        close(fd);
        goto fail;
    }
    ev_io_init(&h->io, on_io, MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->listen_fd,
               EV_READ);
    h->io.data = h;
    ev_io_start(loop, &h->io);
    ev_init(&h->timer, on_timer);
    h->timer.data = h;
    return h;
fail:
    free(h);
    return NULL;
}

void httpd_free(struct httpd *h)
{
    if (!h)
        return;
    h->in_turn = true;
    list_for_each (node, &h->connections) {
        struct httpd_request *r = list_entry(node, struct httpd_request, node);
        if (r->state == STATE_READY || r->state == STATE_OWNED)
            httpd_resume(
                r); /* libmicrohttpd aborts the process if one is suspended when it stops */
    }
    MHD_run(h->daemon);
    ev_io_stop(h->loop, &h->io);
    /* That run may have read a request to its end, and suspended it. */
    list_for_each (node, &h->ready)
        httpd_resume(list_entry(node, struct httpd_request, queue));
    ev_timer_stop(h->loop, &h->timer);
    MHD_stop_daemon(h->daemon);
    free(h);
}
