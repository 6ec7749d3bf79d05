/* libcurl's multi interface on libev. The rules and measurements behind the settings are in
 * reference libcurl-libev; the two that matter most:
 *
 * - libcurl repeats a request by itself when a kept connection dies before the first byte of
 *   an answer, POSTs included. on_prereq refuses the second attempt for what must not be
 *   repeated, so kept connections stay usable for it.
 * - nothing here calls a libcurl function from inside one of its callbacks that would enter
 *   the multi handle, and `done` runs outside all of them. */
#include "net/fetch.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/version.h"
#include "net/fetch_check.h"
#include "net/watch.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    MAX_BODY_BYTES = 64 * 1024 * 1024,
    KEPT_BUFFER_BYTES = 256 * 1024, /* a pooled call gives back a bigger buffer */
    CONNECTION_LIFE_S = 300,        /* so that changes in DNS take effect */
    CONNECT_TIMEOUT_MS = 3000,
};

enum call_state { CALL_IDLE, CALL_OPEN, CALL_FINISHED, CALL_DELIVERING };

struct fetch_call {
    struct list node; /* in one of the fetch's lists */
    struct fetch *fetch;
    CURL *easy;
    enum call_state state;
    fetch_done *done;
    void *arg;

    enum fetch_mode mode;
    char custom[FETCH_METHOD_MAX + 1]; /* CURLOPT_CUSTOMREQUEST; "": none */
    bool direct;                       /* CURLOPT_PROXY is "" */
    struct buf url;
    struct buf text;          /* the header lines that `lines` points into */
    struct curl_slist *lines; /* an array, linked in order; libcurl only reads it */
    size_t lines_cap;

    bool repeatable;
    bool asked;   /* a request was about to go out */
    bool repeats; /* libcurl wanted to send it again and was refused */
    bool head_done;
    bool too_big;
    int timeout_ms;
    size_t max_body_bytes;
    int64_t started_us;
    struct buf head;
    struct buf body;
    struct fetch_response response;
    char words[768];              /* response.error */
    char detail[CURL_ERROR_SIZE]; /* libcurl's; must live as long as `easy` */
};

struct fetch {
    struct watch watch;
    CURLM *multi;
    CURLSH *share; /* TLS sessions: 7.88 keeps them per easy handle otherwise */
    struct list open;
    struct list finished;
    struct list idle;
    long idle_count;
    struct fetch_options options;
    char *ca_file;
    bool proxies; /* the environment names some */
};

int fetch_global_init(struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, 0, "libcurl does not start");
    /* NOSIGNAL keeps libcurl from doing this around each call; TLS writes need it. */
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* ---- the loop ------------------------------------------------------------------------ */

static void finish(struct fetch_call *call, CURLcode rc);

static void collect(struct fetch *f)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(f->multi, &left))) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        struct fetch_call *call = NULL;
        CURLcode rc = msg->data.result; /* `msg` dies with remove_handle */
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        finish(call, rc);
    }
}

