#include "vm/bind_httpd.h"

#include "base/log.h"
#include "net/httpd.h"
#include "net/uri.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

enum { REPLY_HEADERS_MAX = 32 };

/* What Lua holds of a request; NULL once it is answered or its client has left. */
struct token {
    struct httpd_request *request;
};

static const char token_type[] = "httpd.token";
static const char request_type[] = "httpd.request";
static const char pending_key; /* registry: request → its table, weak: Lua may drop one */
static const char shared_key;  /* registry: struct bind_httpd */

static struct bind_httpd *shared(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &shared_key);
    struct bind_httpd *b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return b;
}

/* The token of a request's table that still waits for an answer, or NULL. */
static struct token *waiting(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_rawgeti(L, index, 1);
    struct token *t = luaL_checkudata(L, -1, token_type);
    lua_pop(L, 1);
    return t->request ? t : NULL;
}

/* Takes the request away from Lua, for its answer. */
static struct httpd_request *take(lua_State *L, struct token *t)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    lua_pushnil(L);
    lua_rawsetp(L, -2, t->request);
    lua_pop(L, 1);
    struct httpd_request *request = t->request;
    t->request = NULL;
    return request;
}

/* req:reply(status, headers, body, sent): true if there was still somebody to answer. */
static int req_reply(lua_State *L)
{
    struct httpd_header headers[REPLY_HEADERS_MAX + 1];
    int count = 0;
    size_t len = 0;
    struct token *t = waiting(L, 1);
    lua_Integer status = luaL_checkinteger(L, 2);
    const char *body = luaL_optlstring(L, 4, "", &len);
    lua_Integer sent = luaL_optinteger(L, 5, (lua_Integer)len);
    luaL_argcheck(L, sent >= 0, 5, "negative");
    luaL_argcheck(L, status >= 200 && status <= 599, 2, "no status");
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, 3,
                          "names and values are strings");
            luaL_argcheck(L, count < REPLY_HEADERS_MAX, 3, "too many headers");
            headers[count++] = (struct httpd_header){lua_tostring(L, -2), lua_tostring(L, -1)};
        }
    }
    headers[count].name = NULL;
    if (t)
        httpd_reply_part(take(L, t), (unsigned)status, headers, body, len, (size_t)sent);
    lua_pushboolean(L, t != NULL);
    return 1;
}

/* req:cut(): true if there was still somebody to cut off. */
static int req_cut(lua_State *L)
{
    struct token *t = waiting(L, 1);
    if (t)
        httpd_cut(take(L, t));
    lua_pushboolean(L, t != NULL);
    return 1;
}

/* req:here(): whether the client still waits. */
static int req_here(lua_State *L)
{
    struct token *t = waiting(L, 1);
    lua_pushboolean(L, t && httpd_client_here(t->request));
    return 1;
}

/* A request that the Lua side lost: its client shall not wait for ever. */
static int token_gc(lua_State *L)
{
    static const char text[] = "the stand-in dropped this request without an answer\n";
    struct token *t = luaL_checkudata(L, 1, token_type);
    if (t->request && !shared(L)->stopping) {
        log_error("sandbox: %s %s was dropped without an answer", httpd_method(t->request),
                  httpd_path(t->request));
        httpd_reply(t->request, 500, NULL, text, sizeof text - 1);
    }
    t->request = NULL;
    return 0;
}

static void push_decoded(lua_State *L, const char *text, size_t len)
{
    struct buf *b = &shared(L)->words;
    buf_clear(b);
    if (uri_decode(b, text, len, true))
        lua_pushlstring(L, b->data, b->len);
    else
        lua_pushlstring(L, text, len);
}

/* Of a name given twice the first value counts. */
static void push_query(lua_State *L, const char *query)
{
    struct uri_pair pair;
    size_t at = 0;
    lua_newtable(L);
    while (uri_next(query, &at, &pair)) {
        push_decoded(L, pair.name, pair.name_len);
        lua_pushvalue(L, -1);
        bool known = lua_rawget(L, -3) != LUA_TNIL;
        lua_pop(L, 1);
        if (known) {
            lua_pop(L, 1);
            continue;
        }
        push_decoded(L, pair.value, pair.value_len);
        lua_rawset(L, -3);
    }
}

/* Names in lower case. */
static void push_headers(lua_State *L, const struct httpd_request *r)
{
    const char *name, *value;
    size_t at = 0;
    lua_newtable(L);
    while (httpd_next_header(r, &at, &name, &value)) {
        size_t len = strlen(name);
        luaL_Buffer b;
        char *lower = luaL_buffinitsize(L, &b, len);
        for (size_t i = 0; i < len; i++)
            lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
        luaL_pushresultsize(&b, len);
        lua_pushstring(L, value);
        lua_rawset(L, -3);
    }
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

MAY_RAISE void bind_httpd_push(lua_State *L, struct httpd_request *r)
{
    size_t len;
    const char *body = httpd_body(r, &len);
    lua_createtable(L, 1, 7);
    struct token *t = lua_newuserdatauv(L, sizeof *t, 0);
    t->request = NULL;
    luaL_setmetatable(L, token_type);
    t->request = r;
    lua_rawseti(L, -2, 1);
    luaL_setmetatable(L, request_type);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, r);
    lua_pop(L, 1);
    set_text(L, "method", httpd_method(r));
    set_text(L, "path", httpd_path(r));
    set_text(L, "raw_path", httpd_raw_path(r));
    push_query(L, httpd_query(r));
    lua_setfield(L, -2, "query");
    push_headers(L, r);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, body, len);
    lua_setfield(L, -2, "body");
}

MAY_RAISE bool bind_httpd_fail(lua_State *L, int index, const char *text, size_t len)
{
    struct token *t = waiting(L, index);
    if (t)
        httpd_reply(take(L, t), 500, NULL, text, len);
    return t != NULL;
}

MAY_RAISE bool bind_httpd_gone(lua_State *L, struct httpd_request *r)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    bool found = lua_rawgetp(L, -1, r) == LUA_TTABLE;
    if (found) {
        lua_pushnil(L);
        lua_rawsetp(L, -3, r);
        struct token *t = waiting(L, -1);
        if (t)
            t->request = NULL;
    }
    lua_remove(L, -2);
    if (!found)
        lua_pop(L, 1);
    return found;
}

MAY_RAISE void bind_httpd_open(lua_State *L, struct bind_httpd *b)
{
    static const luaL_Reg methods[] = {
        {"reply", req_reply}, {"cut", req_cut}, {"here", req_here}, {NULL, NULL}};
    luaL_newmetatable(L, token_type);
    lua_pushcfunction(L, token_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, request_type);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    set_text(L, "__mode", "v");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &pending_key);
    lua_pop(L, 2);
    lua_pushlightuserdata(L, b);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &shared_key);
}
