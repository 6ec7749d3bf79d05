/* host.metrics: an author's own numbers, declared while the handler loads.
 *
 *   counter{name =, help =, labels = {…}, max = }    c:inc([by] [, labels])
 *   gauge{…}                                         g:set(value [, labels])  g:inc  g:dec
 *   histogram{…, buckets = {…}}                      h:observe(value [, labels])
 *
 * `labels` in a call is a table with a value for each declared name: {realm = "customers"}. A gauge
 * is one number for the whole process; counters and histograms are added up over the workers.
 *
 * A metric is its generation's: one that the next declares alike goes on, one that it declares
 * otherwise begins anew, unseen until the workers go over (base/metric.h). */
#include "base/metric.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    DECLARED_MAX = 100, /* metrics of one handler */
    TITLE_MAX = 100,
    LABEL_MAX = 40,
    HELP_MAX = 300,
    SERIES_DEFAULT = 100,
};

static const char type_name[] = "host.metrics.metric";

struct own_metric {
    struct metric *metric; /* NULL: nobody counts here */
    enum metric_type type;
    int label_count;
    char labels[METRIC_LABELS_MAX][LABEL_MAX + 1];
    char name[TITLE_MAX + 1];
};

/* ---- declaring ---------------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

static bool is_name(const char *text, size_t max)
{
    size_t len = strlen(text);
    if (len == 0 || len > max || isdigit((unsigned char)*text))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* What `promtool check metrics` objects to is refused here, where the author sees it. */
MAY_RAISE static void check_name(lua_State *L, const char *name, enum metric_type type)
{
    if (!is_name(name, TITLE_MAX))
        raise_misuse(L,
                     "host.metrics: '%s' is no name for a metric: small letters, digits and _, at "
                     "most %d",
                     name, TITLE_MAX);
    if (strncmp(name, "luahost_", 8) == 0 || strncmp(name, "process_", 8) == 0)
        raise_misuse(
            L, "host.metrics: %s: names that begin with luahost_ or process_ are the host's own",
            name);
    if (type == METRIC_COUNTER && !ends_in(name, "_total"))
        raise_misuse(L, "host.metrics: %s: a counter's name ends in _total: %s_total", name, name);
    static const char *const ends[] = {"_total", "_count", "_sum", "_bucket"};
    for (size_t i = type == METRIC_COUNTER; i < sizeof ends / sizeof *ends; i++)
        if (ends_in(name, ends[i]))
            raise_misuse(L,
                         "host.metrics: %s: a name that ends in %s says that it is something else",
                         name, ends[i]);
}

MAY_RAISE static void check_options(lua_State *L, enum metric_type type)
{
    static const char *const known[] = {"name", "help", "labels", "max", "buckets"};
    size_t count = type == METRIC_HISTOGRAM ? 5 : 4;
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(no name)";
        size_t i = 0;
        while (i < count && strcmp(known[i], name) != 0)
            i++;
        if (i == count)
            raise_misuse(L, "host.metrics: unknown option '%s' (known: name, help, labels, max%s)",
                         name, type == METRIC_HISTOGRAM ? ", buckets" : "");
        lua_pop(L, 1);
    }
}

