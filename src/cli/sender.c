#include "cli/sender.h"

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/exit.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "net/fetch.h"

#include <ev.h>
#include <json.h>
#include <stdlib.h>
#include <string.h>

enum { PARALLEL = 4, TRIES_MAX = 7, TIMEOUT_MS = 30000, PAUSE_MS = 200, PAUSE_MAX_MS = 5000 };

struct entry {
    struct buf body;
    struct buf group;   /* empty: none */
    char dedupe_id[37]; /* FIFO */
    bool open;          /* neither accepted nor refused */
};

struct batch {
    struct sender *sender;
    struct entry entries[QUEUE_BATCH_MAX];
    int count;
    int tries;
    bool asked; /* its answer is awaited */
    bool due;   /* its pause is over */
    ev_timer pause;
};

struct sender {
    const struct sender_options *options;
    struct ev_loop *loop;
    struct sqs *sqs;
    struct sender_result *result;
    struct batch batches[PARALLEL];
    struct entry next; /* rendered, did not fit into the batch before */
    long rendered;
    bool fifo;
    bool why_is_refusal;
    bool failed;
    struct err *error; /* filled in with `failed` */
};

/* ---- the event ------------------------------------------------------------------------------ */

static bool is_allowed(const char *text, size_t len)
{
    unsigned char c = (unsigned char)text[0];
    if (len == 1)
        return c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
    return memcmp(text, "\xef\xbf\xbe", 3) != 0 && memcmp(text, "\xef\xbf\xbf", 3) != 0;
}

int sender_check(const struct sender_options *o, const char *name, struct err *e)
{
    int line = 1;
    if (o->event_len == 0)
        return err_set(e, EXIT_FAILED, "%s is empty: SQS takes no empty messages", name);
    if (o->event_len > SENDER_BODY_MAX_BYTES)
        return err_set(e, EXIT_FAILED, "%s has %zu bytes: SQS takes %d at most", name, o->event_len,
                       SENDER_BODY_MAX_BYTES);
    for (size_t i = 0; i < o->event_len;) {
        size_t len = utf8_length(o->event + i, o->event_len - i);
        if (len == 0 || !is_allowed(o->event + i, len))
            return err_set(e, EXIT_FAILED, "%s:%d: byte %zu is no text that SQS takes: %s", name,
                           line, i + 1, len == 0 ? "it is no UTF-8" : "a control character");
        line += o->event[i] == '\n';
        i += len;
    }
    return 0;
}

static void fill_in(const char *text, size_t len, long number, struct buf *out)
{
    const char *p = text, *end = text + len;
    buf_clear(out);
    while (p < end) {
        const char *mark = memmem(p, (size_t)(end - p), "{{", 2);
        size_t left = mark ? (size_t)(end - mark) : 0;
        buf_add(out, p, (size_t)((mark ? mark : end) - p));
        if (!mark)
            return;
        if (left >= 5 && memcmp(mark, "{{n}}", 5) == 0) {
            buf_printf(out, "%ld", number);
            p = mark + 5;
        } else if (left >= 8 && memcmp(mark, "{{uuid}}", 8) == 0) {
            char uuid[37];
            rand_uuid(uuid);
            buf_str(out, uuid);
            p = mark + 8;
        } else {
            buf_char(out, '{');
            p = mark + 1;
        }
    }
}

static void render(const struct sender *s, long number, struct entry *e)
{
    const struct sender_options *o = s->options;
    const char *group = o->group ? o->group : s->fifo ? SENDER_GROUP : "";
    fill_in(o->event, o->event_len, number, &e->body);
    fill_in(group, strlen(group), number, &e->group);
    rand_uuid(e->dedupe_id);
}

/* ---- batches --------------------------------------------------------------------------------- */

static void stop(struct sender *s, int code, const char *text)
{
    if (!s->failed)
        err_set(s->error, code, "%s", text);
    s->failed = true;
}