static void on_ready(void *owner, int fd, int events)
{
    struct fetch *f = owner;
    int mask =
        (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(f->multi, fd, mask, &running);
    collect(f);
}

static void on_due(void *owner)
{
    struct fetch *f = owner;
    int running;
    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(f);
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct fetch *f = arg;
    watch_timer(&f->watch, timeout_ms);
    return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    struct fetch *f = arg;
    if (what == CURL_POLL_REMOVE) {
        if (known)
            watch_end(&f->watch, known);
        return 0;
    }
    struct watch_socket *s = watch_socket(&f->watch, known, fd,
                                          (what & CURL_POLL_IN ? WATCH_READ : 0) |
                                              (what & CURL_POLL_OUT ? WATCH_WRITE : 0));
    if (!s)
        return -1;
    if (!known)
        curl_multi_assign(f->multi, fd, s);
    return 0;
}

/* ---- callbacks of a transfer: they only note ------------------------------------------ */

static int on_prereq(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    struct fetch_call *call = arg;
    long sent = 0;
    if (call->asked && !call->repeatable) {
        curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
        call->repeats = sent > 0;
        if (call->repeats)
            return CURL_PREREQFUNC_ABORT;
    }
    call->asked = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_head(char *line, size_t size, size_t count, void *arg)
{
    struct fetch_call *call = arg;
    size_t len = size * count;
    if (call->response.first_byte_ms == 0)
        call->response.first_byte_ms = clock_boot_ms();
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* 100 Continue has a block of its own */
        buf_clear(&call->head);
        call->head_done = false;
    }
    if (call->head_done)
        return len; /* trailers are not headers */
    call->head_done = len <= 2 && (*line == '\r' || *line == '\n');
    if (!call->head_done)
        buf_add(&call->head, line, len);
    return call->head.failed ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_call *call = arg;
    size_t len = size * count;
    if (len > call->max_body_bytes - call->body.len) {
        call->too_big = true;
        return 0;
    }
    buf_add(&call->body, data, len);
    return call->body.failed ? 0 : len;
}

/* ---- pooled calls ---------------------------------------------------------------------- */

static void call_free(struct fetch_call *call)
{
    if (call->easy)
        curl_easy_cleanup(call->easy);
    buf_free(&call->url);
    buf_free(&call->text);
    buf_free(&call->head);
    buf_free(&call->body);
    free(call->lines);
    free(call);
}

/* Everything that is the same for all requests; never reset. */
static bool set_constants(struct fetch_call *call)
{
    struct fetch *f = call->fetch;
    CURL *h = call->easy;
    CURLcode rc = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(h, option, value);                                               \
    } while (0)
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->detail);
    SET(CURLOPT_PREREQFUNCTION, on_prereq);
    SET(CURLOPT_PREREQDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or a cancel waits for getaddrinfo's thread */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* 7.88's HTTP/2 loses errors */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L); /* what is signed and logged is what is sent */
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 30L);
    SET(CURLOPT_TCP_KEEPINTVL, 15L);
    SET(CURLOPT_MAXAGE_CONN, (long)f->options.idle_connection_s);
    SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
    SET(CURLOPT_USERAGENT, "luahost/" HOST_VERSION);
    SET(CURLOPT_SHARE, f->share);
    if (f->ca_file)
        SET(CURLOPT_CAINFO, f->ca_file);
    if (!f->proxies)
        SET(CURLOPT_PROXY, ""); /* saves libcurl reading the environment each time */
#undef SET
    call->direct = !f->proxies;
    return rc == CURLE_OK;
}

static struct fetch_call *call_new(struct fetch *f)
{
    struct list *node = list_pop(&f->idle); /* the last one used: warm */
    if (node) {
        f->idle_count--;
        return list_entry(node, struct fetch_call, node);
    }
    struct fetch_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    list_init(&call->node);
    call->fetch = f;
    buf_init(&call->url);
    buf_init(&call->text);
    buf_init(&call->head);
    buf_init(&call->body);
    call->easy = curl_easy_init();
    if (!call->easy || !set_constants(call)) {
        call_free(call);
        return NULL;
    }
    return call;
}

static void recycle(struct fetch_call *call)
{
    struct fetch *f = call->fetch;
    list_remove(&call->node);
    if (f->idle_count >= f->options.max_connections) {
        call_free(call);
        return;
    }
    if (call->body.cap > KEPT_BUFFER_BYTES)
        buf_free(&call->body);
    call->state = CALL_IDLE;
    list_prepend(&f->idle, &call->node);
    f->idle_count++;
}

/* ---- the end of a transfer ------------------------------------------------------------- */

static enum fetch_result classify(const struct fetch_call *call, CURLcode rc)
{
    const struct fetch_response *r = &call->response;
    if (rc == CURLE_OK)
        return FETCH_OK;
    if (call->too_big)
        return FETCH_TOO_BIG;
    if (call->repeats)
        return FETCH_CUT;
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return call->asked || r->elapsed_us >= call->timeout_ms * (int64_t)1000
                   ? FETCH_TIMEOUT
                   : FETCH_NO_CONNECTION;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return call->asked ? FETCH_CUT : FETCH_NO_CONNECTION;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return FETCH_FAILED;
    default:
        return call->asked ? FETCH_FAILED : FETCH_NO_CONNECTION;
    }
}

static void finish(struct fetch_call *call, CURLcode rc)
{
    struct fetch_response *r = &call->response;
    long status = 0, sent = 0;
    const char *detail = *call->detail ? call->detail : curl_easy_strerror(rc);
    if (call->repeats)
        detail = "libcurl would have sent the request again";
    else if (call->body.failed || call->head.failed)
        detail = "no memory for the answer";
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_multi_remove_handle(call->fetch->multi, call->easy);
    r->elapsed_us = clock_mono_us() - call->started_us;
    r->sent = call->asked && sent > 0;
    r->status = call->head_done ? (int)status : 0;
    r->result = classify(call, rc);
    r->body = call->body.data;
    r->body_len = call->body.len;
    r->head = &call->head;
    fetch_explain(r,
                  &(struct fetch_story){.url = call->url.data,
                                        .detail = detail,
                                        .timeout_ms = call->timeout_ms,
                                        .max_body_bytes = call->max_body_bytes},
                  call->words, sizeof call->words);
    call->state = CALL_FINISHED;
    list_remove(&call->node);
    list_append(&call->fetch->finished, &call->node);
}

