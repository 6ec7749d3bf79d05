/* What of Lua's standard library is closed or bounded (contract section 4). */
#include "vm/freeze.h"
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

enum {
    ITEMS_MAX = 1000000, /* moved, joined or sorted by one call: C code sees no hook */
    REP_MAX_BYTES = 64 << 20
};

/* The replacements carry Lua's own function as their upvalue and run it in the same frame, so
 * that its messages name the caller's line. */
static int original(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void check_items(lua_State *L, lua_Integer first, lua_Integer last)
{
    if (last >= first && (lua_Unsigned)last - (lua_Unsigned)first >= ITEMS_MAX)
        luaL_error(L, "more than %d items in one call", ITEMS_MAX);
}

static int table_insert(lua_State *L)
{
    if (lua_gettop(L) == 3 && lua_istable(L, 1) && lua_isinteger(L, 2))
        check_items(L, lua_tointeger(L, 2), luaL_len(L, 1));
    return original(L);
}

static int table_remove(lua_State *L)
{
    if (lua_istable(L, 1) && lua_isinteger(L, 2))
        check_items(L, lua_tointeger(L, 2), luaL_len(L, 1));
    return original(L);
}

static int table_move(lua_State *L)
{
    check_items(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return original(L);
}

static int table_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer first = luaL_optinteger(L, 3, 1);
    check_items(L, first, lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4));
    return original(L);
}

static int table_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    check_items(L, 1, luaL_len(L, 1));
    return original(L);
}

static int string_rep(lua_State *L)
{
    size_t len;
    size_t separator_len = 0;
    luaL_checklstring(L, 1, &len);
    lua_Integer times = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &separator_len);
    if (len + separator_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (times > 0 && (lua_Unsigned)times > REP_MAX_BYTES / (len + separator_len) + 1)
        return luaL_error(L, "string.rep: more than %d bytes", REP_MAX_BYTES);
    return original(L);
}

static int base_load(lua_State *L)
{
    const char *mode = luaL_optstring(L, 3, "t");
    if (!strchr(mode, 't'))
        return luaL_error(L, "load: binary chunks are refused");
    if (lua_gettop(L) < 3)
        lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    return original(L);
}

/* A kill's error is raised inside a hook, and there no hook fires: an author's message handler
 * that loops would never end. So it is not called any more. Upvalue 1 is the handler. */
static int message_handler(lua_State *L)
{
    const struct task *t = vm_of(L)->current;
    if (t && t->kill != KILL_NONE)
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, message_handler, 1);
    lua_replace(L, 2);
    return original(L);
}

static int base_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a metatable with __gc is refused: use a `<close>` variable");
        lua_pop(L, 1);
    }
    return original(L);
}

static int base_rawset(lua_State *L)
{
    if (freeze_hidden(L, 1))
        return luaL_error(L, "rawset: this table is read-only: all messages share it");
    return original(L);
}

static int base_rawget(lua_State *L)
{
    if (freeze_hidden(L, 1))
        lua_replace(L, 1);
    return original(L);
}

static int base_collectgarbage(lua_State *L)
{
    if (strcmp(luaL_optstring(L, 1, "collect"), "count") != 0)
        return luaL_error(L, "collectgarbage: only \"count\" is allowed: messages share the state");
    lua_pushnumber(L, (lua_Number)vm_of(L)->mem.used_bytes / 1024);
    return 1;
}

static void replace(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name; functions++) {
        if (functions->func) {
            lua_getfield(L, -1, functions->name);
            lua_pushcclosure(L, functions->func, 1);
        } else {
            lua_pushnil(L);
        }
        lua_setfield(L, -2, functions->name);
    }
}

static const luaL_Reg base_changes[] = {
    {"load", base_load},
    {"xpcall", base_xpcall},
    {"setmetatable", base_setmetatable},
    {"rawset", base_rawset},
    {"rawget", base_rawget},
    {"collectgarbage", base_collectgarbage},
    {"print", bind_log_print},
    {"dofile", NULL},
    {"loadfile", NULL},
    {NULL, NULL},
};

static const luaL_Reg table_changes[] = {
    {"insert", table_insert}, {"remove", table_remove}, {"move", table_move},
    {"concat", table_concat}, {"sort", table_sort},     {NULL, NULL},
};

static const luaL_Reg string_changes[] = {{"rep", string_rep}, {"dump", NULL}, {NULL, NULL}};

static const luaL_Reg os_changes[] = {
    {"execute", NULL}, {"exit", NULL},    {"getenv", NULL},    {"remove", NULL},
    {"rename", NULL},  {"tmpname", NULL}, {"setlocale", NULL}, {NULL, NULL},
};

static const luaL_Reg no_changes[] = {{NULL, NULL}};

static void open_library(lua_State *L, const char *name, lua_CFunction open,
                         const luaL_Reg *changes)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    replace(L, changes);
    freeze_table(L, -1, name);
    lua_setglobal(L, name);
}

/* "x":upper() finds its methods in what `string` hides; nobody gets at the metatable. */
static void guard_string_metatable(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_getglobal(L, "string");
    if (freeze_hidden(L, -1))
        lua_setfield(L, -3, "__index");
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void stdlib_close_down(lua_State *L)
{
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    replace(L, base_changes);
    lua_pop(L, 1);
    open_library(L, "string", luaopen_string, string_changes);
    open_library(L, "table", luaopen_table, table_changes);
    open_library(L, "math", luaopen_math, no_changes);
    open_library(L, "utf8", luaopen_utf8, no_changes);
    open_library(L, "os", luaopen_os, os_changes);
    open_library(L, "coroutine", colib_open, no_changes);
    guard_string_metatable(L);
}
