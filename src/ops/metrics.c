#include "ops/metrics.h"

#include "base/log.h"
#include "base/metric_text.h"
#include "base/version.h"
#include "conf/conf.h"
#include "flow/flow.h"
#include "net/fetch.h"
#include "ops/process_stats.h"
#include "ops/reload.h"
#include "ops/running.h"
#include "ops/scaler.h"
#include "pool/pool.h"

#include <string.h>

enum { ENTRIES_MAX = 60 };

#define PREFIX "luahost_"

struct metric *metrics_entries_failed(const struct running *r, struct err *e)
{
    static const struct metric_desc desc = {
        .name = PREFIX "settle_entries_failed_total",
        .help = "Entries of batch calls that SQS did not carry out; most are tried again.",
        .type = METRIC_COUNTER,
        .labels = {"op", "code"},
        .series_max = ENTRIES_MAX};
    return metrics_open(r->metrics, WRITER_CORE, &desc, e);
}

/* ---- small words ---- */

static void one(struct buf *out, const char *name, enum metric_type type, const char *help,
                double value)
{
    metric_text_head(out, name, type, help);
    metric_text_value(out, name, NULL, value);
}

struct part {
    const char *label; /* as it is printed */
    int64_t value;
};

static void parts(struct buf *out, const char *name, enum metric_type type, const char *help,
                  const struct part *part, int count)
{
    metric_text_head(out, name, type, help);
    for (int i = 0; i < count; i++)
        metric_text_value(out, name, part[i].label, (double)part[i].value);
}

#define PARTS(out, name, type, help, ...)                                                          \
    parts(out, name, type, help, (const struct part[]){__VA_ARGS__},                               \
          (int)(sizeof((const struct part[]){__VA_ARGS__}) / sizeof(struct part)))

/* ---- what the flow counts ---- */

static void write_counts(struct buf *out, const struct flow_counts *c)
{
    one(out, PREFIX "messages_received_total", METRIC_COUNTER,
        "Messages that receives brought, repeated deliveries included.", (double)c->received);
    PARTS(out, PREFIX "messages_settled_total", METRIC_COUNTER,
          "Messages of which SQS has confirmed what became of them.",
          {"outcome=\"ack\"", c->acked - c->deleted_unrun},
          {"outcome=\"duplicate\"", c->deleted_unrun}, {"outcome=\"retry\"", c->retried},
          {"outcome=\"reject\"", c->rejected}, {"outcome=\"release\"", c->released});
    PARTS(out, PREFIX "duplicates_total", METRIC_COUNTER,
          "Deliveries that were not run: of a message in hand, or acked before.",
          {"state=\"in_hand\"", c->duplicates - c->acked_before},
          {"state=\"acked\"", c->acked_before});
    one(out, PREFIX "keyless_messages_total", METRIC_COUNTER,
        "Messages that went by their ids, because dedupe.key found nothing in them.",
        (double)c->keyless);
    PARTS(out, PREFIX "lease_extensions_total", METRIC_COUNTER, "Extensions of leases, by result.",
          {"result=\"ok\"", c->extensions}, {"result=\"failed\"", c->extensions_failed},
          {"result=\"refused\"", c->extensions_refused});
    one(out, PREFIX "lease_lost_total", METRIC_COUNTER,
        "Messages that SQS may have shown to others while they were in hand.",
        (double)c->lease_lost);
}

static void write_view(struct buf *out, const struct flow_view *v)
{
    one(out, PREFIX "workers", METRIC_GAUGE, "Threads that run handlers.", v->workers);
    one(out, PREFIX "workers_busy", METRIC_GAUGE, "Workers that have a message in progress.",
        v->workers_busy);
    one(out, PREFIX "slots", METRIC_GAUGE, "Messages that all workers can have in progress.",
        v->slots);
    one(out, PREFIX "slots_busy", METRIC_GAUGE, "Messages in progress.", v->running);
    PARTS(out, PREFIX "in_hand", METRIC_GAUGE, "Messages from receipt to settlement, by state.",
          {"state=\"buffered\"", v->buffered}, {"state=\"running\"", v->running},
          {"state=\"parked\"", v->parked}, {"state=\"waiting\"", v->waiting},
          {"state=\"copying\"", v->copying}, {"state=\"settling\"", v->settling});
    one(out, PREFIX "polls_open", METRIC_GAUGE, "Receives that wait for an answer.", v->polls_open);
    one(out, PREFIX "intake_held", METRIC_GAUGE,
        "1 if something other than work in hand, limits and rates keeps it from receiving.",
        v->hold && !v->at_work);
    one(out, PREFIX "last_receive_timestamp_seconds", METRIC_GAUGE,
        "When the last receive was answered, empty or not; 0: none was.",
        (double)v->last_answer_wall / 1000);
}

/* ---- targets ---- */

static void write_target(void *arg, const struct target_view *t)
{
    static const double values[] = {[BREAKER_CLOSED] = 0, [BREAKER_TRYING] = 1, [BREAKER_OPEN] = 2};
    struct buf *out = arg, labels;
    buf_init(&labels);
    metric_text_label(&labels, "target", t->name);
    if (labels.failed)
        out->failed = true;
    metric_text_value(out, PREFIX "breaker_state", labels.data, values[t->breaker]);
    buf_free(&labels);
}

