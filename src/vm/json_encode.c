/* host.json: encoding. */
#include "base/utf8.h"
#include "vm/freeze.h"
#include "vm/json.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 512 };

struct writer {
    lua_State *L;
    int box; /* stack index of the userdata that holds the bytes: freed whatever raises */
    char *data;
    size_t len;
    size_t cap;
    int depth;
    const void *open[JSON_DEPTH_MAX]; /* the tables that are being written, outermost first */
};

MAY_RAISE static _Noreturn void fail(const struct writer *w, const char *what, const char *detail)
{
    raise_push(w->L, "json", "cannot write JSON: %s%s", what, detail);
    lua_error(w->L);
    __builtin_unreachable();
}

MAY_RAISE static void put(struct writer *w, const char *bytes, size_t len)
{
    if (w->cap - w->len < len) {
        size_t cap = w->cap * 2 > w->len + len ? w->cap * 2 : w->len + len;
        char *data = lua_newuserdatauv(w->L, cap, 0);
        memcpy(data, w->data, w->len);
        lua_replace(w->L, w->box);
        w->data = data;
        w->cap = cap;
    }
    memcpy(w->data + w->len, bytes, len);
    w->len += len;
}

MAY_RAISE static void put_char(struct writer *w, char c)
{
    put(w, &c, 1);
}

static size_t plain_length(const unsigned char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] >= 0x20 && text[n] < 0x7f && text[n] != '"' && text[n] != '\\')
        n++;
    return n;
}

MAY_RAISE static void put_special(struct writer *w, unsigned char c)
{
    static const char names[] = "\"\\bfnrt";
    static const char values[] = "\"\\\b\f\n\r\t";
    const char *value = c ? strchr(values, c) : NULL;
    char text[8];
    if (value)
        snprintf(text, sizeof text, "\\%c", names[value - values]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put(w, text, strlen(text));
}

MAY_RAISE static void put_string(struct writer *w, int index)
{
    size_t len;
    const char *text = lua_tolstring(w->L, index, &len);
    put_char(w, '"');
    for (size_t i = 0; i < len;) {
        size_t plain = plain_length((const unsigned char *)text + i, len - i);
        if (plain) {
            put(w, text + i, plain);
            i += plain;
            continue;
        }
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80) {
            put_special(w, c);
            i++;
            continue;
        }
        size_t n = utf8_length(text + i, len - i);
        if (n == 0)
            fail(w, "a string with bytes that are no UTF-8", "");
        put(w, text + i, n);
        i += n;
    }
    put_char(w, '"');
}

void json_float(char out[JSON_FLOAT_BYTES], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, JSON_FLOAT_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    if (!strpbrk(out, ".e"))
        strcat(out, ".0");
}

MAY_RAISE static void put_float(struct writer *w, double value)
{
    if (isnan(value) || isinf(value))
        fail(w, "NaN and infinity have no JSON form", "");
    char text[JSON_FLOAT_BYTES];
    json_float(text, value);
    put(w, text, strlen(text));
}

MAY_RAISE static void put_integer(struct writer *w, lua_Integer value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put(w, text, strlen(text));
}

/* ---- tables ------------------------------------------------------------------------------- */

struct shape {
    lua_Integer items; /* fields with a positive integer key */
    lua_Integer top;   /* the largest of them */
    bool names;        /* has string keys */
    bool marked_array;
    bool marked_object;
};

static bool has_type(lua_State *L, int index, const char *name)
{
    if (!lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, name);
    bool same = lua_istable(L, -1) && lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

MAY_RAISE static void look_at(struct writer *w, int table, struct shape *s)
{
    lua_State *L = w->L;
    *s = (struct shape){.marked_array = has_type(L, table, json_array_name),
                        .marked_object = has_type(L, table, json_object_name)};
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            s->names = true;
            if (s->marked_array)
                fail(w, "an array has a field with the name ", lua_tostring(L, -1));
        } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0) {
            s->items++;
            if (lua_tointeger(L, -1) > s->top)
                s->top = lua_tointeger(L, -1);
        } else {
            lua_pushvalue(L, -1);
            fail(w, "a table has a key that is neither a name nor a positive integer: ",
                 luaL_tolstring(L, -1, NULL));
        }
        if (s->names && s->items)
            fail(w, "a table has names and indices, such as ", luaL_tolstring(L, -1, NULL));
    }
    char index[24];
    snprintf(index, sizeof index, "%lld", (long long)s->top);
    if (s->items != s->top)
        fail(w, "an array has holes: its last index is ", index);
    if (s->items && s->marked_object)
        fail(w, "an object has the index ", index);
}

MAY_RAISE static void put_value(struct writer *w, int index);

MAY_RAISE static void put_items(struct writer *w, int table, lua_Integer count)
{
    put_char(w, '[');
    for (lua_Integer i = 1; i <= count; i++) {
        if (i > 1)
            put_char(w, ',');
        lua_rawgeti(w->L, table, i);
        put_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
    put_char(w, ']');
}

MAY_RAISE static void put_members(struct writer *w, int table)
{
    lua_State *L = w->L;
    bool first = true;
    put_char(w, '{');
    lua_pushnil(L);
    while (lua_next(L, table)) {
        int value = lua_gettop(L);
        int type = lua_type(L, value);
        if (type == LUA_TFUNCTION || type == LUA_TTHREAD || type == LUA_TUSERDATA)
            fail(w, "no JSON form for the value of field ", lua_tostring(L, value - 1));
        if (!first)
            put_char(w, ',');
        first = false;
        put_string(w, value - 1);
        put_char(w, ':');
        put_value(w, value);
        lua_pop(L, 1);
    }
    put_char(w, '}');
}

MAY_RAISE static void put_table(struct writer *w, int index)
{
    lua_State *L = w->L;
    const void *identity = lua_topointer(L, index);
    for (int i = 0; i < w->depth; i++) {
        if (w->open[i] == identity)
            fail(w, "a table contains itself", "");
    }
    if (w->depth >= JSON_DEPTH_MAX)
        fail(w, "nested too deeply", "");
    luaL_checkstack(L, 12, "JSON nested too deeply");
    w->open[w->depth++] = identity;
    if (!freeze_hidden(L, index))
        lua_pushvalue(L, index);
    int table = lua_gettop(L);
    struct shape s;
    look_at(w, table, &s);
    if (s.marked_array || (s.items && !s.names))
        put_items(w, table, s.items);
    else
        put_members(w, table);
    lua_pop(L, 1);
    w->depth--;
}

MAY_RAISE static void put_value(struct writer *w, int index)
{
    lua_State *L = w->L;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        put(w, "null", 4);
        break;
    case LUA_TBOOLEAN:
        put(w, lua_toboolean(L, index) ? "true" : "false", lua_toboolean(L, index) ? 4 : 5);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            put_integer(w, lua_tointeger(L, index));
        else
            put_float(w, lua_tonumber(L, index));
        break;
    case LUA_TSTRING:
        put_string(w, index);
        break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index))
            fail(w, "no JSON form for a userdata", "");
        put(w, "null", 4);
        break;
    case LUA_TTABLE:
        put_table(w, index);
        break;
    default:
        fail(w, "no JSON form for a ", luaL_typename(L, index));
    }
}

void json_encode(lua_State *L)
{
    int value = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    struct writer w = {.L = L, .cap = FIRST_BYTES, .box = value + 1};
    w.data = lua_newuserdatauv(L, w.cap, 0);
    put_value(&w, value);
    lua_pushlstring(L, w.data, w.len);
    lua_replace(L, value);
    lua_settop(L, value);
}
