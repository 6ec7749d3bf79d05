#include "bare_http.h"

#include <curl/curl.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 64 };

struct transfer {
    CURL *easy;
    char *data;
    size_t len, cap;
    void (*done)(void *arg, long status, const char *body, size_t body_len);
    void *arg;
    struct transfer *next; /* idle */
};

static CURLM *multi;
static ev_timer timer;
static struct transfer *idle;
static int running; /* transfers that libcurl has, as of its last call */

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "bare: %s\n", what);
    exit(1);
}

static void act(curl_socket_t fd, int events)
{
    if (curl_multi_socket_action(multi, fd, events, &running) != CURLM_OK)
        fail("curl_multi_socket_action");
}

static void on_socket(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    act(w->fd,
        (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
    act(CURL_SOCKET_TIMEOUT, 0);
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    ev_io *w = of_socket;
    (void)easy, (void)arg;
    if (what == CURL_POLL_REMOVE) {
        ev_io_stop(EV_DEFAULT_ w);
        free(w);
        return curl_multi_assign(multi, fd, NULL) == CURLM_OK ? 0 : -1;
    }
    if (!w) {
        w = malloc(sizeof *w);
        if (!w)
            fail("no memory");
        ev_init(w, on_socket);
        curl_multi_assign(multi, fd, w);
    }
    ev_io_stop(EV_DEFAULT_ w);
    ev_io_set(w, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(EV_DEFAULT_ w);
    return 0;
}

static int timer_wanted(CURLM *m, long timeout_ms, void *arg)
{
    (void)m, (void)arg;
    ev_timer_stop(EV_DEFAULT_ & timer);
    if (timeout_ms < 0)
        return 0;
    if (timeout_ms > 0)
        ev_now_update(EV_DEFAULT);
    ev_timer_set(&timer, (double)timeout_ms / 1000.0, 0.0);
    ev_timer_start(EV_DEFAULT_ & timer);
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    if (t->len + len + 1 > t->cap) {
        t->cap = (t->len + len + 1) * 2;
        t->data = realloc(t->data, t->cap);
        if (!t->data)
            fail("no memory");
    }
    memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
    return len;
}

static struct transfer *transfer_new(void)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (!t || !(t->easy = curl_easy_init()))
        fail("no memory");
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    return t;
}

void http_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(multi = curl_multi_init()))
        fail("libcurl does not start");
    ev_init(&timer, on_timer);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
}

void http_free(void)
{
    while (idle) {
        struct transfer *t = idle;
        idle = t->next;
        curl_easy_cleanup(t->easy);
        free(t->data);
        free(t);
    }
    curl_multi_cleanup(multi);
    curl_global_cleanup();
}

void http_start(const struct http_post *post)
{
    struct transfer *t = idle;
    if (t)
        idle = t->next;
    else
        t = transfer_new();
    t->len = 0;
    t->done = post->done;
    t->arg = post->arg;
    curl_easy_setopt(t->easy, CURLOPT_URL, post->url);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, post->body);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)post->body_len);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, post->timeout_ms);
    if (curl_multi_add_handle(multi, t->easy) != CURLM_OK)
        fail("curl_multi_add_handle");
}

void http_turn(void)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(multi, &left))) {
        struct transfer *t;
        CURL *easy = m->easy_handle;
        CURLcode rc = m->data.result;
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_multi_remove_handle(multi, easy);
        if (rc != CURLE_OK)
            fail(curl_easy_strerror(rc));
        t->done(t->arg, status, t->len > 0 ? t->data : "", t->len);
        t->next = idle;
        idle = t;
    }
}
