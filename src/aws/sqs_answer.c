#include "aws/sqs_answer.h"

#include "aws/answer.h"
#include "base/clock.h"
#include "base/log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static struct json_object *list_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_array)
               ? v
               : NULL;
}

static size_t length_of(const struct json_object *list)
{
    return list ? json_object_array_length(list) : 0;
}

/* ---- the whole ---- */

static void no_answer(const struct fetch_response *r, const struct sqs_context *c,
                      struct queue_result *result)
{
    bool too_big = r->result == FETCH_TOO_BIG;
    result->status = too_big ? QUEUE_FAULT : QUEUE_UNREACHABLE;
    snprintf(result->text, sizeof result->text, "SQS %s %.160s%s%s: %.250s: %s", c->operation,
             c->where, c->server ? " at " : "", c->server ? c->server : "", r->error,
             too_big ? "lower queue.batch" : "check queue.endpoint and the network");
}

struct json_object *sqs_read_answer(const struct fetch_response *r, const struct sqs_context *c,
                                    struct queue_result *result)
{
    bool lost = r->result == FETCH_OK ? r->status >= 500 : r->sent;
    *result = (struct queue_result){.status = QUEUE_OK,
                                    .http_status = r->status,
                                    .unheard = lost || r->repeated,
                                    .retry_after_ms = -1};
    if (r->result != FETCH_OK) {
        no_answer(r, c, result);
        return NULL;
    }
    struct json_object *body = aws_parse(r->body, r->body_len);
    if (r->status >= 200 && r->status < 300) {
        if (body || r->body_len == 0)
            return body;
        /* As if it had been cut: what was asked may have happened. */
        result->status = QUEUE_UNREACHABLE;
        result->unheard = true;
        snprintf(result->text, sizeof result->text,
                 "SQS %s %.160s: the answer is no whole JSON object (%zu bytes): is this an SQS "
                 "endpoint?",
                 c->operation, c->where, r->body_len);
        return NULL;
    }
    sqs_read_error(r, body, c, result);
    json_object_put(body);
    return NULL;
}

/* ---- messages ---- */

/* Takes `m` over. NULL: no memory, or it is no message. */
static struct job *read_message(struct json_object *m, unsigned unwrap)
{
    if (!json_object_is_type(m, json_type_object)) {
        json_object_put(m);
        return NULL;
    }
    struct job *job = job_new(m);
    if (job && job_unwrap(job, unwrap) != 0) {
        job_free(job);
        return NULL;
    }
    return job;
}

void sqs_read_messages(struct json_object *answer, unsigned unwrap, bool in_order,
                       struct list *jobs)
{
    struct json_object *messages = list_of(answer, "Messages");
    int64_t now_us = clock_mono_us();
    int left_out = 0;
    for (size_t i = 0, n = length_of(messages); i < n && !(in_order && left_out > 0); i++) {
        struct json_object *m = json_object_get(json_object_array_get_idx(messages, i));
        json_object_array_put_idx(messages, i, NULL); /* the answer's hold on it */
        struct job *job = read_message(m, unwrap);
        if (!job) {
            left_out++;
            continue;
        }
        job->received_us = now_us;
        list_append(jobs, &job->node);
    }
    if (left_out > 0)
        log_error("SQS sent %d messages without MessageId, ReceiptHandle or Body, or there is no "
                  "memory for them: left to their visibility timeout%s",
                  left_out, in_order ? ", as are those behind them" : "");
}

/* ---- batches ---- */

static struct sqs_entry *entry_of(struct json_object *item, int count, struct sqs_entry *entries)
{
    const char *id = aws_string(item, "Id");
    if (!id || id[0] < '0' || id[0] > '9' || id[1] || id[0] - '0' >= count)
        return NULL;
    return &entries[id[0] - '0'];
}

static void read_failed(struct json_object *item, struct sqs_entry *e)
{
    struct json_object *fault;
    const char *code = aws_string(item, "Code"), *text = aws_string(item, "Message");
    bool sender =
        json_object_object_get_ex(item, "SenderFault", &fault) && json_object_get_boolean(fault);
    *e = (struct sqs_entry){
        .sender_fault = sender, .code = code ? code : "", .text = text ? text : ""};
}

void sqs_read_entries(struct json_object *answer, int count, struct sqs_entry *entries)
{
    for (int i = 0; i < count; i++)
        entries[i] =
            (struct sqs_entry){.code = "Missing", .text = "the answer does not name this entry"};
    struct json_object *list = list_of(answer, "Successful");
    for (size_t i = 0, n = length_of(list); i < n; i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        struct sqs_entry *e = entry_of(item, count, entries);
        if (e)
            *e = (struct sqs_entry){.ok = true, .code = "", .text = ""};
    }
    list = list_of(answer, "Failed");
    for (size_t i = 0, n = length_of(list); i < n; i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        struct sqs_entry *e = entry_of(item, count, entries);
        if (e)
            read_failed(item, e);
    }
}
