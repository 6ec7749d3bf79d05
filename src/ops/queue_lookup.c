#include "ops/queue_lookup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"

#include <json-c/json.h>
#include <string.h>

enum { AGAIN_MS = 1000, TIMEOUT_MS = 10000, GATE_MS = 10000 };

static void end(struct queue_lookup *l, int code, const char *text)
{
    l->ended = true;
    if (code != 0 && l->name)
        err_set(&l->error, code, "queue.name \"%s\": %s", l->name, text);
    else if (code != 0)
        err_set(&l->error, code, "%s", text);
}

static void later(struct queue_lookup *l)
{
    ev_now_update(l->loop);
    ev_timer_set(&l->again, AGAIN_MS / 1000.0, 0.);
    ev_timer_start(l->loop, &l->again);
}

static void failed(struct queue_lookup *l, const struct queue_result *result)
{
    bool away = result->status == QUEUE_UNREACHABLE || result->status == QUEUE_BUSY;
    if (!away) {
        end(l, EXIT_CONFIG, result->text);
    } else if (clock_boot_ms() >= l->give_up_ms) {
        end(l, EXIT_UNREACHABLE, result->text);
    } else {
        int64_t held_back;
        if (log_gate_open(&l->gate, GATE_MS, &held_back))
            log_with(LOG_WARN, "the queue cannot be asked, trying again",
                     LF_TEXT("error", result->text));
        later(l);
    }
}

static void attributes_answered(void *arg, const struct queue_result *result,
                                struct json_object *answer)
{
    struct queue_lookup *l = arg;
    (void)answer;
    bool away = result->status == QUEUE_UNREACHABLE || result->status == QUEUE_BUSY;
    /* Whether it may be received from is another permission: the first receive will tell. */
    if (result->status == QUEUE_MISSING || away)
        failed(l, result);
    else
        end(l, 0, NULL);
}

static void ask(struct queue_lookup *l);

static void url_answered(void *arg, const struct queue_result *result, struct json_object *answer)
{
    struct queue_lookup *l = arg;
    struct json_object *url;
    struct err e = {0};
    if (result->status != QUEUE_OK)
        failed(l, result);
    else if (!answer || !json_object_object_get_ex(answer, "QueueUrl", &url))
        end(l, EXIT_CONFIG, "SQS GetQueueUrl: the answer has no QueueUrl: is this SQS?");
    else if (sqs_set_queue_url(l->sqs, json_object_get_string(url), &e) != 0)
        end(l, e.code ? e.code : EXIT_CONFIG, e.text);
    else
        ask(l);
}

static void send(struct queue_lookup *l, const char *operation, const struct buf *body,
                 sqs_answered *answered)
{
    struct err e = {0};
    if (body->failed)
        end(l, EXIT_FAILED, "no memory");
    else if (sqs_ask(l->sqs, operation, body->data, TIMEOUT_MS, answered, l, &e) != 0)
        end(l, EXIT_CONFIG, e.text);
}

static void ask(struct queue_lookup *l)
{
    const char *url = sqs_queue_url(l->sqs);
    const char *known = url ? url : l->name;
    struct buf body;
    buf_init(&body);
    buf_str(&body, url ? "{\"QueueUrl\":" : "{\"QueueName\":");
    buf_json(&body, known, strlen(known));
    if (url)
        buf_str(&body, ",\"AttributeNames\":[\"VisibilityTimeout\"]");
    buf_char(&body, '}');
    if (url)
        send(l, "GetQueueAttributes", &body, attributes_answered);
    else
        send(l, "GetQueueUrl", &body, url_answered);
    buf_free(&body);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ask(w->data);
}

void queue_lookup_start(struct queue_lookup *l, struct ev_loop *loop, struct sqs *sqs,
                        const char *name, int64_t patience_ms)
{
    *l = (struct queue_lookup){
        .loop = loop, .sqs = sqs, .name = name, .give_up_ms = clock_boot_ms() + patience_ms};
    ev_timer_init(&l->again, on_again, 0., 0.);
    l->again.data = l;
    ask(l);
}

void queue_lookup_stop(struct queue_lookup *l)
{
    ev_timer_stop(l->loop, &l->again);
}