/* A refusal says more about a message that was not accepted than what went wrong on the way. */
static void remember(struct sender *s, bool refusal, const char *code, const char *text)
{
    if (s->result->why.code != 0 && (s->why_is_refusal || !refusal))
        return;
    s->why_is_refusal = refusal;
    err_set(&s->result->why, EXIT_FAILED, "%s%s%s", code, *code && *text ? ": " : "", text);
}

static void progress(const struct sender *s)
{
    const struct sender_result *r = s->result;
    if (s->options->progress)
        s->options->progress(r->accepted + r->refused + r->given_up, s->options->count);
}

/* Takes the next messages while they fit together. */
static void fill(struct sender *s, struct batch *b)
{
    size_t total = 0;
    b->count = 0;
    b->tries = 0;
    while (b->count < QUEUE_BATCH_MAX) {
        if (s->next.body.len == 0) {
            if (s->rendered == s->options->count)
                return;
            render(s, ++s->rendered, &s->next);
        }
        if (s->next.body.failed || s->next.group.failed)
            return stop(s, EXIT_FAILED, "out of memory");
        if (b->count > 0 && total + s->next.body.len > SENDER_BODY_MAX_BYTES)
            return;
        struct entry *e = &b->entries[b->count++];
        total += s->next.body.len;
        struct entry empty = *e; /* its memory is used again */
        *e = s->next;
        e->open = true;
        buf_clear(&empty.body);
        s->next = empty;
    }
}

static struct entry *entry_of(struct batch *b, struct json_object *answered)
{
    struct json_object *id;
    if (!json_object_object_get_ex(answered, "Id", &id))
        return NULL;
    char *end;
    const char *text = json_object_get_string(id);
    long i = strtol(text ? text : "", &end, 10);
    return end != text && *end == '\0' && i >= 0 && i < b->count && b->entries[i].open
               ? &b->entries[i]
               : NULL;
}

static const char *member(struct json_object *o, const char *name)
{
    struct json_object *value;
    const char *text =
        json_object_object_get_ex(o, name, &value) ? json_object_get_string(value) : NULL;
    return text ? text : "";
}

static void read_successful(struct batch *b, struct json_object *list)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = entry_of(b, json_object_array_get_idx(list, i));
        if (e) {
            e->open = false;
            b->sender->result->accepted++;
        }
    }
}

static void read_failed(struct batch *b, struct json_object *list)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *answered = json_object_array_get_idx(list, i), *fault;
        struct entry *e = entry_of(b, answered);
        if (!e)
            continue;
        bool refusal = json_object_object_get_ex(answered, "SenderFault", &fault) &&
                       json_object_get_boolean(fault);
        remember(b->sender, refusal, member(answered, "Code"), member(answered, "Message"));
        if (refusal) {
            e->open = false;
            b->sender->result->refused++;
        }
    }
}

static int count_open(const struct batch *b)
{
    int open = 0;
    for (int i = 0; i < b->count; i++)
        open += b->entries[i].open;
    return open;
}

static void settle(struct batch *b, int64_t pause_ms)
{
    struct sender *s = b->sender;
    int open = count_open(b);
    progress(s);
    if (open > 0 && b->tries < TRIES_MAX && !s->failed) {
        ev_now_update(s->loop);
        ev_timer_set(&b->pause, (double)pause_ms / 1000.0, 0.0);
        ev_timer_start(s->loop, &b->pause);
        return;
    }
    s->result->given_up += open;
    b->count = 0;
    progress(s);
}

