#include "ops/queue_lookup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 1000, TIMEOUT_MS = 10000, GATE_MS = 10000 };

static void end(struct queue_lookup *l, int code, const char *text)
{
    l->ended = true;
    if (code != 0 && l->options.name)
        err_set(&l->error, code, "queue.name \"%s\": %s", l->options.name, text);
    else if (code != 0)
        err_set(&l->error, code, "%s", text);
}

static void no_dead_letters(struct queue_lookup *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void no_dead_letters(struct queue_lookup *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->facts.dead_letters_missing, sizeof l->facts.dead_letters_missing, format, args);
    va_end(args);
    end(l, 0, NULL);
}

/* ---- asking ------------------------------------------------------------------------------ */

static bool is_away(const struct queue_result *result)
{
    return result->status == QUEUE_UNREACHABLE || result->status == QUEUE_BUSY;
}

static void later(struct queue_lookup *l, const struct queue_result *result)
{
    int64_t held_back;
    if (log_gate_open(&l->gate, GATE_MS, &held_back))
        log_with(LOG_WARN, "the queue cannot be asked, trying again",
                 LF_TEXT("error", result->text));
    ev_now_update(l->loop);
    ev_timer_set(&l->again, AGAIN_MS / 1000.0, 0.);
    ev_timer_start(l->loop, &l->again);
}

static void failed(struct queue_lookup *l, const struct queue_result *result)
{
    if (!is_away(result))
        end(l, EXIT_CONFIG, result->text);
    else if (clock_boot_ms() >= l->give_up_ms)
        end(l, EXIT_UNREACHABLE, result->text);
    else
        later(l, result);
}

static void send(struct queue_lookup *l, const char *operation, const char *about,
                 const struct buf *body, sqs_answered *answered)
{
    struct err e = {0};
    struct sqs_question question = {
        .operation = operation, .body = body->data, .about = about, .timeout_ms = TIMEOUT_MS};
    if (body->failed)
        end(l, EXIT_FAILED, "no memory");
    else if (sqs_ask(l->sqs, &question, answered, l, &e) != 0)
        end(l, EXIT_CONFIG, e.text);
}

static void next(struct queue_lookup *l, void (*ask)(struct queue_lookup *))
{
    l->ask = ask;
    ask(l);
}

