#include "aws/sqs_request.h"

#include <stdio.h>
#include <string.h>

static void add_number(struct buf *b, const char *name, int number)
{
    char text[64];
    int len = snprintf(text, sizeof text, ",\"%s\":%d", name, number);
    buf_add(b, text, (size_t)len);
}

void sqs_write_receive(struct buf *body, const struct buf *queue_json,
                       const struct queue_receive *r)
{
    /* AttributeNames is the older name of MessageSystemAttributeNames; old servers know only
     * that one. */
    static const char wanted[] = ",\"MessageAttributeNames\":[\"All\"],"
                                 "\"MessageSystemAttributeNames\":[\"All\"],"
                                 "\"AttributeNames\":[\"All\"]}";
    buf_add(body, queue_json->data, queue_json->len);
    add_number(body, "MaxNumberOfMessages", r->max);
    add_number(body, "WaitTimeSeconds", r->wait_s);
    add_number(body, "VisibilityTimeout", r->visibility_s);
    if (*r->attempt) {
        buf_str(body, ",\"ReceiveRequestAttemptId\":");
        buf_json(body, r->attempt, strlen(r->attempt));
    }
    buf_add(body, wanted, sizeof wanted - 1);
}

/* Ids are positions: a message may be held twice, and a repeated Id refuses the whole batch. */
static void add_entries(struct buf *body, const struct queue_batch *b)
{
    for (int i = 0; i < b->count; i++) {
        const struct queue_entry *e = &b->entries[i];
        char id[] = "{\"Id\":\"0\",\"ReceiptHandle\":";
        id[7] = (char)('0' + i);
        if (i > 0)
            buf_char(body, ',');
        buf_add(body, id, sizeof id - 1);
        buf_json(body, e->handle, strlen(e->handle));
        if (b->op == QUEUE_CHANGE)
            add_number(body, "VisibilityTimeout", e->visibility_s);
        buf_char(body, '}');
    }
}

void sqs_write_batch(struct buf *body, const struct buf *queue_json, const struct queue_batch *b)
{
    buf_add(body, queue_json->data, queue_json->len);
    buf_str(body, ",\"Entries\":[");
    add_entries(body, b);
    buf_str(body, "]}");
}
