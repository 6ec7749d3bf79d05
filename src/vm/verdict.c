#include "vm/verdict.h"

#include "vm/show.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_MAX = 500, AFTER_MAX_S = 12 * 60 * 60 };

const char outcome_type_name[] = "host.outcome";

void verdict_clear(struct verdict *v)
{
    free(v->reason);
    free(v->detail);
    free(v->source);
    *v = (struct verdict){.after_ms = -1};
}

/* One line that a log can carry: control characters become spaces, the rest is cut. */
static char *one_line(const char *text, size_t len)
{
    if (len > REASON_MAX)
        len = REASON_MAX;
    char *line = malloc(len + 1);
    if (!line)
        return NULL;
    for (size_t i = 0; i < len; i++)
        line[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    while (len > 0 && line[len - 1] == ' ')
        len--;
    line[len] = '\0';
    return line;
}

static void set_reason(struct verdict *v, const char *text, size_t len)
{
    free(v->reason);
    v->reason = one_line(text, len);
}

void verdict_set(struct verdict *v, enum outcome outcome, const char *kind, const char *format, ...)
{
    char text[REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->outcome = outcome;
    v->target_failed = v->after_least = false;
    v->after_ms = -1;
    v->target[0] = '\0';
    snprintf(v->kind, sizeof v->kind, "%s", kind);
    set_reason(v, text, strlen(text));
}

/* ---- what the handler returned ------------------------------------------------------------ */

static bool is_outcome(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, outcome_type_name);
    bool same = lua_istable(L, -1) && lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void raw_field(lua_State *L, int index, const char *name)
{
    index = lua_absindex(L, index);
    lua_pushstring(L, name);
    lua_rawget(L, index);
}

static void raw_copy(lua_State *L, int index, const char *name, char *out, size_t size)
{
    raw_field(L, index, name);
    if (lua_type(L, -1) == LUA_TSTRING)
        snprintf(out, size, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
}

static void after_of(lua_State *L, int index, struct verdict *v)
{
    raw_field(L, index, "after");
    lua_Number after = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (after >= 0)
        v->after_ms = (int64_t)(fmin(after, AFTER_MAX_S) * 1000);
    lua_pop(L, 1);
}

static void outcome_of(lua_State *L, int index, struct verdict *v)
{
    raw_field(L, index, "outcome");
    v->outcome = strcmp(lua_tostring(L, -1), "reject") == 0 ? OUTCOME_REJECT : OUTCOME_RETRY;
    lua_pop(L, 1);
    after_of(L, index, v);
    raw_field(L, index, "reason");
    size_t len;
    const char *reason = lua_tolstring(L, -1, &len);
    if (reason)
        set_reason(v, reason, len);
    lua_pop(L, 1);
}

static void describe(lua_State *L, int index, char *out, size_t size)
{
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        snprintf(out, size, "the string \"%.60s\"", lua_tostring(L, index));
        break;
    case LUA_TBOOLEAN:
        snprintf(out, size, "%s", lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TNIL:
        snprintf(out, size, "nil");
        break;
    default:
        snprintf(out, size, "a %s", luaL_typename(L, index));
    }
}

void verdict_of_results(lua_State *L, int count, const struct built *built, struct verdict *v)
{
    while (count > 1 && lua_isnil(L, -1)) {
        lua_pop(L, 1);
        count--;
    }
    int first = lua_gettop(L) - count + 1;
    if (count > 0 && is_outcome(L, first)) {
        outcome_of(L, first, v);
        if (lua_topointer(L, first) == built->last)
            memcpy(v->at, built->at, sizeof v->at);
        return;
    }
    bool good =
        count == 0 || lua_isnil(L, first) || (lua_isboolean(L, first) && lua_toboolean(L, first));
    if (count <= 1 && good && built->count == 0) {
        v->outcome = OUTCOME_ACK;
        return;
    }
    if (count <= 1 && good) {
        verdict_set(v, OUTCOME_RETRY, "contract",
                    "called host.retry or host.reject but did not return what it gave: write "
                    "`return host.reject(…)`");
        return;
    }
    char one[100];
    char two[100];
    describe(L, first, one, sizeof one);
    if (count > 1)
        describe(L, first + 1, two, sizeof two);
    verdict_set(v, OUTCOME_RETRY, "contract",
                "returned %s%s%s%s: return nothing, true, host.retry{…} or host.reject(…)", one,
                count > 1 ? " and " : "", count > 1 ? two : "", count > 2 ? " and more" : "");
}

/* ---- what it raised ------------------------------------------------------------------------ */

static void reason_of_table(lua_State *L, int index, struct verdict *v)
{
    struct buf b;
    buf_init(&b);
    show_table(L, index, &b);
    set_reason(v, b.data, b.len);
    buf_free(&b);
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* __tostring of the error may be the author's, so it may raise in turn. */
static void reason_of_value(lua_State *L, int index, struct verdict *v)
{
    bool plain = lua_istable(L, index) && luaL_getmetafield(L, index, "__tostring") == LUA_TNIL;
    if (plain) {
        reason_of_table(L, index, v);
        return;
    }
    lua_settop(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    size_t len;
    const char *text = lua_pcall(L, 1, 1, 0) == LUA_OK ? lua_tolstring(L, -1, &len) : NULL;
    if (text)
        set_reason(v, text, len);
    else
        set_reason(v, "error without a message", 23);
    lua_pop(L, 1);
}

static bool raw_is(lua_State *L, int index, const char *name, bool wanted)
{
    raw_field(L, index, name);
    bool is = lua_isboolean(L, -1) && (lua_toboolean(L, -1) != 0) == wanted;
    lua_pop(L, 1);
    return is;
}

void verdict_of_error(lua_State *L, struct verdict *v)
{
    int error = lua_gettop(L);
    v->outcome = OUTCOME_RETRY;
    v->after_ms = -1;
    v->after_least = false;
    snprintf(v->kind, sizeof v->kind, "lua");
    if (lua_istable(L, error)) {
        raw_copy(L, error, "kind", v->kind, sizeof v->kind);
        if (raw_is(L, error, "retryable", false))
            v->outcome = OUTCOME_REJECT;
        v->target_failed = v->outcome == OUTCOME_RETRY && raw_is(L, error, "target_failed", true);
        raw_copy(L, error, "target", v->target, sizeof v->target);
        after_of(L, error, v);
        v->after_least = v->after_ms >= 0;
        raw_field(L, error, "message");
        size_t len;
        const char *message = lua_tolstring(L, -1, &len);
        if (message)
            set_reason(v, message, len);
        lua_pop(L, 1);
    }
    if (!v->reason)
        reason_of_value(L, error, v);
}

void verdict_give(struct verdict *v, struct job *job)
{
    job->outcome = v->outcome;
    job->target_failed = v->target_failed;
    job->after_ms = v->after_ms;
    job->after_least = v->after_least;
    memcpy(job->kind, v->kind, sizeof job->kind);
    memcpy(job->at, v->at, sizeof job->at);
    memcpy(job->target, v->target, sizeof job->target);
    free(job->reason);
    free(job->detail);
    free(job->source);
    job->reason = v->reason;
    job->detail = v->detail;
    job->source = v->source;
    v->reason = v->detail = v->source = NULL;
    verdict_clear(v);
}
