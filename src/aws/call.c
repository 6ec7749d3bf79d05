#include "aws/call.h"

#include "aws/answer.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINES_MAX = 8,
    LINES_BYTES = 2048, /* room for a request's own header lines, less the token */
    KEPT_BODY_BYTES = 64 * 1024,
    SAME_CLOCK_MS = 3000, /* a Date header has whole seconds, and was on its way */
};

void aws_client_init(struct aws_client *a, const struct aws_service *service, struct fetch *fetch,
                     struct creds *creds)
{
    a->service = service;
    a->fetch = fetch;
    a->creds = creds;
    a->clock_offset_ms = 0;
    a->time_s = -1;
    snprintf(a->host_line, sizeof a->host_line, "Host: %s", a->place.host);
    sigv4_init(&a->signer, a->place.region, service->signs_as);
    buf_init(&a->lines);
    list_init(&a->calls);
    list_init(&a->spare);
}

void aws_client_free(struct aws_client *a)
{
    list_for_each (node, &a->calls)
        aws_call_free(list_entry(node, struct aws_call, node));
    struct list *node;
    while ((node = list_pop(&a->spare))) {
        struct aws_call *c = list_entry(node, struct aws_call, node);
        buf_free(&c->body);
        free(c);
    }
    sigv4_wipe(&a->signer);
    buf_free(&a->lines);
}

struct aws_call *aws_call_new(struct aws_client *a, const char *operation, int timeout_ms)
{
    struct list *node = list_pop(&a->spare);
    struct aws_call *c =
        node ? list_entry(node, struct aws_call, node) : calloc(1, a->service->call_bytes);
    if (!c)
        return NULL;
    if (!node)
        buf_init(&c->body);
    buf_clear(&c->body);
    c->client = a;
    c->operation = operation;
    c->timeout_ms = timeout_ms;
    c->repeatable = true;
    c->corrected = false;
    c->fetch = NULL;
    list_init(&c->node);
    list_append(&a->calls, &c->node);
    return c;
}

void aws_call_free(struct aws_call *c)
{
    if (c->fetch)
        fetch_cancel(c->fetch);
    c->fetch = NULL;
    if (c->body.cap > KEPT_BODY_BYTES)
        buf_free(&c->body);
    list_remove(&c->node);
    list_prepend(&c->client->spare, &c->node);
}

/* ---- signing ---- */

static const char *time_now(struct aws_client *a)
{
    int64_t wall_ms = clock_wall_ms() + a->clock_offset_ms;
    if (wall_ms / 1000 != a->time_s) {
        a->time_s = wall_ms / 1000;
        sigv4_time(wall_ms, a->time);
    }
    return a->time;
}

/* Adds "Name: value" with its NUL and returns where the value stands. */
static const char *add_line(struct buf *b, const char *name, const char *value, const char **line)
{
    *line = b->data + b->len;
    buf_str(b, name);
    buf_str(b, ": ");
    const char *at = b->data + b->len;
    buf_str(b, value);
    buf_add(b, "", 1);
    return at;
}

/* Fills `lines` with the request's own header lines, which live in a->lines. -1: no memory, or
 * credentials that cannot be. */
static int sign(struct aws_call *c, const char *lines[LINES_MAX])
{
    struct aws_client *a = c->client;
    const struct credentials *k = creds_get(a->creds);
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    char target[80];
    int n = 0, line = 0;
    lines[line++] = "Content-Type: application/x-amz-json-1.0";
    lines[line++] = a->host_line;
    if (a->service->extra)
        lines[line++] = a->service->extra;
    buf_clear(&a->lines);
    /* All of it at once: the pointers below must stay. */
    if (!buf_reserve(&a->lines, LINES_BYTES + (k->token ? strlen(k->token) : 0)))
        return -1;
    snprintf(target, sizeof target, "%s.%s", a->service->target, c->operation);
    const char *time = add_line(&a->lines, "X-Amz-Date", time_now(a), &lines[line++]);
    headers[n++] = (struct sigv4_header){"content-type", "application/x-amz-json-1.0"};
    headers[n++] = (struct sigv4_header){"host", a->place.host};
    headers[n++] = (struct sigv4_header){"x-amz-date", time};
    if (k->token)
        headers[n++] = (struct sigv4_header){
            "x-amz-security-token",
            add_line(&a->lines, "X-Amz-Security-Token", k->token, &lines[line++])};
    headers[n++] = (struct sigv4_header){
        "x-amz-target", add_line(&a->lines, "X-Amz-Target", target, &lines[line++])};
    struct sigv4_request r = {.method = "POST",
                              .path = "/",
                              .headers = headers,
                              .header_count = n,
                              .body = c->body.data,
                              .body_len = c->body.len,
                              .time = time};
    const char *start = a->lines.data;
    lines[line++] = a->lines.data + a->lines.len;
    buf_str(&a->lines, "Authorization: ");
    if (strlen(k->id) > SIGV4_SECRET_MAX ||
        sigv4_sign(&a->signer, k->id, k->secret, &r, &a->lines) != 0)
        return -1;
    lines[line] = NULL;
    return a->lines.data == start ? 0 : -1;
}

/* ---- sending ---- */

static void on_answer(void *arg, const struct fetch_response *r)
{
    struct aws_call *c = arg;
    c->fetch = NULL;
    c->answered(c, r);
}

int aws_call_send(struct aws_call *c, struct err *e)
{
    struct aws_client *a = c->client;
    const char *lines[LINES_MAX];
    if (c->body.failed)
        return err_set(e, 0, "%s %s: no memory", a->service->name, c->operation);
    if (sign(c, lines) != 0)
        return err_set(e, 0,
                       "%s %s: the request could not be signed: no memory, or "
                       "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY has more than %d characters",
                       a->service->name, c->operation, SIGV4_SECRET_MAX);
    struct fetch_request req = {.method = "POST",
                                .url = a->place.url,
                                .headers = lines,
                                .body = c->body.data,
                                .body_len = c->body.len,
                                .timeout_ms = c->timeout_ms,
                                .max_body_bytes = a->service->answer_max_bytes,
                                .repeatable = c->repeatable,
                                .done = on_answer,
                                .arg = c};
    c->sent_ms = clock_boot_ms();
    c->signed_ms = clock_wall_ms() + a->clock_offset_ms;
    c->fetch = fetch_start(a->fetch, &req, e);
    return c->fetch ? 0 : -1;
}

static void set_offset(struct aws_client *a, int64_t offset_ms)
{
    if (llabs(offset_ms - a->clock_offset_ms) < SAME_CLOCK_MS)
        return;
    a->clock_offset_ms = llabs(offset_ms) < SAME_CLOCK_MS ? 0 : offset_ms;
    if (a->clock_offset_ms == 0) {
        log_info("this machine's clock agrees with that of %s again", a->place.host);
        return;
    }
    log_warn("this machine's clock differs from that of %s by %lld s: signing with theirs; set "
             "the clock",
             a->place.host, (long long)(offset_ms / 1000));
}

/* Judged by the time that this very call was signed with: others were on the wire with it when the
 * clock jumped, and one of them may have found the right one already. */
bool aws_call_again(struct aws_call *c, const struct fetch_response *r, const char *code)
{
    int64_t signed_ms = c->signed_ms + clock_boot_ms() - c->sent_ms, off_ms;
    struct err e;
    if (c->corrected || r->result != FETCH_OK || !aws_clock_skew(r, code, signed_ms, &off_ms))
        return false;
    set_offset(c->client, signed_ms + off_ms - clock_wall_ms());
    c->corrected = true;
    return aws_call_send(c, &e) == 0;
}