void fetch_turn(struct fetch *f)
{
    struct list *node;
    while ((node = list_pop(&f->finished))) {
        struct fetch_call *call = list_entry(node, struct fetch_call, node);
        call->state = CALL_DELIVERING;
        call->done(call->arg, &call->response);
        recycle(call);
    }
}

/* ---- the start of a transfer ------------------------------------------------------------ */

static void set_method(struct fetch_call *call, const struct fetch_request *q)
{
    static const char *const implied[] = {"", "GET", "HEAD", "POST"};
    enum fetch_mode mode = fetch_mode_of(q->method, q->body_len);
    const char *custom = strcmp(q->method, implied[mode]) == 0 ? "" : q->method;
    if (mode != call->mode) {
        curl_easy_setopt(call->easy,
                         mode == FETCH_MODE_GET    ? CURLOPT_HTTPGET
                         : mode == FETCH_MODE_HEAD ? CURLOPT_NOBODY
                                                   : CURLOPT_POST,
                         1L);
        call->mode = mode;
    }
    if (mode == FETCH_MODE_BODY) {
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, q->body_len ? q->body : "");
    }
    if (strcmp(custom, call->custom) != 0) {
        curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, *custom ? custom : NULL);
        snprintf(call->custom, sizeof call->custom, "%s", custom);
    }
}

static bool set_url(struct fetch_call *call, const char *url, bool direct)
{
    CURLcode rc = CURLE_OK;
    if (strcmp(url, call->url.data) != 0) {
        buf_clear(&call->url);
        buf_str(&call->url, url);
        rc = curl_easy_setopt(call->easy, CURLOPT_URL, url);
    }
    if (rc == CURLE_OK && direct != call->direct) {
        rc = curl_easy_setopt(call->easy, CURLOPT_PROXY, direct ? "" : NULL);
        call->direct = direct;
    }
    if (rc == CURLE_OK && !call->url.failed)
        return true;
    buf_free(&call->url); /* unknown now: the next request sets it */
    return false;
}

static bool reserve_lines(struct fetch_call *call, size_t count)
{
    if (count <= call->lines_cap)
        return true;
    struct curl_slist *lines = realloc(call->lines, count * sizeof *lines);
    if (!lines)
        return false;
    call->lines = lines;
    call->lines_cap = count;
    return true;
}

static void add_line(struct fetch_call *call, size_t *count, const char *line, size_t len, char end)
{
    struct curl_slist *l = &call->lines[*count];
    l->data = call->text.data + call->text.len; /* the room was reserved: it does not move */
    l->next = NULL;
    if (*count > 0)
        l[-1].next = l;
    buf_add(&call->text, line, len);
    if (end)
        buf_char(&call->text, end);
    buf_add(&call->text, "", 1);
    ++*count;
}

static int set_headers(struct fetch_call *call, const struct fetch_request *q, struct err *e)
{
    static const char no_expect[] = "Expect:";     /* libcurl would wait a second for the 100 */
    static const char no_type[] = "Content-Type:"; /* it would call every body a form */
    size_t count = 2, bytes = sizeof no_expect + sizeof no_type, lines = 0;
    for (const char *const *h = q->headers; h && *h; h++, count++)
        bytes += strlen(*h) + 2;
    buf_clear(&call->text);
    if (!reserve_lines(call, count) || !buf_reserve(&call->text, bytes))
        return err_set(e, 0, "no memory for a request's headers");
    add_line(call, &lines, no_expect, sizeof no_expect - 1, 0);
    if (call->mode == FETCH_MODE_BODY && !fetch_has_header(q->headers, "Content-Type"))
        add_line(call, &lines, no_type, sizeof no_type - 1, 0);
    for (const char *const *h = q->headers; h && *h; h++) {
        size_t name_len;
        bool empty;
        if (fetch_check_header(*h, &name_len, &empty, e) != 0)
            return -1;
        /* "Name:" would make libcurl leave its own header out; "Name;" sends it empty. */
        add_line(call, &lines, *h, empty ? name_len : strlen(*h), empty ? ';' : 0);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines);
    return 0;
}

