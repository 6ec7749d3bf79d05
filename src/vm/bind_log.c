/* host.log: lines of the handler's, with the message's id and trace. Also `print`. */
#include "base/log.h"
#include "base/utf8.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 24, TEXT_MAX_BYTES = 4096, VALUE_MAX_BYTES = 512, NAME_BYTES = 40 };
static const lua_Integer EXACT_MAX = INT64_C(1) << 53; /* what a double holds to the digit */

struct line {
    struct log_field fields[FIELDS_MAX + 3];
    int count;
    char names[FIELDS_MAX][NAME_BYTES];
    char values[FIELDS_MAX][VALUE_MAX_BYTES];
    char text[TEXT_MAX_BYTES];
    char trace[TRACE_BYTES];
};

/* Cuts at a whole UTF-8 character; NUL bytes would end the text early. */
static void copy_text(char *out, size_t size, const char *text, size_t len)
{
    len = utf8_cut(text, len, size - 1);
    for (size_t i = 0; i < len; i++)
        out[i] = text[i] ? text[i] : ' ';
    out[len] = '\0';
}

/* A name goes into the line unquoted, and must not pass for one of the host's own fields. */
static void copy_name(char out[NAME_BYTES], const char *name)
{
    static const char *const own[] = {"ts", "level", "msg", "id", "trace", "at"};
    int len = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strcmp(name, own[i]) == 0)
            out[len++] = '_';
    }
    for (; *name && len < NAME_BYTES - 1; name++)
        out[len++] = isalnum((unsigned char)*name) ? *name : '_';
    out[len] = '\0';
}

/* True: as JSON has it. What JSON has no number for, and integers of which most readers would lose
 * digits, are text there. */
static bool write_number(lua_State *L, char value[VALUE_MAX_BYTES])
{
    lua_Number number = lua_tonumber(L, -1);
    if (lua_isinteger(L, -1)) {
        lua_Integer integer = lua_tointeger(L, -1);
        snprintf(value, VALUE_MAX_BYTES, LUA_INTEGER_FMT, integer);
        return integer >= -EXACT_MAX && integer <= EXACT_MAX;
    }
    if (log_is_json() && isfinite(number))
        json_float(value, number);
    else
        snprintf(value, VALUE_MAX_BYTES, "%.14g", number);
    return isfinite(number);
}

static void add_field(lua_State *L, struct line *line)
{
    int n = line->count;
    char *value = line->values[n];
    bool plain = false;
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        plain = write_number(L, value);
        break;
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        copy_text(value, VALUE_MAX_BYTES, text, len);
        break;
    }
    case LUA_TBOOLEAN:
        snprintf(value, VALUE_MAX_BYTES, "%s", lua_toboolean(L, -1) ? "true" : "false");
        plain = true;
        break;
    default:
        snprintf(value, VALUE_MAX_BYTES, "(%s)", luaL_typename(L, -1));
    }
    copy_name(line->names[n], lua_tostring(L, -2));
    line->fields[line->count++] =
        plain ? LF_RAW(line->names[n], value) : LF_TEXT(line->names[n], value);
}

static void add_own_fields(lua_State *L, struct line *line)
{
    const struct task *t = vm_of(L)->current;
    if (!t || !t->job)
        return;
    job_trace(t->job, line->trace);
    line->fields[line->count++] = LF_TEXT("id", t->job->id);
    line->fields[line->count++] = LF_TEXT("trace", *line->trace ? line->trace : NULL);
}

static int write_line(lua_State *L, enum log_level level)
{
    task_check_alive(L);
    if (!lua_isnoneornil(L, 2) && !lua_istable(L, 2))
        raise_misuse(L, "host.log: fields must be a table, not a %s", luaL_typename(L, 2));
    if (!log_enabled(level))
        return 0;
    size_t len;
    const char *text = luaL_tolstring(L, 1, &len);
    /* Nothing raises from here on. */
    struct line line;
    line.count = 0;
    copy_text(line.text, sizeof line.text, text, len);
    lua_pushnil(L);
    while (lua_istable(L, 2) && line.count < FIELDS_MAX && lua_next(L, 2)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            add_field(L, &line);
        lua_pop(L, 1);
    }
    add_own_fields(L, &line);
    log_fields(level, line.text, line.fields, line.count);
    return 0;
}

static int log_debug_(lua_State *L)
{
    return write_line(L, LOG_DEBUG);
}

static int log_info_(lua_State *L)
{
    return write_line(L, LOG_INFO);
}

static int log_warn_(lua_State *L)
{
    return write_line(L, LOG_WARN);
}

static int log_error_(lua_State *L)
{
    return write_line(L, LOG_ERROR);
}

int bind_log_print(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 1; i <= count; i++) {
        if (i > 1)
            luaL_addchar(&text, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    lua_replace(L, 1);
    lua_settop(L, 1);
    return write_line(L, LOG_INFO);
}

int bind_log_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"debug", log_debug_},
                                         {"info", log_info_},
                                         {"warn", log_warn_},
                                         {"error", log_error_},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
