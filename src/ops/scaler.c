#include "ops/scaler.h"

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "flow/flow.h"
#include "pool/pool.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_TIMEOUT_MS = 5000 };

/* ---- how much waits ----------------------------------------------------------------------- */

/* SQS says numbers as strings. Anything else, or none at all, is unknown. */
static int64_t number(struct json_object *attributes, const char *name)
{
    struct json_object *v;
    if (!attributes || !json_object_object_get_ex(attributes, name, &v))
        return SCALE_UNKNOWN;
    const char *text = json_object_get_string(v);
    char *end;
    long long n = strtoll(text ? text : "", &end, 10);
    return text && end != text && *end == '\0' && n >= 0 ? n : SCALE_UNKNOWN;
}

static void answered(void *arg, const struct queue_result *result, struct json_object *answer)
{
    struct scaler *s = arg;
    struct json_object *a = NULL;
    s->asking = false;
    s->depth = SCALE_UNKNOWN;
    if (result->status != QUEUE_OK) {
        bool denied = result->status == QUEUE_DENIED;
        if (denied && !s->refused)
            log_with(LOG_WARN,
                     "the queue does not say how much waits (sqs:GetQueueAttributes): the number "
                     "of workers follows what receives bring",
                     LF_TEXT("error", result->text));
        s->refused |= denied;
        return;
    }
    if (answer)
        json_object_object_get_ex(answer, "Attributes", &a);
    int64_t visible = number(a, "ApproximateNumberOfMessages");
    int64_t hidden = number(a, "ApproximateNumberOfMessagesNotVisible");
    s->visible = visible;
    s->hidden = hidden;
    if (visible >= 0 && hidden >= 0 && visible <= INT64_MAX - hidden)
        s->depth = visible + hidden;
}

static void ask_depth(struct scaler *s)
{
    struct err e = {0};
    struct buf body;
    const char *url = sqs_queue_url(s->sqs);
    if (s->asking || s->refused)
        return;
    buf_init(&body);
    buf_str(&body, "{\"QueueUrl\":");
    buf_json(&body, url, strlen(url));
    buf_str(&body, ",\"AttributeNames\":[\"ApproximateNumberOfMessages\","
                   "\"ApproximateNumberOfMessagesNotVisible\"]}");
    struct sqs_question q = {
        .operation = "GetQueueAttributes", .body = body.data, .timeout_ms = ASK_TIMEOUT_MS};
    s->asking = !body.failed && sqs_ask(s->sqs, &q, answered, s, &e) == 0;
    buf_free(&body);
}

/* ---- deciding ------------------------------------------------------------------------------- */

/* Of the busiest worker since the last look, 0 to 1. */
static double worker_cpu(struct scaler *s)
{
    int64_t now_us = clock_mono_us(), passed_us = now_us - s->cpu_looked_us, most_us = 0;
    for (int i = 0; i < s->most; i++) {
        int64_t cpu_us = pool_cpu_us(s->pool, i), used_us = cpu_us - s->cpu_us[i];
        if (used_us > most_us && s->cpu_us[i] > 0)
            most_us = used_us;
        s->cpu_us[i] = cpu_us;
    }
    s->cpu_looked_us = now_us;
    return passed_us > 0 ? (double)most_us / (double)passed_us : 0;
}

static void want(struct scaler *s, int workers)
{
    if (workers == s->wanted)
        return;
    log_with(LOG_INFO, workers > s->wanted ? "more workers" : "fewer workers",
             LF_INT("workers", workers), LF_INT("before", s->wanted),
             s->depth >= 0 ? LF_INT("depth", s->depth) : LF_TEXT("depth", NULL));
    s->wanted = workers;
    if (workers > pool_usable(s->pool))
        pool_want(s->pool, workers);
}

static void look(struct scaler *s)
{
    struct flow_load l;
    flow_look_at_load(s->flow, &l);
    bool idle = l.in_hand == 0 && l.received == s->received && s->depth <= 0;
    struct scale_sample x = {.now_ms = clock_boot_ms(),
                             .depth = idle && !s->refused ? 0 : s->depth,
                             .completed = l.completed - s->completed,
                             .unloaded_s = l.unloaded_s,
                             .permits = l.permits,
                             .slots_full = l.slots_full,
                             .worker_cpu = worker_cpu(s),
                             .receives_full = l.receives_full,
                             .frozen = l.held};
    s->completed = l.completed;
    s->received = l.received;
    want(s, scale_next(&s->policy, &x));
    if (!idle)
        ask_depth(s);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
    struct scaler *s = t->data;
    (void)loop;
    (void)events;
    look(s);
}

/* The flow first hears of those that are ready, and of those that are to go; these go when they
 * have nothing to do. */
void scaler_turn(struct scaler *s)
{
    if (!s->pool)
        return;
    int usable = pool_usable(s->pool), active = usable < s->wanted ? usable : s->wanted;
    if (active != s->usable && active > 0) {
        s->usable = active;
        flow_set_workers(s->flow, active);
    }
    if (usable <= s->wanted)
        return;
    for (int i = s->wanted; i < s->most; i++)
        if (flow_worker_running(s->flow, i) > 0)
            return;
    pool_want(s->pool, s->wanted);
}

int scaler_set(struct scaler *s, int min, int max, struct err *e)
{
    if (!s->pool)
        return err_set(e, 0, "the host is still starting");
    if (max > s->most)
        return err_set(e, 0,
                       "at most %d workers: workers.max is set to that, and more need a restart",
                       s->most);
    scale_set(&s->policy, min, max);
    int now = s->wanted < min ? min : s->wanted > max ? max : s->wanted;
    s->policy.workers = now;
    log_with(LOG_INFO, "the number of workers was set", LF_INT("min", min), LF_INT("max", max));
    want(s, now);
    return 0;
}

int scaler_start(struct scaler *s, struct ev_loop *loop, const struct conf *c, struct pool *pool,
                 struct flow *flow, struct sqs *sqs, struct err *e)
{
    struct scale_options o = {.min = c->workers.min,
                              .max = c->workers.max,
                              .slots = c->slots,
                              .drain_target_s = c->scale.drain_target};
    s->cpu_us = calloc((size_t)c->workers.max, sizeof *s->cpu_us);
    if (!s->cpu_us)
        return err_set(e, 0, "no memory");
    s->loop = loop;
    s->pool = pool;
    s->flow = flow;
    s->sqs = sqs;
    s->most = c->workers.max;
    s->wanted = c->workers.min;
    s->depth = s->visible = s->hidden = SCALE_UNKNOWN;
    scale_init(&s->policy, &o, s->wanted);
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    s->timer.repeat = c->scale.interval;
    ev_timer_again(loop, &s->timer);
    scaler_turn(s);
    return 0;
}

void scaler_stop(struct scaler *s)
{
    if (s->pool)
        ev_timer_stop(s->loop, &s->timer);
    s->pool = NULL;
    free(s->cpu_us);
    s->cpu_us = NULL;
}