MAY_RAISE static void read_labels(lua_State *L, struct own_metric *m)
{
    if (lua_getfield(L, 1, "labels") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        raise_misuse(L, "host.metrics: %s: labels must be a list of names", m->name);
    int count = (int)lua_rawlen(L, -1);
    if (count > METRIC_LABELS_MAX)
        raise_misuse(L, "host.metrics: %s: more than %d labels", m->name, METRIC_LABELS_MAX);
    for (; m->label_count < count; m->label_count++) {
        lua_rawgeti(L, -1, m->label_count + 1);
        const char *label = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (!is_name(label, LABEL_MAX) || strncmp(label, "__", 2) == 0 || strcmp(label, "le") == 0)
            raise_misuse(L,
                         "host.metrics: %s: label %d ('%s') is no name for one: small letters, "
                         "digits and _, not le",
                         m->name, m->label_count + 1, label);
        for (int i = 0; i < m->label_count; i++)
            if (strcmp(m->labels[i], label) == 0)
                raise_misuse(L, "host.metrics: %s: label '%s' twice", m->name, label);
        snprintf(m->labels[m->label_count], sizeof m->labels[0], "%s", label);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

MAY_RAISE static void read_max(lua_State *L, const struct own_metric *m, struct metric_desc *d)
{
    d->series_max = SERIES_DEFAULT;
    if (lua_getfield(L, 1, "max") != LUA_TNIL) {
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
            lua_tointeger(L, -1) >= METRIC_SERIES_MAX)
            raise_misuse(L,
                         "host.metrics: %s: max is how many sets of label values are kept apart, a "
                         "whole number from 1 to %d",
                         m->name, METRIC_SERIES_MAX - 1);
        d->series_max = (int)lua_tointeger(L, -1);
    }
    lua_pop(L, 1);
}

MAY_RAISE static void read_buckets(lua_State *L, const struct own_metric *m, struct metric_desc *d,
                                   double bounds[METRIC_BOUNDS_MAX])
{
    d->bounds = metric_seconds;
    d->bounds_count = METRIC_SECONDS_COUNT;
    if (lua_getfield(L, 1, "buckets") != LUA_TNIL) {
        int count = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
        if (count < 1 || count > METRIC_BOUNDS_MAX)
            raise_misuse(L, "host.metrics: %s: buckets must be a list of 1 to %d numbers", m->name,
                         METRIC_BOUNDS_MAX);
        for (int i = 0; i < count; i++) {
            bool number = lua_rawgeti(L, -1, i + 1) == LUA_TNUMBER;
            bounds[i] = lua_tonumber(L, -1);
            if (!number || !isfinite(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1]))
                raise_misuse(L,
                             "host.metrics: %s: buckets are upper bounds, numbers that rise; "
                             "number %d does not",
                             m->name, i + 1);
            lua_pop(L, 1);
        }
        d->bounds = bounds;
        d->bounds_count = count;
    }
    lua_pop(L, 1);
}

MAY_RAISE static void check_may_declare(lua_State *L, const struct vm *vm)
{
    task_check_alive(L);
    if (vm->phase != PHASE_LOADING)
        raise_misuse(L, "host.metrics: declare metrics while the handler loads, at the top of its "
                        "file, and keep them in locals");
    if (vm->metrics_declared >= DECLARED_MAX)
        raise_misuse(L, "host.metrics: more than %d metrics", DECLARED_MAX);
    if (!lua_istable(L, 1))
        raise_misuse(L, "host.metrics: declare one as counter{name = \"…_total\", help = \"…\"}");
}

MAY_RAISE static void read_name(lua_State *L, struct own_metric *m, struct metric_desc *d)
{
    if (lua_getfield(L, 1, "name") != LUA_TSTRING)
        raise_misuse(L, "host.metrics: name must be a string");
    check_name(L, lua_tostring(L, -1), m->type);
    snprintf(m->name, sizeof m->name, "%s", lua_tostring(L, -1));
    size_t len = 0;
    if (lua_getfield(L, 1, "help") == LUA_TSTRING)
        d->help = lua_tolstring(L, -1, &len);
    if (len == 0 || len > HELP_MAX)
        raise_misuse(L,
                     "host.metrics: %s: help must say in a sentence what is counted (at most %d "
                     "bytes)",
                     m->name, HELP_MAX);
}

MAY_RAISE static int declare(lua_State *L, enum metric_type type)
{
    struct vm *vm = vm_of(L);
    struct metric_desc d = {
        .type = type, .common = type == METRIC_GAUGE, .generation = vm_serial(vm)};
    double bounds[METRIC_BOUNDS_MAX];
    struct err e = {0};
    lua_settop(L, 1);
    check_may_declare(L, vm);
    check_options(L, type);
    struct own_metric *m = lua_newuserdatauv(L, sizeof *m, 0);
    memset(m, 0, sizeof *m);
    m->type = type;
    read_name(L, m, &d); /* name and help stay on the stack */
    read_labels(L, m);
    read_max(L, m, &d);
    if (type == METRIC_HISTOGRAM)
        read_buckets(L, m, &d, bounds);
    d.name = m->name;
    for (int i = 0; i < m->label_count; i++)
        d.labels[i] = m->labels[i];
    if (vm->ports.metrics) {
        m->metric = metrics_open(vm->ports.metrics, vm->ports.writer, &d, &e);
        if (!m->metric)
            raise_misuse(L, "host.metrics: %s", e.text);
    }
    vm->metrics_declared++;
    lua_settop(L, 2);
    luaL_setmetatable(L, type_name);
    return 1;
}

static int declare_counter(lua_State *L)
{
    return declare(L, METRIC_COUNTER);
}

static int declare_gauge(lua_State *L)
{
    return declare(L, METRIC_GAUGE);
}

static int declare_histogram(lua_State *L)
{
    return declare(L, METRIC_HISTOGRAM);
}

/* ---- using -------------------------------------------------------------------------------- */

MAY_RAISE static struct own_metric *check_metric(lua_State *L, const char *method, int types)
{
    task_check_alive(L);
    struct own_metric *m = luaL_testudata(L, 1, type_name);
    if (!m)
        raise_misuse(L, "host.metrics: call it as metric:%s(…), with a colon", method);
    if (!(types & 1 << m->type)) {
        static const char *const names[] = {"counter", "gauge", "histogram"};
        raise_misuse(L, "host.metrics: %s is a %s, which has no %s", m->name, names[m->type],
                     method);
    }
    return m;
}

/* Label values stay on the stack while they are used. */
MAY_RAISE static void read_values(lua_State *L, const struct own_metric *m, int index,
                                  const char *values[METRIC_LABELS_MAX])
{
    if (lua_isnoneornil(L, index) && m->label_count == 0)
        return;
    if (!lua_istable(L, index))
        raise_misuse(L, "host.metrics: %s: a table with a value for each label is missing%s%s%s",
                     m->name, m->label_count ? ": {" : "", m->label_count ? m->labels[0] : "",
                     m->label_count ? " = …}" : "");
    luaL_checkstack(L, METRIC_LABELS_MAX + 3, NULL);
    for (int i = 0; i < m->label_count; i++) {
        int type = lua_getfield(L, index, m->labels[i]);
        if (type == LUA_TBOOLEAN) {
            lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
            lua_replace(L, -2);
        } else if (type != LUA_TSTRING && type != LUA_TNUMBER) {
            raise_misuse(L, "host.metrics: %s: label '%s' is %s: give it a string", m->name,
                         m->labels[i], type == LUA_TNIL ? "missing" : lua_typename(L, type));
        }
        values[i] = lua_tostring(L, -1);
    }
    int given = 0;
    lua_pushnil(L);
    for (; lua_next(L, index); given++)
        lua_pop(L, 1);
    if (given > m->label_count)
        raise_misuse(L, "host.metrics: %s: more labels than were declared", m->name);
}

MAY_RAISE static double check_number(lua_State *L, const struct own_metric *m, int index)
{
    double value = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || isnan(value))
        raise_misuse(L, "host.metrics: %s: a number is missing, found %s", m->name,
                     lua_type(L, index) == LUA_TNUMBER ? "nan" : luaL_typename(L, index));
    return value;
}

