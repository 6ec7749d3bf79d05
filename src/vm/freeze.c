#include "vm/freeze.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

/* The address is the key under which a frozen table's metatable keeps the hidden table. */
static const char hidden_key;

bool freeze_hidden(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_checkstack(L, 3) || !lua_getmetatable(L, index))
        return false;
    if (lua_rawgetp(L, -1, &hidden_key) != LUA_TTABLE) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

static int refuse(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    if (strcmp(name, "_G") == 0) {
        const char *global =
            lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
        return luaL_error(L,
                          "global '%s' cannot be assigned after loading: messages share the "
                          "state; write `local %s`",
                          global, global);
    }
    return luaL_error(L, "'%s' is read-only: all messages share it", name);
}

/* next(proxy, key), on what the proxy hides. */
static int frozen_next(lua_State *L)
{
    lua_settop(L, 2);
    if (!freeze_hidden(L, 1))
        return luaL_error(L, "table expected");
    lua_insert(L, 2);
    return lua_next(L, 2) ? 2 : 0;
}

static int frozen_pairs(lua_State *L)
{
    lua_pushcfunction(L, frozen_next);
    lua_pushvalue(L, 1);
    return 2;
}

static int frozen_len(lua_State *L)
{
    if (!freeze_hidden(L, 1))
        return luaL_error(L, "table expected");
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

/* Moves all fields of `from` to `to`; both are absolute indices. */
static void move_fields(lua_State *L, int from, int to)
{
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, from); /* clearing a field while walking is allowed */
    }
}

void freeze_table(lua_State *L, int index, const char *name)
{
    luaL_checkstack(L, 8, NULL);
    index = lua_absindex(L, index);
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        return;
    }
    lua_createtable(L, 0, 6);
    int meta = lua_gettop(L);
    lua_newtable(L);
    move_fields(L, index, meta + 1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, meta, &hidden_key);
    lua_setfield(L, meta, "__index");
    lua_pushstring(L, name);
    lua_pushcclosure(L, refuse, 1);
    lua_setfield(L, meta, "__newindex");
    lua_pushcfunction(L, frozen_pairs);
    lua_setfield(L, meta, "__pairs");
    lua_pushcfunction(L, frozen_len);
    lua_setfield(L, meta, "__len");
    lua_pushboolean(L, 0);
    lua_setfield(L, meta, "__metatable");
    lua_setmetatable(L, index);
}

void freeze_deep(lua_State *L, int index, const char *name)
{
    freeze_table(L, index, name);
    if (!freeze_hidden(L, index))
        return;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_istable(L, -1) && !lua_getmetatable(L, -1))
            freeze_deep(L, -1, name);
        else if (lua_istable(L, -1))
            lua_pop(L, 1); /* its metatable: frozen already (a cycle), or its author's own */
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
