#include "policy/envelope.h"

#include "policy/body_json.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char s3_words[] =
    "the body is a pointer to S3, as SQS's extended client sends it for large events: unsupported, "
    "this host reads nothing from S3. Send the event itself (SQS takes 1 MiB), or what is needed "
    "to fetch it. The object is untouched";

static const char sns_hint[] =
    "with raw message delivery the body is the event itself: queue.envelope = \"none\", or "
    "\"auto\" if both come";

static const char eventbridge_hint[] =
    "an input path or transformer of the rule changes what arrives: then queue.envelope = "
    "\"none\", or \"auto\" if both come";

/* ---- text ---------------------------------------------------------------------------------- */

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static bool is_s3_pointer(const char *body)
{
    static const char *const names[] = {"\"software.amazon.payloadoffloading.PayloadS3Pointer\"",
                                        "\"com.amazon.sqs.javamessaging.MessageS3Pointer\""};
    body = skip_space(body);
    if (*body != '[')
        return false;
    body = skip_space(body + 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(body, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* In text that has been parsed: what is expected is there. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

/* To the comma or bracket behind a member's value. */
static const char *skip_value(const char *p)
{
    for (int depth = 0; *p && (depth > 0 || (*p != ',' && *p != '}'));) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    }
    return p;
}

/* The text of an object's member, the last of that name, as the parser has it. Written anew from
 * the parsed value it would be another text: integers beyond 64 bits would not survive that. */
static const char *member_text(const char *object, const char *name, size_t *len)
{
    const char *found = NULL, *p = skip_space(object) + 1;
    size_t name_len = strlen(name);
    for (;;) {
        const char *key = skip_space(p);
        if (*key != '"')
            return found;
        const char *value = skip_space(skip_string(key));
        value = skip_space(value + 1); /* the colon */
        p = skip_value(value);
        if (strncmp(key + 1, name, name_len) == 0 && key[name_len + 1] == '"') {
            found = value;
            *len = (size_t)(p - value);
        }
        if (*p != ',')
            return found;
        p++;
    }
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static struct json_object *member(struct json_object *o, const char *name, enum json_type type)
{
    struct json_object *v;
    return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, type) ? v : NULL;
}

static const char *text(struct json_object *o, const char *name)
{
    return json_object_get_string(member(o, name, json_type_string));
}

static int refuse(struct envelope *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int refuse(struct envelope *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vasprintf(&e->refused, format, args);
    va_end(args);
    if (n < 0)
        e->refused = NULL;
    return n < 0 ? -1 : 0;
}

static int refuse_sns(struct envelope *e, const char *why)
{
    return refuse(e, "the body is no SNS notification: %s (%s)", why, sns_hint);
}

static int refuse_eventbridge(struct envelope *e, const char *why)
{
    return refuse(e, "the body is no event of EventBridge: %s (%s)", why, eventbridge_hint);
}

/* Type of what SNS sends, or NULL: it is not SNS's. */
static const char *sns_type(struct json_object *o)
{
    static const char *const types[] = {"Notification", "SubscriptionConfirmation",
                                        "UnsubscribeConfirmation"};
    const char *type = text(o, "Type");
    if (type && text(o, "TopicArn"))
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (strcmp(type, types[i]) == 0)
                return types[i];
    return NULL;
}

static int open_sns(struct json_object *o, struct envelope *e)
{
    const char *type = sns_type(o);
    if (!type)
        return refuse_sns(e, "it lacks a TopicArn, or the Type Notification");
    if (strcmp(type, "Notification") != 0)
        return refuse(e,
                      "the body is SNS's %s for %s, not an event: open its SubscribeURL if the "
                      "subscription is wanted",
                      type, text(o, "TopicArn"));
    struct json_object *event = member(o, "Message", json_type_string);
    if (!event)
        return refuse_sns(e, "it has no text named Message");
    e->kind = ENVELOPE_IS_SNS;
    e->event = json_object_get_string(event);
    e->event_len = (size_t)json_object_get_string_len(event);
    return is_s3_pointer(e->event) ? refuse(e, "%s", s3_words) : 0;
}

static bool is_eventbridge(struct json_object *o)
{
    return text(o, "detail-type") && text(o, "source") && member(o, "detail", json_type_object);
}

static int open_eventbridge(struct json_object *o, const char *body, struct envelope *e)
{
    static const char *const needed[] = {"detail-type", "source"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!text(o, needed[i])) {
            char why[64];
            snprintf(why, sizeof why, "it has no text named %s", needed[i]);
            return refuse_eventbridge(e, why);
        }
    if (member(o, "detail", json_type_object))
        e->event = member_text(body, "detail", &e->event_len);
    if (!e->event)
        return refuse_eventbridge(e, "it has no object named detail");
    e->kind = ENVELOPE_IS_EVENTBRIDGE;
    return 0;
}

static int open_any(unsigned unwrap, const char *body, size_t len, struct envelope *e)
{
    const char *why;
    e->outer = body_json(body, len, &why);
    if (!e->outer && !why)
        return -1;
    if (!json_object_is_type(e->outer, json_type_object)) {
        json_object_put(e->outer);
        e->outer = NULL;
    }
    if (e->outer && unwrap & UNWRAP_SNS && (!(unwrap & UNWRAP_ELSE_BARE) || sns_type(e->outer)))
        return open_sns(e->outer, e);
    if (e->outer && unwrap & UNWRAP_EVENTBRIDGE &&
        (!(unwrap & UNWRAP_ELSE_BARE) || is_eventbridge(e->outer)))
        return open_eventbridge(e->outer, body, e);
    if (unwrap & UNWRAP_ELSE_BARE)
        return 0;
    why = "it is no JSON object";
    return unwrap & UNWRAP_SNS ? refuse_sns(e, why) : refuse_eventbridge(e, why);
}

int envelope_open(unsigned unwrap, const char *body, size_t len, struct envelope *out)
{
    *out = (struct envelope){.kind = ENVELOPE_ABSENT};
    int rc = 0;
    if (is_s3_pointer(body))
        rc = refuse(out, "%s", s3_words);
    else if (unwrap)
        rc = open_any(unwrap, body, len, out);
    if (rc == 0 && out->refused)
        out->kind = ENVELOPE_ABSENT;
    if (rc == 0 && out->kind != ENVELOPE_ABSENT)
        return 0;
    json_object_put(out->outer);
    out->outer = NULL;
    out->event = body;
    out->event_len = len;
    return rc;
}

void envelope_close(struct envelope *e)
{
    json_object_put(e->outer);
    free(e->refused);
    *e = (struct envelope){.kind = ENVELOPE_ABSENT};
}

const char *envelope_name(enum envelope_kind kind)
{
    static const char *const names[] = {[ENVELOPE_ABSENT] = NULL,
                                        [ENVELOPE_IS_SNS] = "sns",
                                        [ENVELOPE_IS_EVENTBRIDGE] = "eventbridge"};
    return names[kind];
}
