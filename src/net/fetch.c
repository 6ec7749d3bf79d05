/* libcurl's multi interface on libev: one easy handle for each pooled call, its constant
 * options set once. The rules and measurements behind the settings are in reference
 * libcurl-libev; the two that matter most:
 *
 * - libcurl repeats a request by itself when a kept connection dies before the first byte of
 *   an answer, POSTs included. on_prereq refuses the second attempt for what must not be
 *   repeated, so that kept connections stay usable for it.
 * - nothing here enters the multi handle from inside one of its callbacks. */
#include "net/fetch.h"

#include "base/clock.h"
#include "base/version.h"
#include "net/fetch_call.h"

#include <curl/curl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BODY_BYTES = 64 * 1024 * 1024,
    CONNECTION_LIFE_S = 300, /* so that changes in DNS take effect */
};

_Static_assert(FETCH_DETAIL_BYTES >= CURL_ERROR_SIZE, "libcurl writes that much");

int fetch_global_init(struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, 0, "libcurl does not start");
    /* With NOSIGNAL libcurl leaves SIGPIPE alone, and TLS writes raise it. */
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

const char *fetch_library(void)
{
    return curl_version();
}

/* ---- the end of a transfer -------------------------------------------------------------- */

static enum fetch_result classify(const struct fetch_call *call, CURLcode rc)
{
    if (rc == CURLE_OK) /* 7.88 takes a head that breaks off for a whole one */
        return call->head_done ? FETCH_OK : FETCH_CUT;
    if (call->too_big)
        return FETCH_TOO_BIG;
    if (call->repeats && !call->repeatable)
        return FETCH_CUT;
    switch (rc) {
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    /* Connecting. If it had asked already, a kept connection was lost with the request on it, and
     * the connection that failed is the one libcurl opened to repeat it. */
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_OPERATION_TIMEDOUT: /* there is no limit for the whole */
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

static const char *detail_of(const struct fetch_call *call, CURLcode rc)
{
    if (call->repeats && !call->repeatable)
        return "a repeat that libcurl had begun was stopped";
    if (call->body.failed || call->head.failed)
        return "no memory for the answer";
    if (rc == CURLE_OK)
        return "in its head";
    return *call->detail ? call->detail : curl_easy_strerror(rc);
}

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
        call_end(call, classify(call, rc), detail_of(call, rc));
    }
    if (!f->unwatched)
        return;
    f->unwatched = false;
    list_for_each (node, &f->open) {
        struct fetch_call *call = list_entry(node, struct fetch_call, node);
        if (call->unwatched)
            call_end(call, FETCH_FAILED, "no memory to watch its socket");
    }
}

void transfer_read(const struct fetch_call *call, struct fetch_response *r)
{
    long status = 0, sent = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    r->sent = call->asked && sent > 0;
    r->repeated = call->repeats && call->repeatable;
    r->status = call->head_done ? (int)status : 0;
    r->body = call->body.data;
    r->body_len = call->body.len;
    r->head = &call->head;
}