static void set_limits(struct fetch_call *call, const struct fetch_request *q)
{
    int connect_ms =
        q->connect_timeout_ms > 0 ? q->connect_timeout_ms : call->fetch->options.connect_timeout_ms;
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    call->timeout_ms = q->timeout_ms;
    call->max_body_bytes = q->max_body_bytes ? q->max_body_bytes : MAX_BODY_BYTES;
    call->repeatable = q->repeatable;
    call->done = q->done;
    call->arg = q->arg;
}

static void forget_last(struct fetch_call *call)
{
    call->asked = call->repeats = call->head_done = call->too_big = false;
    call->response = (struct fetch_response){0};
    call->detail[0] = '\0';
    buf_clear(&call->head);
    buf_clear(&call->body);
}

struct fetch_call *fetch_start(struct fetch *f, const struct fetch_request *q, struct err *e)
{
    struct fetch_parts parts;
    if (fetch_check_url(q->url, &parts, e) != 0 || fetch_check_method(q->method, e) != 0)
        return NULL;
    if (q->body_len > 0 && strcmp(q->method, "HEAD") == 0) {
        err_set(e, 0, "a HEAD request has no body");
        return NULL;
    }
    struct fetch_call *call = call_new(f);
    if (!call) {
        err_set(e, 0, "no memory for a request");
        return NULL;
    }
    forget_last(call);
    set_method(call, q);
    set_limits(call, q);
    if (set_headers(call, q, e) != 0)
        goto fail;
    if (!set_url(call, q->url, !f->proxies || fetch_parts_loopback(&parts))) {
        err_set(e, 0, "no memory for a request");
        goto fail;
    }
    call->started_us = clock_mono_us();
    if (curl_multi_add_handle(f->multi, call->easy) != CURLM_OK) {
        err_set(e, 0, "no memory for a request");
        goto fail;
    }
    call->state = CALL_OPEN;
    list_append(&f->open, &call->node);
    return call;
fail:
    recycle(call);
    return NULL;
}

void fetch_cancel(struct fetch_call *call)
{
    if (call->state == CALL_OPEN)
        curl_multi_remove_handle(call->fetch->multi, call->easy);
    else if (call->state != CALL_FINISHED)
        return; /* inside its own `done` */
    recycle(call);
}

/* ---- life ------------------------------------------------------------------------------- */

static bool proxies_named(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

static void set_options(struct fetch *f, const struct fetch_options *o)
{
    f->options = *o;
    f->options.ca_file = NULL;
    if (f->options.connect_timeout_ms <= 0)
        f->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (f->options.idle_connection_s <= 0)
        f->options.idle_connection_s = 25;
    if (f->options.max_connections <= 0)
        f->options.max_connections = 16;
    f->proxies = proxies_named();
}

struct fetch *fetch_new(struct ev_loop *loop, const struct fetch_options *o, struct err *e)
{
    if (o->ca_file && access(o->ca_file, R_OK) != 0) {
        err_set(e, 0, "the certificate file %s cannot be read: %m", o->ca_file);
        return NULL;
    }
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        goto no_memory;
    watch_init(&f->watch, loop, f);
    f->watch.ready = on_ready;
    f->watch.due = on_due;
    list_init(&f->open);
    list_init(&f->finished);
    list_init(&f->idle);
    set_options(f, o);
    f->multi = curl_multi_init();
    f->share = curl_share_init();
    if ((o->ca_file && !(f->ca_file = strdup(o->ca_file))) || !f->multi || !f->share)
        goto no_memory;
    curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, f->options.max_connections);
    return f;
no_memory:
    err_set(e, 0, "no memory for an HTTP client");
    fetch_free(f);
    return NULL;
}

static void free_calls(struct fetch *f, struct list *calls, bool open)
{
    struct list *node;
    while ((node = list_pop(calls))) {
        struct fetch_call *call = list_entry(node, struct fetch_call, node);
        if (open)
            curl_multi_remove_handle(f->multi, call->easy);
        call_free(call);
    }
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    free_calls(f, &f->open, true);
    free_calls(f, &f->finished, false);
    free_calls(f, &f->idle, false);
    if (f->multi)
        curl_multi_cleanup(f->multi); /* may still call socket_wanted */
    if (f->share)
        curl_share_cleanup(f->share);
    watch_free(&f->watch);
    free(f->ca_file);
    free(f);
}

const char *fetch_library(void)
{
    return curl_version();
}
