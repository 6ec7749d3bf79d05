#include "ops/queue_lookup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"

#include <json-c/json.h>
#include <string.h>

enum { AGAIN_MS = 1000, TIMEOUT_MS = 10000 };

static void end(struct queue_lookup *l, int code, const char *text)
{
    l->ended = true;
    if (code != 0)
        err_set(&l->error, code, "queue.name \"%s\": %s", l->name, text);
}

static void later(struct queue_lookup *l)
{
    ev_now_update(l->loop);
    ev_timer_set(&l->again, AGAIN_MS / 1000.0, 0.);
    ev_timer_start(l->loop, &l->again);
}

static void failed(struct queue_lookup *l, const struct queue_result *result)
{
    if (result->status == QUEUE_MISSING || result->status == QUEUE_DENIED ||
        result->status == QUEUE_FAULT) {
        end(l, EXIT_CONFIG, result->text);
    } else if (clock_boot_ms() >= l->give_up_ms) {
        end(l, EXIT_UNREACHABLE, result->text);
    } else {
        log_with(LOG_WARN, "the queue's URL could not be looked up, trying again",
                 LF_TEXT("queue", l->name), LF_TEXT("error", result->text));
        later(l);
    }
}

static void answered(void *arg, const struct queue_result *result, struct json_object *answer)
{
    struct queue_lookup *l = arg;
    struct json_object *url;
    if (result->status != QUEUE_OK) {
        failed(l, result);
    } else if (!answer || !json_object_object_get_ex(answer, "QueueUrl", &url)) {
        end(l, EXIT_CONFIG, "SQS GetQueueUrl: the answer has no QueueUrl: is this SQS?");
    } else {
        l->error.code = 0;
        if (sqs_set_queue_url(l->sqs, json_object_get_string(url), &l->error) != 0 &&
            l->error.code == 0)
            l->error.code = EXIT_CONFIG;
        l->ended = true;
    }
}

static void ask(struct queue_lookup *l)
{
    struct buf body;
    struct err e = {0};
    buf_init(&body);
    buf_str(&body, "{\"QueueName\":");
    buf_json(&body, l->name, strlen(l->name));
    buf_char(&body, '}');
    if (sqs_ask(l->sqs, "GetQueueUrl", body.data, TIMEOUT_MS, answered, l, &e) != 0) {
        end(l, EXIT_CONFIG, e.text);
    }
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
