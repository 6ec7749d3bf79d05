#include "conf/lua_state.h"

#include "conf/conf.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>

const char *conf_lua_version(void)
{
    return LUA_RELEASE;
}

static void *allocate(void *arg, void *old, size_t old_bytes, size_t new_bytes)
{
    struct conf_lua *lua = arg;
    size_t before = old ? old_bytes : 0; /* without `old` it is a type, not a size */
    if (!new_bytes) {
        free(old);
        lua->used_bytes -= before;
        return NULL;
    }
    if (new_bytes > before && lua->used_bytes - before + new_bytes > CONF_LUA_MEMORY_BYTES)
        return NULL;
    void *got = realloc(old, new_bytes);
    if (got)
        lua->used_bytes += new_bytes - before;
    return got;
}

static void took_too_long(lua_State *L, lua_Debug *where)
{
    (void)where;
    luaL_where(L, 0);
    lua_pushfstring(L, "the file does not come to an end (stopped after %d million steps)",
                    CONF_LUA_INSTRUCTIONS / 1000000);
    lua_concat(L, 2);
    lua_error(L);
}

/* What is left out could hide an error of the hook (pcall), has no hook (coroutines,
 * finalizers), or runs long inside one C call (string.rep, table.move). */
static const char *const base_names[] = {"assert", "error",    "ipairs",   "next", "pairs",
                                         "select", "tonumber", "tostring", "type", NULL};

static void keep_base(lua_State *L)
{
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    lua_createtable(L, 0, 16);
    for (int i = 0; base_names[i]; i++) {
        lua_getfield(L, -2, base_names[i]);
        lua_setfield(L, -2, base_names[i]);
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pop(L, 1);
}

/* A mistyped name must not be a nil that takes a setting away. */
static int no_such_variable(lua_State *L)
{
    return luaL_error(L,
                      "there is no variable %s here (a configuration has string, table, math, "
                      "os.getenv and what it defines itself)",
                      luaL_tolstring(L, 2, NULL));
}

static void refuse_unknown_globals(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, no_such_variable);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static void add_library(lua_State *L, const char *name, lua_CFunction open, const char *without)
{
    luaL_requiref(L, name, open, 1);
    if (without) {
        lua_pushnil(L);
        lua_setfield(L, -2, without);
    }
    lua_pop(L, 1);
}

static int set_up(lua_State *L)
{
    keep_base(L);
    add_library(L, LUA_STRLIBNAME, luaopen_string, "rep");
    add_library(L, LUA_TABLIBNAME, luaopen_table, "move");
    add_library(L, LUA_MATHLIBNAME, luaopen_math, NULL);
    luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 0);
    lua_createtable(L, 0, 1);
    lua_getfield(L, -2, "getenv");
    lua_setfield(L, -2, "getenv");
    lua_setglobal(L, LUA_OSLIBNAME);
    refuse_unknown_globals(L);
    return 0;
}

bool conf_lua_open(struct conf_lua *lua)
{
    lua->used_bytes = 0;
    lua->L = lua_newstate(allocate, lua);
    if (!lua->L)
        return false;
    lua_pushcfunction(lua->L, set_up);
    if (lua_pcall(lua->L, 0, 0, 0) != LUA_OK) {
        conf_lua_close(lua);
        return false;
    }
    lua_sethook(lua->L, took_too_long, LUA_MASKCOUNT, CONF_LUA_INSTRUCTIONS);
    return true;
}

void conf_lua_close(struct conf_lua *lua)
{
    if (lua->L)
        lua_close(lua->L);
    lua->L = NULL;
}