void transfer_stop(struct fetch_call *call)
{
    curl_multi_remove_handle(call->fetch->multi, call->easy);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static void on_ready(void *owner, int fd, int events)
{
    struct fetch *f = owner;
    int mask =
        (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(f->multi, fd, mask, &running);
    collect(f);
}

static void on_due(struct watch_timer *t)
{
    struct fetch *f = (struct fetch *)((char *)t - offsetof(struct fetch, timer));
    int running;
    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(f);
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct fetch *f = arg;
    if (timeout_ms < 0)
        watch_timer_stop(&f->watch, &f->timer);
    else
        watch_timer_start(&f->watch, &f->timer, timeout_ms);
    return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct fetch *f = arg;
    if (what == CURL_POLL_REMOVE) {
        if (known)
            watch_end(&f->watch, known);
        return 0;
    }
    int events = (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);
    struct watch_socket *s = watch_socket(&f->watch, known, fd, events);
    if (!s) { /* libcurl 7.88 takes no notice of -1 and would wait for ever */
        struct fetch_call *call = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
        call->unwatched = f->unwatched = true;
        return -1;
    }
    if (!known)
        curl_multi_assign(f->multi, fd, s);
    return 0;
}

/* ---- callbacks of a transfer: they only note ---------------------------------------------- */

static int on_prereq(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    struct fetch_call *call = arg;
    if (call->asked) {
        long sent = 0;
        curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
        call->repeats = sent > 0;
        if (call->repeats && !call->repeatable)
            return CURL_PREREQFUNC_ABORT;
    }
    call->asked = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_head(char *line, size_t size, size_t count, void *arg)
{
    struct fetch_call *call = arg;
    size_t len = size * count;
    call->fresh = true;
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
    call->fresh = true;
    if (len > call->max_body_bytes - call->body.len) {
        call->too_big = true;
        return 0;
    }
    buf_add(&call->body, data, len);
    return call->body.failed ? 0 : len;
}

/* ---- a handle, and what is the same for all its transfers --------------------------------- */

int transfer_new(struct fetch_call *call)
{
    struct fetch *f = call->fetch;
    CURL *h = call->easy = curl_easy_init();
    CURLcode rc = h ? CURLE_OK : CURLE_OUT_OF_MEMORY;
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
    if (!f->proxies) /* saves libcurl reading the environment each time */
        SET(CURLOPT_PROXY, "");
    call->direct = !f->proxies;
    return rc == CURLE_OK ? 0 : -1;
}

void transfer_free(struct fetch_call *call)
{
    if (call->easy)
        curl_easy_cleanup(call->easy);
}

/* ---- the start of a transfer --------------------------------------------------------------- */

static CURLcode set_method(struct fetch_call *call, const struct fetch_request *q)
{
    static const char *const implied[] = {"", "GET", "HEAD", "POST"};
    CURL *h = call->easy;
    enum fetch_mode mode = fetch_mode_of(q->method, q->body_len);
    const char *custom = strcmp(q->method, implied[mode]) == 0 ? "" : q->method;
    CURLcode rc = CURLE_OK;
    if (mode != call->mode) {
        if (mode == FETCH_MODE_GET)
            SET(CURLOPT_HTTPGET, 1L);
        else if (mode == FETCH_MODE_HEAD)
            SET(CURLOPT_NOBODY, 1L);
        else
            SET(CURLOPT_POST, 1L);
        call->mode = mode;
    }
    if (mode == FETCH_MODE_BODY) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        SET(CURLOPT_POSTFIELDS, q->body_len ? q->body : "");
    }
    if (strcmp(custom, call->custom) != 0) {
        SET(CURLOPT_CUSTOMREQUEST, *custom ? custom : NULL);
        snprintf(call->custom, sizeof call->custom, "%s", rc == CURLE_OK ? custom : "?");
    }
    return rc;
}

static CURLcode set_url(struct fetch_call *call, const char *url, bool direct)
{
    CURL *h = call->easy;
    CURLcode rc = CURLE_OK;
    if (strcmp(url, call->url.data) != 0) {
        buf_clear(&call->url);
        buf_str(&call->url, url);
        if (call->url.failed)
            rc = CURLE_OUT_OF_MEMORY;
        SET(CURLOPT_URL, url);
        if (rc != CURLE_OK)
            buf_free(&call->url); /* unknown now: the next request sets it */
    }
    if (direct != call->direct) {
        SET(CURLOPT_PROXY, direct ? "" : NULL);
        call->direct = rc == CURLE_OK ? direct : !direct;
    }
    return rc;
}

static CURLcode set_socket(struct fetch_call *call, const char *unix_path)
{
    CURL *h = call->easy;
    CURLcode rc = CURLE_OK;
    if (unix_path || call->over_unix)
        SET(CURLOPT_UNIX_SOCKET_PATH, unix_path);
    if (rc == CURLE_OK)
        call->over_unix = unix_path != NULL;
    return rc;
}

static CURLcode set_limits(struct fetch_call *call, const struct fetch_request *q)
{
    CURL *h = call->easy;
    CURLcode rc = CURLE_OK;
    int connect_ms =
        q->connect_timeout_ms > 0 ? q->connect_timeout_ms : call->fetch->options.connect_timeout_ms;
    if (connect_ms != call->connect_timeout_ms)
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    call->connect_timeout_ms = connect_ms;
    call->max_body_bytes = q->max_body_bytes ? q->max_body_bytes : MAX_BODY_BYTES;
    call->repeatable = q->repeatable;
    return rc;
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

int transfer_start(struct fetch_call *call, const struct fetch_request *q, bool direct,
                   struct err *e)
{
    call->asked = call->repeats = call->fresh = call->head_done = call->too_big = false;
    call->unwatched = false;
    call->detail[0] = '\0';
    buf_clear(&call->head);
    buf_clear(&call->body);
    if (set_method(call, q) == CURLE_OK && set_url(call, q->url, direct) == CURLE_OK &&
        set_socket(call, q->unix_path) == CURLE_OK && set_limits(call, q) == CURLE_OK) {
        if (set_headers(call, q, e) != 0)
            return -1;
        if (curl_multi_add_handle(call->fetch->multi, call->easy) == CURLM_OK)
            return 0;
    }
    return err_set(e, 0, "no memory for a request");
}
#undef SET

/* ---- the client ---------------------------------------------------------------------------- */

int transfers_init(struct fetch *f)
{
    f->watch.ready = on_ready;
    watch_timer_init(&f->timer, on_due);
    f->multi = curl_multi_init();
    f->share = curl_share_init();
    if (!f->multi || !f->share)
        return -1;
    /* TLS sessions are kept by easy handle otherwise; no locks: one thread. */
    curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, f->options.max_connections);
    return 0;
}

void transfers_free(struct fetch *f)
{
    if (f->multi)
        curl_multi_cleanup(f->multi); /* may still call socket_wanted */
    if (f->share)
        curl_share_cleanup(f->share);
    watch_timer_stop(&f->watch, &f->timer);
}
