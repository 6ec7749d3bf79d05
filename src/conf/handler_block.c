#include "conf/handler_block.h"

#include "base/exit.h"
#include "base/utf8.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct name {
    const char *text; /* Lua's own; it stays because its table holds it */
    size_t len;
};

static int refuse(struct err *e, const struct buf *path, const char *must, const char *found)
{
    return err_set(e, EXIT_CONFIG, "%s must %s, found %s", path->data, must, found);
}

static int put_value(lua_State *L, struct buf *path, int depth, struct buf *out, struct err *e);

static bool is_utf8(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n)
        if (!(n = utf8_length(text + i, len - i)))
            return false;
    return true;
}

static int put_string(lua_State *L, struct buf *path, struct buf *out, struct err *e)
{
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (!is_utf8(text, len))
        return refuse(e, path, "be UTF-8", "a string with other bytes");
    buf_json(out, text, len);
    return 0;
}

static int put_number(lua_State *L, struct buf *path, struct buf *out, struct err *e)
{
    if (lua_isinteger(L, -1)) {
        buf_printf(out, "%lld", (long long)lua_tointeger(L, -1));
        return 0;
    }
    double number = lua_tonumber(L, -1);
    if (!isfinite(number))
        return refuse(e, path, "be a finite number", isnan(number) ? "nan" : "inf");
    /* A float stays one: 2.0 must not come back as the integer 2. */
    size_t start = out->len;
    buf_printf(out, "%.17g", number);
    if (!out->failed && !strpbrk(out->data + start, ".e"))
        buf_str(out, ".0");
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, n);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void path_cut(struct buf *path, size_t len)
{
    if (path->failed)
        return;
    path->len = len;
    path->data[len] = 0;
}

static int put_array(lua_State *L, lua_Integer count, struct buf *path, int depth, struct buf *out,
                     struct err *e)
{
    size_t up = path->len;
    buf_char(out, '[');
    for (lua_Integer i = 1; i <= count; i++) {
        buf_str(out, i > 1 ? "," : "");
        buf_printf(path, "[%lld]", (long long)i);
        lua_rawgeti(L, -1, i);
        if (put_value(L, path, depth, out, e))
            return -1;
        lua_pop(L, 1);
        path_cut(path, up);
    }
    buf_char(out, ']');
    return 0;
}

/* Leaves a userdata with the sorted names on the stack, above the table. */
static struct name *sorted_names(lua_State *L, size_t count)
{
    struct name *names = lua_newuserdatauv(L, (count ? count : 1) * sizeof *names, 0);
    size_t i = 0;
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        names[i].text = lua_tolstring(L, -2, &names[i].len);
        i++;
        lua_pop(L, 1);
    }
    qsort(names, count, sizeof *names, by_bytes);
    return names;
}

static int put_object(lua_State *L, size_t count, struct buf *path, int depth, struct buf *out,
                      struct err *e)
{
    size_t up = path->len;
    const struct name *names = sorted_names(L, count);
    buf_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_printf(path, ".%s", names[i].text);
        if (!is_utf8(names[i].text, names[i].len))
            return refuse(e, path, "have a name in UTF-8", "other bytes");
        buf_str(out, i ? "," : "");
        buf_json(out, names[i].text, names[i].len);
        buf_char(out, ':');
        lua_pushlstring(L, names[i].text, names[i].len);
        lua_rawget(L, -3);
        if (put_value(L, path, depth, out, e))
            return -1;
        lua_pop(L, 1);
        path_cut(path, up);
    }
    lua_pop(L, 1);
    buf_char(out, '}');
    return 0;
}

struct shape {
    size_t names;
    lua_Integer count, highest; /* whole-number keys from 1 */
};

static int measure(lua_State *L, const struct buf *path, struct shape *s, struct err *e)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            s->names++;
        } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1) {
            s->count++;
            if (lua_tointeger(L, -1) > s->highest)
                s->highest = lua_tointeger(L, -1);
        } else {
            return refuse(e, path, "have keys that are names, or 1 to n",
                          lua_isinteger(L, -1) ? "a whole number below 1"
                                               : lua_typename(L, lua_type(L, -1)));
        }
    }
    if (s->names && s->count)
        return refuse(e, path, "be a list or have names", "both in one table");
    if (s->count != s->highest) {
        char found[64];
        snprintf(found, sizeof found, "%lld items and the index %lld", (long long)s->count,
                 (long long)s->highest);
        return refuse(e, path, "be a list without holes", found);
    }
    return 0;
}

static int put_table(lua_State *L, struct buf *path, int depth, struct buf *out, struct err *e)
{
    struct shape s = {0};
    if (depth > CONF_BLOCK_DEPTH) {
        path_cut(path, path->len < 120 ? path->len : 120);
        return refuse(e, path, "be nested less deep", "more than 32 levels, or a table in itself");
    }
    luaL_checkstack(L, 8, "too many levels");
    if (measure(L, path, &s, e))
        return -1;
    return s.count ? put_array(L, s.count, path, depth, out, e)
                   : put_object(L, s.names, path, depth, out, e);
}

static int put_value(lua_State *L, struct buf *path, int depth, struct buf *out, struct err *e)
{
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        return put_string(L, path, out, e);
    case LUA_TNUMBER:
        return put_number(L, path, out, e);
    case LUA_TBOOLEAN:
        buf_str(out, lua_toboolean(L, -1) ? "true" : "false");
        return 0;
    case LUA_TTABLE:
        return put_table(L, path, depth + 1, out, e);
    default:
        return refuse(e, path, "be data (string, number, boolean or table)", luaL_typename(L, -1));
    }
}

int conf_block_make(lua_State *L, struct buf *path, struct buf *out, struct err *e)
{
    struct shape s = {0};
    luaL_checkstack(L, 8, "too many levels");
    if (measure(L, path, &s, e))
        return -1;
    if (s.count)
        return refuse(e, path, "have names", "a list");
    int rc = put_object(L, s.names, path, 1, out, e);
    if (!rc && (out->failed || path->failed))
        rc = err_set(e, EXIT_FAILED, "no memory for the handler block");
    return rc;
}
