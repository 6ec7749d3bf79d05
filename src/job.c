#include "job.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char *string_member(struct json_object *o, const char *name)
{
    struct json_object *v;
    if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
        return NULL;
    return json_object_get_string(v);
}

static struct json_object *object_member(struct json_object *o, const char *name)
{
    struct json_object *v;
    if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_object))
        return NULL;
    return v;
}

static int64_t number_member(struct json_object *o, const char *name)
{
    const char *text = string_member(o, name); /* attribute maps are string to string */
    return text ? strtoll(text, NULL, 10) : 0;
}

struct job *job_new(struct json_object *message)
{
    struct json_object *body;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        goto fail;
    list_init(&job->node);
    job->id = string_member(message, "MessageId");
    job->handle = string_member(message, "ReceiptHandle");
    if (!job->id || !job->handle || !json_object_object_get_ex(message, "Body", &body) ||
        !json_object_is_type(body, json_type_string))
        goto fail;
    job->message = message;
    job->body = job->whole = json_object_get_string(body);
    job->body_len = job->whole_len = (size_t)json_object_get_string_len(body);
    job->attributes = object_member(message, "MessageAttributes");
    job->system = object_member(message, "Attributes");
    job->receive_count = 1;
    if (job->system) {
        job->group = string_member(job->system, "MessageGroupId");
        job->deduplication_id = string_member(job->system, "MessageDeduplicationId");
        job->sent_at_ms = number_member(job->system, "SentTimestamp");
        int64_t count = number_member(job->system, "ApproximateReceiveCount");
        job->receive_count = count > 0 && count < 1000000 ? (int)count : 1;
    }
    job->attempt = job->receive_count;
    job_reset(job);
    return job;
fail:
    free(job);
    json_object_put(message);
    return NULL;
}

int job_unwrap(struct job *job, unsigned unwrap)
{
    if (envelope_open(unwrap, job->whole, job->whole_len, &job->envelope) != 0)
        return -1;
    job->body = job->envelope.event;
    job->body_len = job->envelope.event_len;
    return 0;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    envelope_close(&job->envelope);
    free(job->reason);
    free(job->detail);
    free(job->source);
    free(job->calls);
    json_object_put(job->message);
    free(job);
}

static const char *attribute(const struct job *job, const char *name)
{
    struct json_object *a = job->attributes ? object_member(job->attributes, name) : NULL;
    if (a)
        return string_member(a, "StringValue");
    struct json_object *theirs =
        job->envelope.outer ? object_member(job->envelope.outer, "MessageAttributes") : NULL;
    a = theirs ? object_member(theirs, name) : NULL;
    return a ? string_member(a, "Value") : NULL;
}

void job_trace(const struct job *job, char out[TRACE_BYTES])
{
    const char *parent = attribute(job, "traceparent"), *xray;
    out[0] = '\0';
    if (parent && trace_of_parent(parent, out))
        return;
    xray = job->system ? string_member(job->system, "AWSTraceHeader") : NULL;
    if (xray)
        trace_of_xray(xray, out);
}

const char *job_tracestate(const struct job *job)
{
    char parent[TRACE_BYTES];
    const char *given = attribute(job, "traceparent"), *state = attribute(job, "tracestate");
    bool good = given && state && trace_of_parent(given, parent) && trace_is_state(state);
    return good ? state : NULL; /* it means nothing beside another parent */
}

struct target_call *job_add_call(struct job *job)
{
    if (job->call_count == CALLS_MAX)
        return NULL;
    if (job->call_count == job->call_room) {
        int room = job->call_room ? job->call_room * 2 : 4;
        struct target_call *calls = realloc(job->calls, (size_t)room * sizeof *calls);
        if (!calls)
            return NULL;
        job->calls = calls;
        job->call_room = room;
    }
    struct target_call *call = &job->calls[job->call_count++];
    memset(call, 0, sizeof *call);
    call->retry_after_ms = -1;
    return call;
}

void job_reset(struct job *job)
{
    free(job->reason);
    free(job->detail);
    free(job->source);
    job->reason = job->detail = job->source = NULL;
    job->outcome = OUTCOME_NONE;
    job->ran = job->target_failed = job->after_least = false;
    job->after_ms = -1;
    job->started_us = job->duration_us = 0;
    job->kind[0] = job->at[0] = job->target[0] = '\0';
    job->call_count = 0;
    job->probes = NULL;
    job->probe_answered = false;
    atomic_store(&job->lease_lost, false);
    atomic_store(&job->fence, false);
    atomic_store(&job->at_work, false);
    atomic_store(&job->wire_until_ms, WIRE_NEVER);
}
