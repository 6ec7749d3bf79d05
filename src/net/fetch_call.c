/* The life of a call: taken from the pool, limited in time, ended, delivered, given back. */
#include "net/fetch_call.h"

#include "base/clock.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEPT_BUFFER_BYTES = 256 * 1024, /* a pooled call gives back a bigger buffer */
    CONNECT_TIMEOUT_MS = 3000,
    IDLE_CONNECTION_S = 25,
    CONNECTIONS = 16,
    GRACES = 16,
};

/* ---- the end ---- */

static void finish(struct fetch_call *call, enum fetch_result result, const char *detail)
{
    struct fetch_response *r = &call->response;
    struct fetch *f = call->fetch;
    r->result = result;
    r->elapsed_us = clock_mono_us() - call->started_us;
    struct fetch_story story = {.url = call->url.data,
                                .detail = detail,
                                .timeout_ms = call->timeout_ms,
                                .max_body_bytes = call->max_body_bytes};
    fetch_explain(r, &story, call->words, sizeof call->words);
    watch_timer_stop(&f->watch, &call->limit);
    call->state = CALL_FINISHED;
    list_remove(&call->node);
    list_append(&f->finished, &call->node);
}

void call_end(struct fetch_call *call, enum fetch_result result, const char *detail)
{
    transfer_read(call, &call->response);
    finish(call, result, detail);
    transfer_stop(call);
}

/* Without the network: options.play answers. -1: no memory. */
static int play(struct fetch_call *call, const struct fetch_request *q, struct err *e)
{
    const struct fetch_options *o = &call->fetch->options;
    struct fetch_played answer = {.result = FETCH_OK};
    struct fetch_response *r = &call->response;
    buf_init(&answer.head);
    buf_init(&answer.body);
    buf_clear(&call->url);
    buf_str(&call->url, q->url);
    o->play(o->play_arg, q, &answer);
    buf_clear(&call->head);
    buf_clear(&call->body);
    buf_printf(&call->head, "HTTP/1.1 %d\r\n", answer.status);
    buf_add(&call->head, answer.head.data, answer.head.len);
    buf_add(&call->body, answer.body.data, answer.body.len);
    bool whole = !answer.head.failed && !answer.body.failed && !call->head.failed &&
                 !call->body.failed && !call->url.failed;
    buf_free(&answer.head);
    buf_free(&answer.body);
    if (!whole)
        return err_set(e, 0, "no memory for an answer");
    if (answer.result == FETCH_OK)
        *r = (struct fetch_response){.status = answer.status,
                                     .body = call->body.data ? call->body.data : "",
                                     .body_len = call->body.len,
                                     .first_byte_ms = clock_boot_ms()};
    r->head = &call->head;
    r->sent = answer.result == FETCH_OK || answer.sent;
    call->max_body_bytes = q->max_body_bytes;
    finish(call, answer.result, answer.words);
    return 0;
}

/* The time limit is ours, not CURLOPT_TIMEOUT_MS: libcurl looks at the clock before it looks at
 * the socket, and after a long slice of Lua it would throw away an answer that waits there.
 * Here the socket goes first, and an answer that comes in pieces gets a few turns more as long
 * as each turn brings some. */
static void on_limit(struct watch_timer *t)
{
    struct fetch_call *call = (struct fetch_call *)((char *)t - offsetof(struct fetch_call, limit));
    if (call->fresh && call->graces > 0) {
        call->fresh = false;
        call->graces--;
        watch_timer_start(&call->fetch->watch, t, 0);
        return;
    }
    call_end(call, FETCH_TIMEOUT,
             !call->asked                       ? "not connected yet"
             : call->response.first_byte_ms > 0 ? "the answer had begun"
                                                : "nothing came back");
}

/* ---- the pool ---- */

static void call_free(struct fetch_call *call)
{
    watch_timer_stop(&call->fetch->watch, &call->limit);
    transfer_free(call);
    buf_free(&call->url);
    buf_free(&call->text);
    buf_free(&call->head);
    buf_free(&call->body);
    free(call->lines);
    free(call);
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
    watch_timer_init(&call->limit, on_limit);
    buf_init(&call->url);
    buf_init(&call->text);
    buf_init(&call->head);
    buf_init(&call->body);
    if (transfer_new(call) == 0)
        return call;
    call_free(call);
    return NULL;
}

static void recycle(struct fetch_call *call)
{
    struct fetch *f = call->fetch;
    list_remove(&call->node);
    watch_timer_stop(&f->watch, &call->limit);
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

/* ---- start, cancel, deliver ---- */

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
    call->done = q->done;
    call->arg = q->arg;
    call->timeout_ms = q->timeout_ms;
    call->graces = GRACES;
    call->response = (struct fetch_response){0};
    call->started_us = clock_mono_us();
    bool played = f->options.play;
    if (played ? play(call, q, e)
               : transfer_start(call, q, !f->proxies || fetch_parts_loopback(&parts), e)) {
        recycle(call);
        return NULL;
    }
    if (played)
        return call;
    watch_timer_start(&f->watch, &call->limit, q->timeout_ms);
    call->state = CALL_OPEN;
    list_append(&f->open, &call->node);
    return call;
}

void fetch_cancel(struct fetch_call *call)
{
    if (call->state == CALL_OPEN)
        transfer_stop(call);
    else if (call->state != CALL_FINISHED)
        return; /* inside its own `done` */
    recycle(call);
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

/* ---- the client ---- */

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
    f->options.ca_file = NULL; /* `ca_file` is the copy that stays */
    if (f->options.connect_timeout_ms <= 0)
        f->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (f->options.idle_connection_s <= 0)
        f->options.idle_connection_s = IDLE_CONNECTION_S;
    if (f->options.max_connections <= 0)
        f->options.max_connections = CONNECTIONS;
    f->proxies = proxies_named();
}

struct fetch *fetch_new(struct ev_loop *loop, const struct fetch_options *o, struct err *e)
{
    if (o->ca_file && access(o->ca_file, R_OK) != 0) {
        err_set(e, 0, "the certificate file %s cannot be read: %m", o->ca_file);
        return NULL;
    }
    struct fetch *f = calloc(1, sizeof *f);
    if (f) {
        list_init(&f->open);
        list_init(&f->finished);
        list_init(&f->idle);
        watch_init(&f->watch, loop, f);
        set_options(f, o);
        f->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
        if ((f->ca_file || !o->ca_file) && transfers_init(f) == 0)
            return f;
        fetch_free(f);
    }
    err_set(e, 0, "no memory for an HTTP client");
    return NULL;
}

static void free_calls(struct list *calls)
{
    struct list *node;
    while ((node = list_pop(calls))) {
        struct fetch_call *call = list_entry(node, struct fetch_call, node);
        if (call->state == CALL_OPEN)
            transfer_stop(call);
        call_free(call);
    }
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    free_calls(&f->open);
    free_calls(&f->finished);
    free_calls(&f->idle);
    transfers_free(f);
    watch_free(&f->watch);
    free(f->ca_file);
    free(f);
}