static void answered(void *arg, const struct queue_result *result, struct json_object *answer)
{
    struct batch *b = arg;
    int64_t pause_ms = PAUSE_MS << (b->tries - 1);
    b->asked = false;
    if (result->status == QUEUE_OK) {
        struct json_object *list;
        if (json_object_object_get_ex(answer, "Successful", &list))
            read_successful(b, list);
        if (json_object_object_get_ex(answer, "Failed", &list))
            read_failed(b, list);
    } else {
        remember(b->sender, false, "", result->text);
        if (result->status != QUEUE_UNREACHABLE && result->status != QUEUE_BUSY)
            stop(b->sender, result->status == QUEUE_FAULT ? EXIT_FAILED : EXIT_CONFIG,
                 result->text);
    }
    if (result->retry_after_ms > pause_ms)
        pause_ms = result->retry_after_ms;
    settle(b, pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
}

static void add_group(struct buf *request, const struct entry *e, bool fifo)
{
    if (e->group.len > 0) {
        buf_str(request, ",\"MessageGroupId\":");
        buf_json(request, e->group.data, e->group.len);
    }
    if (fifo)
        buf_printf(request, ",\"MessageDeduplicationId\":\"%s\"", e->dedupe_id);
}

static void send_batch(struct batch *b)
{
    struct sender *s = b->sender;
    struct buf request;
    const char *url = sqs_queue_url(s->sqs), *comma = "";
    buf_init(&request);
    buf_str(&request, "{\"QueueUrl\":");
    buf_json(&request, url, strlen(url));
    buf_str(&request, ",\"Entries\":[");
    for (int i = 0; i < b->count; i++) {
        if (!b->entries[i].open)
            continue;
        buf_printf(&request, "%s{\"Id\":\"%d\",\"MessageBody\":", comma, i);
        buf_json(&request, b->entries[i].body.data, b->entries[i].body.len);
        add_group(&request, &b->entries[i], s->fifo);
        buf_char(&request, '}');
        comma = ",";
    }
    buf_str(&request, "]}");
    b->tries++;
    struct err e = {0};
    if (request.failed)
        err_set(&e, EXIT_FAILED, "out of memory");
    struct sqs_question question = {
        .operation = "SendMessageBatch", .body = request.data, .timeout_ms = TIMEOUT_MS};
    b->asked = !request.failed && sqs_ask(s->sqs, &question, answered, b, &e) == 0;
    buf_free(&request);
    if (!b->asked) {
        stop(s, EXIT_FAILED, e.text);
        settle(b, 0);
    }
}

static void on_pause(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ((struct batch *)w->data)->due = true;
}

/* Starts what can start; false when nothing is left to wait for. */
static bool advance(struct sender *s)
{
    bool busy = false;
    for (int i = 0; i < (s->fifo ? 1 : PARALLEL); i++) {
        struct batch *b = &s->batches[i];
        if (b->count > 0 && !b->asked && s->failed) {
            ev_timer_stop(s->loop, &b->pause);
            settle(b, 0);
        } else if (b->due) {
            b->due = false;
            send_batch(b);
        } else if (b->count == 0 && !s->failed) {
            fill(s, b);
            if (b->count > 0)
                send_batch(b);
        }
        busy = busy || b->count > 0;
    }
    return busy;
}

static void sender_init(struct sender *s)
{
    buf_init(&s->next.body);
    buf_init(&s->next.group);
    for (int i = 0; i < PARALLEL; i++) {
        struct batch *b = &s->batches[i];
        b->sender = s;
        ev_init(&b->pause, on_pause);
        b->pause.data = b;
        for (int n = 0; n < QUEUE_BATCH_MAX; n++) {
            buf_init(&b->entries[n].body);
            buf_init(&b->entries[n].group);
        }
    }
}

static void sender_free(struct sender *s)
{
    buf_free(&s->next.body);
    buf_free(&s->next.group);
    for (int i = 0; i < PARALLEL; i++)
        for (int n = 0; n < QUEUE_BATCH_MAX; n++) {
            buf_free(&s->batches[i].entries[n].body);
            buf_free(&s->batches[i].entries[n].group);
        }
}

int sender_run(const struct sender_options *o, struct ev_loop *loop, struct fetch *fetch,
               struct sqs *sqs, struct sender_result *r, struct err *e)
{
    struct sender s = {
        .options = o, .loop = loop, .sqs = sqs, .fifo = sqs_is_fifo(sqs), .result = r, .error = e};
    memset(r, 0, sizeof *r);
    sender_init(&s);
    while (advance(&s)) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    sender_free(&s);
    return s.failed ? -1 : 0;
}