static void write_limit(void *arg, const struct target_view *t)
{
    struct buf *out = arg, labels;
    buf_init(&labels);
    metric_text_label(&labels, "target", t->name);
    if (labels.failed)
        out->failed = true;
    metric_text_value(out, PREFIX "target_limit", labels.data, t->limit);
    buf_free(&labels);
}

struct known {
    const char *name;
    bool found;
};

static void note_target(void *arg, const struct target_view *t)
{
    struct known *known = arg;
    known->found |= strcmp(known->name, t->name) == 0;
}

/* The one that is known from the start. */
static void write_known_target(struct buf *out, const struct running *r)
{
    char keycloak[256];
    struct known known = {.name = keycloak};
    if (!r->conf->keycloak.url ||
        fetch_origin(r->conf->keycloak.url, keycloak, sizeof keycloak) != 0)
        return;
    flow_each_target(r->flow, note_target, &known);
    if (!known.found)
        write_target(out, &(struct target_view){.name = keycloak, .breaker = BREAKER_CLOSED});
}

static void write_targets(struct buf *out, const struct running *r)
{
    metric_text_head(out, PREFIX "breaker_state", METRIC_GAUGE,
                     "Is the target usable: 0 yes, 1 being tried, 2 no.");
    flow_each_target(r->flow, write_target, out);
    write_known_target(out, r);
    metric_text_head(out, PREFIX "target_limit", METRIC_GAUGE,
                     "Requests that may be under way at once; 0: it has asked to wait.");
    flow_each_target(r->flow, write_limit, out);
}

/* What the scaler was told last; it asks while there is something to do. */
static void write_queue(struct buf *out, const struct running *r)
{
    static const char name[] = PREFIX "queue_messages";
    const struct scaler *s = r->scaler;
    metric_text_head(out, name, METRIC_GAUGE,
                     "Messages in the queue, about, as it said when it was last asked.");
    if (!s || s->visible < 0 || s->hidden < 0)
        return;
    metric_text_value(out, name, "state=\"visible\"", (double)s->visible);
    metric_text_value(out, name, "state=\"in_flight\"", (double)s->hidden);
}

/* ---- the rest ---- */

static void write_own(struct buf *out, const struct running *r)
{
    one(out, PREFIX "handler_generation", METRIC_GAUGE,
        "Number of the handler's version; a reload adds one.", r->reload->generation);
    one(out, PREFIX "handler_last_reload_successful", METRIC_GAUGE,
        "1 if the handler that was last asked for is the one that runs.",
        r->reload->state != RELOAD_REFUSED);
    PARTS(out, PREFIX "log_lines_total", METRIC_COUNTER, "Lines written to the log, by level.",
          {"level=\"debug\"", (int64_t)log_lines(LOG_DEBUG)},
          {"level=\"info\"", (int64_t)log_lines(LOG_INFO)},
          {"level=\"warn\"", (int64_t)log_lines(LOG_WARN)},
          {"level=\"error\"", (int64_t)log_lines(LOG_ERROR)});
    metric_text_head(out, PREFIX "build_info", METRIC_GAUGE, "1, labelled with what this is.");
    struct buf labels;
    buf_init(&labels);
    metric_text_label(&labels, "version", HOST_VERSION);
    metric_text_label(&labels, "lua", conf_lua_version());
    if (labels.failed)
        out->failed = true;
    metric_text_value(out, PREFIX "build_info", labels.data, 1);
    buf_free(&labels);
}

static void write_process(struct buf *out)
{
    struct process_stats s;
    process_stats_read(&s);
    const struct {
        const char *name, *help;
        enum metric_type type;
        double value;
    } rows[] = {
        {"process_cpu_seconds_total", "CPU time, user and system.", METRIC_COUNTER, s.cpu_seconds},
        {"process_start_time_seconds", "When the process started, since 1970.", METRIC_GAUGE,
         s.start_seconds},
        {"process_resident_memory_bytes", "Memory in RAM.", METRIC_GAUGE, s.resident_bytes},
        {"process_virtual_memory_bytes", "Address space.", METRIC_GAUGE, s.virtual_bytes},
        {"process_open_fds", "Open file descriptors.", METRIC_GAUGE, s.open_fds},
        {"process_max_fds", "File descriptors that may be open.", METRIC_GAUGE, s.max_fds},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value >= 0)
            one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}

void metrics_write(const struct running *r, struct buf *out)
{
    if (r->flow) {
        struct flow_view view;
        flow_look(r->flow, &view);
        write_counts(out, flow_counts(r->flow));
        write_view(out, &view);
        one(out, PREFIX "workers_stuck_total", METRIC_COUNTER,
            "Workers that did not come back from C code; the second one ends the process.",
            pool_stuck(r->pool));
        write_targets(out, r);
        write_queue(out, r);
    }
    metrics_text(r->metrics, out);
    write_own(out, r);
    write_process(out);
}
