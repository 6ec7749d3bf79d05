#include "ops/table_lookup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/exit.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { AGAIN_MS = 500, TIMEOUT_MS = 3000 };

#define PRINT_TABLE "`host check HANDLER --print-table` prints how to create one"

static void end(struct table_lookup *l)
{
    l->ended = true;
}

/* Of a table that will not do. */
static void refuse(struct table_lookup *l, const char *what)
{
    err_set(&l->error, EXIT_CONFIG, "dedupe.store: table %s in %s (%s) %s",
            dynamodb_table(l->table), dynamodb_region(l->table), dynamodb_endpoint(l->table), what);
    end(l);
}

static const char *text_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    const char *text =
        o && json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
    return text ? text : "";
}

static struct json_object *member(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static void ask(struct table_lookup *l, const char *operation, dynamodb_answered *answered)
{
    struct buf body;
    struct err e = {0};
    buf_init(&body);
    buf_str(&body, "{\"TableName\":");
    buf_json(&body, dynamodb_table(l->table), strlen(dynamodb_table(l->table)));
    buf_char(&body, '}');
    if (body.failed)
        err_set(&e, EXIT_FAILED, "no memory");
    if (body.failed || !dynamodb_ask(l->table, operation, body.data, TIMEOUT_MS, answered, l, &e)) {
        err_set(&l->error, EXIT_FAILED, "%s", e.text);
        end(l);
    }
    buf_free(&body);
}

/* ---- its TTL --------------------------------------------------------------------------------- */

static void ttl_answered(void *arg, const struct dynamodb_result *result,
                         struct json_object *answer)
{
    struct table_lookup *l = arg;
    struct json_object *ttl = member(answer, "TimeToLiveDescription");
    const char *status = text_of(ttl, "TimeToLiveStatus");
    const char *attribute = text_of(ttl, "AttributeName");
    bool on = (strcmp(status, "ENABLED") == 0 || strcmp(status, "ENABLING") == 0) &&
              strcmp(attribute, TABLE_TTL) == 0;
    if (result->status == DYNAMODB_OK && !on)
        snprintf(l->doubt, sizeof l->doubt,
                 "dedupe.store: table %s in %s deletes nothing by itself and will grow: its TTL "
                 "should be on the attribute %s: aws dynamodb update-time-to-live --table-name %s "
                 "--time-to-live-specification Enabled=true,AttributeName=" TABLE_TTL,
                 dynamodb_table(l->table), dynamodb_region(l->table), TABLE_TTL,
                 dynamodb_table(l->table));
    end(l);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *type_of(struct json_object *table, const char *attribute)
{
    struct json_object *list = member(table, "AttributeDefinitions");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *a = json_object_array_get_idx(list, i);
        if (strcmp(text_of(a, "AttributeName"), attribute) == 0)
            return text_of(a, "AttributeType");
    }
    return "?";
}

/* False: `what` says in words how its keys differ. */
static bool keys_fit(struct json_object *table, char *what, size_t size)
{
    struct json_object *list = member(table, "KeySchema");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    const char *name = text_of(n > 0 ? json_object_array_get_idx(list, 0) : NULL, "AttributeName");
    const char *type = type_of(table, name);
    if (n == 1 && strcmp(name, TABLE_KEY) == 0 && strcmp(type, "S") == 0)
        return true;
    snprintf(what, size,
             "has the partition key %.100s of type %.10s%s%.100s, and must have " TABLE_KEY
             " of type S and no sort key: " PRINT_TABLE,
             name, type, n > 1 ? " and the sort key " : "",
             n > 1 ? text_of(json_object_array_get_idx(list, 1), "AttributeName") : "");
    return false;
}

static void look_again(struct table_lookup *l)
{
    ev_now_update(l->loop);
    ev_timer_set(&l->again, AGAIN_MS / 1000.0, 0.);
    ev_timer_start(l->loop, &l->again);
}

static void read_table(struct table_lookup *l, struct json_object *table)
{
    char what[500];
    const char *status = text_of(table, "TableStatus");
    bool ready = strcmp(status, "ACTIVE") == 0 || strcmp(status, "UPDATING") == 0;
    if (!*status)
        refuse(l, "was not described: is this a DynamoDB endpoint?");
    else if (!keys_fit(table, what, sizeof what))
        refuse(l, what);
    else if (!ready && strcmp(status, "CREATING") == 0 && clock_boot_ms() < l->give_up_ms)
        look_again(l);
    else if (!ready) {
        snprintf(what, sizeof what, "cannot be used: its status is %.60s", status);
        refuse(l, what);
    } else
        ask(l, "DescribeTimeToLive", ttl_answered);
}

static void table_answered(void *arg, const struct dynamodb_result *result,
                           struct json_object *answer)
{
    struct table_lookup *l = arg;
    bool away = result->status == DYNAMODB_UNREACHABLE || result->status == DYNAMODB_BUSY;
    bool forbidden = strcmp(result->code, "AccessDenied") == 0;
    if (result->status == DYNAMODB_OK) {
        read_table(l, member(answer, "Table"));
        return;
    }
    if (away && clock_boot_ms() < l->give_up_ms) {
        look_again(l);
        return;
    }
    if (away || forbidden)
        snprintf(l->doubt, sizeof l->doubt, "the shared store's table could not be checked: %s",
                 result->text);
    else
        err_set(&l->error, EXIT_CONFIG, "dedupe.store: %s", result->text);
    end(l);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ask(w->data, "DescribeTable", table_answered);
}

void table_lookup_start(struct table_lookup *l, struct ev_loop *loop, struct dynamodb *table,
                        int64_t patience_ms)
{
    *l = (struct table_lookup){
        .loop = loop, .table = table, .give_up_ms = clock_boot_ms() + patience_ms};
    ev_timer_init(&l->again, on_again, 0., 0.);
    l->again.data = l;
    ask(l, "DescribeTable", table_answered);
}

void table_lookup_stop(struct table_lookup *l)
{
    ev_timer_stop(l->loop, &l->again);
}