static const char *member(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

/* ---- the dead-letter queue --------------------------------------------------------------- */

static void set_dead_letter_url(struct queue_lookup *l, const char *url)
{
    struct err e = {0};
    if (strcmp(url, sqs_queue_url(l->sqs)) == 0)
        no_dead_letters(l, "%s is the queue itself: name another one", url);
    else if (sqs_set_dead_letter_url(l->sqs, url, &e) != 0)
        no_dead_letters(l, "%s", e.text);
    else
        end(l, 0, NULL);
}

static void dlq_name_answered(void *arg, const struct queue_result *result,
                              struct json_object *answer)
{
    struct queue_lookup *l = arg;
    const char *url = member(answer, "QueueUrl");
    if (is_away(result) && clock_boot_ms() < l->give_up_ms)
        later(l, result);
    else if (result->status != QUEUE_OK)
        no_dead_letters(l,
                        "the queue's redrive policy names \"%s\" of account %s: %s; name a queue "
                        "that exists and allow sqs:GetQueueUrl on it, or set queue.dlq_url",
                        l->dlq_name, l->dlq_account, result->text);
    else if (!url)
        no_dead_letters(l, "SQS GetQueueUrl: the answer has no QueueUrl");
    else
        set_dead_letter_url(l, url);
}

static void ask_dlq_name(struct queue_lookup *l)
{
    struct buf body;
    buf_init(&body);
    buf_str(&body, "{\"QueueName\":");
    buf_json(&body, l->dlq_name, strlen(l->dlq_name));
    if (l->dlq_account[0]) {
        buf_str(&body, ",\"QueueOwnerAWSAccountId\":");
        buf_json(&body, l->dlq_account, strlen(l->dlq_account));
    }
    buf_char(&body, '}');
    send(l, "GetQueueUrl", l->dlq_name, &body, dlq_name_answered);
    buf_free(&body);
}

static void dlq_url_answered(void *arg, const struct queue_result *result,
                             struct json_object *answer)
{
    struct queue_lookup *l = arg;
    (void)answer;
    if (is_away(result) && clock_boot_ms() < l->give_up_ms)
        later(l, result);
    else if (result->status == QUEUE_MISSING)
        no_dead_letters(l, "queue.dlq_url: %s", result->text);
    else /* whether it may be sent to is another permission: the first dead letter will tell */
        set_dead_letter_url(l, l->options.dlq_url);
}

static void ask_dlq_url(struct queue_lookup *l)
{
    struct buf body;
    buf_init(&body);
    buf_str(&body, "{\"QueueUrl\":");
    buf_json(&body, l->options.dlq_url, strlen(l->options.dlq_url));
    buf_str(&body, ",\"AttributeNames\":[\"QueueArn\"]}");
    send(l, "GetQueueAttributes", l->options.dlq_url, &body, dlq_url_answered);
    buf_free(&body);
}

/* arn:aws:sqs:REGION:ACCOUNT:NAME into name and account. A dead-letter queue is always in its
 * queue's region. False: it is no such ARN. */
static bool read_arn(struct queue_lookup *l, const char *arn)
{
    return sscanf(arn, "arn:%*[^:]:sqs:%*[^:]:%31[^:]:%95s", l->dlq_account, l->dlq_name) == 2;
}

/* The policy is JSON in a string. */
static void read_policy(struct queue_lookup *l, const char *policy)
{
    struct json_object *p = json_tokener_parse(policy);
    const char *arn = member(p, "deadLetterTargetArn"), *max = member(p, "maxReceiveCount");
    l->facts.max_receives = max ? atoi(max) : 0;
    snprintf(l->facts.moves_to, sizeof l->facts.moves_to, "%s", arn ? arn : "");
    l->policy_good = arn && l->facts.max_receives > 0 && read_arn(l, arn);
    if (!l->policy_good)
        log_with(LOG_WARN, "the queue's redrive policy names no SQS queue, or no maxReceiveCount",
                 LF_TEXT("policy", policy), LF_TEXT("queue", sqs_queue_url(l->sqs)));
    json_object_put(p);
}

static void find_dead_letters(struct queue_lookup *l)
{
    /* That there is none may be meant. That it cannot be read is not. */
    l->facts.wants_dead_letters = l->options.dlq_url || l->has_policy || !l->facts.known;
    if (!l->options.dead_letters)
        end(l, 0, NULL);
    else if (l->options.dlq_url)
        next(l, ask_dlq_url);
    else if (l->policy_good)
        next(l, ask_dlq_name);
    else
        no_dead_letters(l, !l->facts.known ? "the queue's redrive policy cannot be read: allow "
                                             "sqs:GetQueueAttributes on it, or set queue.dlq_url"
                           : l->has_policy ? "the queue's redrive policy cannot be used: correct "
                                             "it, or set queue.dlq_url"
                                           : "the queue has no redrive policy, and queue.dlq_url "
                                             "is not set");
}

/* ---- the queue --------------------------------------------------------------------------- */

static void attributes_answered(void *arg, const struct queue_result *result,
                                struct json_object *answer)
{
    struct queue_lookup *l = arg;
    struct json_object *a = NULL;
    /* Whether it may be received from is another permission: the first receive will tell. */
    if (result->status == QUEUE_MISSING || is_away(result)) {
        failed(l, result);
        return;
    }
    l->facts.known = result->status == QUEUE_OK;
    if (answer)
        json_object_object_get_ex(answer, "Attributes", &a);
    const char *retention = member(a, "MessageRetentionPeriod");
    const char *visibility = member(a, "VisibilityTimeout");
    const char *policy = member(a, "RedrivePolicy"), *fifo = member(a, "FifoQueue");
    const char *arn = member(a, "QueueArn");
    snprintf(l->facts.arn, sizeof l->facts.arn, "%s", arn ? arn : "");
    l->facts.fifo = sqs_is_fifo(l->sqs) || (fifo && strcmp(fifo, "true") == 0);
    l->facts.retention_ms = retention ? atoll(retention) * 1000 : 0;
    l->facts.visibility_s = visibility ? atoi(visibility) : -1;
    l->has_policy = policy && *policy;
    if (l->has_policy)
        read_policy(l, policy);
    find_dead_letters(l);
}

static void ask_attributes(struct queue_lookup *l)
{
    const char *url = sqs_queue_url(l->sqs);
    struct buf body;
    buf_init(&body);
    buf_str(&body, "{\"QueueUrl\":");
    buf_json(&body, url, strlen(url));
    /* All: by its name, FifoQueue is one that not every queue has. */
    buf_str(&body, ",\"AttributeNames\":[\"All\"]}");
    send(l, "GetQueueAttributes", url, &body, attributes_answered);
    buf_free(&body);
}

static void url_answered(void *arg, const struct queue_result *result, struct json_object *answer)
{
    struct queue_lookup *l = arg;
    const char *url = member(answer, "QueueUrl");
    struct err e = {0};
    if (result->status != QUEUE_OK)
        failed(l, result);
    else if (!url)
        end(l, EXIT_CONFIG, "SQS GetQueueUrl: the answer has no QueueUrl: is this SQS?");
    else if (sqs_set_queue_url(l->sqs, url, &e) != 0)
        end(l, e.code ? e.code : EXIT_CONFIG, e.text);
    else
        next(l, ask_attributes);
}

static void ask_url(struct queue_lookup *l)
{
    struct buf body;
    buf_init(&body);
    buf_str(&body, "{\"QueueName\":");
    buf_json(&body, l->options.name, strlen(l->options.name));
    buf_char(&body, '}');
    send(l, "GetQueueUrl", l->options.name, &body, url_answered);
    buf_free(&body);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct queue_lookup *l = w->data;
    l->ask(l);
}

void queue_lookup_start(struct queue_lookup *l, struct ev_loop *loop, struct sqs *sqs,
                        const struct queue_lookup_options *options)
{
    *l = (struct queue_lookup){.options = *options,
                               .loop = loop,
                               .sqs = sqs,
                               .give_up_ms = clock_boot_ms() + options->patience_ms};
    ev_timer_init(&l->again, on_again, 0., 0.);
    l->again.data = l;
    next(l, sqs_queue_url(sqs) ? ask_attributes : ask_url);
}

void queue_lookup_stop(struct queue_lookup *l)
{
    ev_timer_stop(l->loop, &l->again);
}
