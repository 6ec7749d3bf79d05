#include "aws/sqs_copy.h"

#include "aws/answer.h"
#include "aws/sqs_endpoint.h"
#include "base/clock.h"

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { SHORT_REASON_BYTES = 300 };

enum detail { FULL, NO_DETAIL, SHORT, DETAIL_COUNT };

static void key(struct buf *b, const char *name)
{
    if (b->len > 0 && b->data[b->len - 1] != '{')
        buf_char(b, ',');
    buf_json(b, name, strlen(name));
    buf_char(b, ':');
}

static void add_text(struct buf *b, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    key(b, name);
    buf_json(b, text, strlen(text));
}

static void add_number(struct buf *b, const char *name, int64_t number)
{
    key(b, name);
    buf_printf(b, "%lld", (long long)number);
}

static void add_time(struct buf *b, const char *name, int64_t wall_ms)
{
    char text[25];
    clock_format(wall_ms, text);
    add_text(b, name, text);
}

/* ---- host.failure ----------------------------------------------------------------------- */

/* U+FFFE and U+FFFF, which SQS takes in no text, become "???". */
static void replace_nonchars(struct buf *b)
{
    for (char *p = b->data; (p = strstr(p, "\xef\xbf")) != NULL; p += 2)
        if ((unsigned char)p[2] >= 0xbe)
            memset(p, '?', 3);
}

static void add_verdict(struct buf *b, const struct job *job, enum detail detail)
{
    const char *reason = job->reason ? job->reason : "";
    size_t len = strlen(reason);
    key(b, "reason");
    buf_json(b, reason, detail == SHORT && len > SHORT_REASON_BYTES ? SHORT_REASON_BYTES : len);
    add_text(b, "kind", job->kind);
    add_text(b, "at", job->at);
    add_text(b, "detail", detail == FULL ? job->detail : NULL);
    add_number(b, "generation", job->generation);
}

static void write_failure(struct buf *b, const struct queue_copy *copy, enum detail detail)
{
    const struct job *job = copy->job;
    buf_clear(b);
    buf_char(b, '{');
    add_text(b, "outcome", copy->exhausted ? "exhausted" : "rejected");
    if (copy->stuck) {
        add_text(b, "reason", copy->stuck);
        add_text(b, "kind", "stuck");
    } else {
        add_verdict(b, job, detail);
    }
    add_number(b, "attempts", job->attempt);
    add_number(b, "receives", job->receive_count);
    add_time(b, "time", copy->wall_ms);
    if (job->sent_at_ms > 0)
        add_time(b, "sent_at", job->sent_at_ms);
    add_text(b, "message_id", job->id);
    add_text(b, "deduplication_id", aws_string(job->system, "MessageDeduplicationId"));
    buf_char(b, '}');
    replace_nonchars(b);
}

/* ---- the sender's part ---------------------------------------------------------------- */

struct tally {
    int count;
    size_t bytes; /* as SQS counts them: names, types and values of attributes, and the body */
};

/* Of base64: every four characters stand for three bytes, less the padding. */
static size_t decoded_bytes(const char *base64)
{
    size_t len = strlen(base64), padding = 0;
    while (padding < 2 && len > padding && base64[len - 1 - padding] == '=')
        padding++;
    return len / 4 * 3 - (len >= 4 ? padding : 0);
}

static void add_attribute(struct buf *b, const char *name, struct json_object *value,
                          struct tally *sum)
{
    const char *type = aws_string(value, "DataType");
    const char *text = aws_string(value, "StringValue"), *binary = aws_string(value, "BinaryValue");
    if (!type || (!text && !binary))
        return;
    key(b, name);
    buf_char(b, '{');
    add_text(b, "DataType", type);
    key(b, text ? "StringValue" : "BinaryValue");
    buf_json(b, text ? text : binary, strlen(text ? text : binary));
    buf_char(b, '}');
    sum->count++;
    sum->bytes += strlen(name) + strlen(type) + (text ? strlen(text) : decoded_bytes(binary));
}

static void add_attributes(struct buf *b, const struct job *job, struct tally *sum)
{
    if (!job->attributes)
        return;
    json_object_object_foreach(job->attributes, name, value)
    {
        if (strcmp(name, SQS_FAILURE_ATTRIBUTE) != 0)
            add_attribute(b, name, value, sum);
    }
}

/* The fullest that there is room for; none if there is room for none. */
static void add_failure(struct buf *b, const struct queue_copy *copy, const struct tally *sum)
{
    struct buf failure;
    size_t own = strlen(SQS_FAILURE_ATTRIBUTE) + strlen("String");
    if (copy->bare || sum->count >= SQS_ATTRIBUTES_MAX)
        return;
    buf_init(&failure);
    for (int detail = FULL; detail < DETAIL_COUNT; detail++) {
        write_failure(&failure, copy, detail);
        if (failure.failed || sum->bytes + own + failure.len > SQS_MESSAGE_MAX_BYTES)
            continue;
        key(b, SQS_FAILURE_ATTRIBUTE);
        buf_str(b, "{\"DataType\":\"String\",\"StringValue\":");
        buf_json(b, failure.data, failure.len);
        buf_char(b, '}');
        break;
    }
    b->failed |= failure.failed;
    buf_free(&failure);
}

static void add_trace(struct buf *b, const struct job *job)
{
    const char *trace = aws_string(job->system, "AWSTraceHeader");
    if (!trace || !*trace)
        return;
    buf_str(b, ",\"MessageSystemAttributes\":{\"AWSTraceHeader\":{\"DataType\":\"String\","
               "\"StringValue\":");
    buf_json(b, trace, strlen(trace));
    buf_str(b, "}}");
}

void sqs_copy_write(struct buf *body, const char *queue_url, const struct queue_copy *copy)
{
    const struct job *job = copy->job;
    struct tally sum = {.bytes = job->whole_len};
    buf_char(body, '{');
    add_text(body, "QueueUrl", queue_url);
    key(body, "MessageBody");
    buf_json(body, job->whole, job->whole_len);
    buf_str(body, ",\"MessageAttributes\":{");
    add_attributes(body, job, &sum);
    add_failure(body, copy, &sum);
    buf_char(body, '}');
    add_trace(body, job);
    if (sqs_names_fifo(queue_url)) {
        add_text(body, "MessageGroupId", job->group ? job->group : job->id);
        add_text(body, "MessageDeduplicationId", job->id);
    }
    buf_char(body, '}');
}

bool sqs_copy_confirmed(struct json_object *answer, const struct job *job)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned int len = 0;
    const char *id = aws_string(answer, "MessageId"),
               *theirs = aws_string(answer, "MD5OfMessageBody");
    if (!id || !*id)
        return false;
    if (!theirs || EVP_Digest(job->whole, job->whole_len, digest, &len, EVP_md5(), NULL) != 1)
        return true;
    for (unsigned int i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return strcmp(hex, theirs) == 0;
}