/* metric:inc([by] [, labels]) */
MAY_RAISE static int change(lua_State *L, const char *method, int types, double sign)
{
    const char *values[METRIC_LABELS_MAX];
    struct own_metric *m = check_metric(L, method, types);
    bool by = !lua_isnoneornil(L, 2) && !lua_istable(L, 2);
    lua_settop(L, 3);
    double value = by ? check_number(L, m, 2) : 1;
    if (m->type == METRIC_COUNTER && !(value >= 0 && isfinite(value)))
        raise_misuse(L, "host.metrics: %s: a counter only grows", m->name);
    read_values(L, m, lua_istable(L, 2) ? 2 : 3, values);
    metric_add(m->metric, values, sign * value);
    return 0;
}

static int metric_inc(lua_State *L)
{
    return change(L, "inc", 1 << METRIC_COUNTER | 1 << METRIC_GAUGE, 1);
}

static int metric_dec(lua_State *L)
{
    return change(L, "dec", 1 << METRIC_GAUGE, -1);
}

/* gauge:set(value [, labels]) */
static int metric_set_(lua_State *L)
{
    const char *values[METRIC_LABELS_MAX];
    struct own_metric *m = check_metric(L, "set", 1 << METRIC_GAUGE);
    lua_settop(L, 3);
    double value = check_number(L, m, 2);
    read_values(L, m, 3, values);
    metric_set(m->metric, values, value);
    return 0;
}

/* histogram:observe(value [, labels]) */
static int metric_observe_(lua_State *L)
{
    const char *values[METRIC_LABELS_MAX];
    struct own_metric *m = check_metric(L, "observe", 1 << METRIC_HISTOGRAM);
    lua_settop(L, 3);
    double value = check_number(L, m, 2);
    if (!isfinite(value))
        raise_misuse(L, "host.metrics: %s: only finite numbers can be observed", m->name);
    read_values(L, m, 3, values);
    metric_observe(m->metric, values, value);
    return 0;
}

int bind_metrics_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"counter", declare_counter},
                                         {"gauge", declare_gauge},
                                         {"histogram", declare_histogram},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"inc", metric_inc},
                                       {"dec", metric_dec},
                                       {"set", metric_set_},
                                       {"observe", metric_observe_},
                                       {NULL, NULL}};
    luaL_newmetatable(L, type_name);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
