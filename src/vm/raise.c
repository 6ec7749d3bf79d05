#include "vm/raise.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdarg.h>
#include <stdio.h>

#if defined(__SANITIZE_THREAD__)
/* Thread sanitizer follows longjmp, but not the fortified one that Lua's library calls: each
 * error would leave its frames on the sanitizer's stack until that is full. */
#include <setjmp.h>
_Noreturn void __longjmp_chk(jmp_buf env, int value);
_Noreturn void __longjmp_chk(jmp_buf env, int value)
{
    longjmp(env, value);
}
#endif

static const char type_name[] = "host.error";

static int error_tostring(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushliteral(L, "message");
    lua_rawget(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
        lua_pushliteral(L, "error without a message");
    return 1;
}

void raise_set_type(lua_State *L)
{
    if (luaL_newmetatable(L, type_name)) {
        lua_pushcfunction(L, error_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

bool raise_is_typed(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, type_name);
    bool same = lua_rawequal(L, -1, -2) && lua_istable(L, -1);
    lua_pop(L, 2);
    return same;
}

static void push_v(lua_State *L, const char *kind, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    luaL_checkstack(L, 6, NULL);
    lua_createtable(L, 0, 6);
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, text);
    lua_setfield(L, -2, "message");
    raise_set_type(L);
}

void raise_push(lua_State *L, const char *kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    push_v(L, kind, format, args);
    va_end(args);
}

void raise_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

void raise_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

void raise_misuse(lua_State *L, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    push_v(L, "contract", format, args);
    va_end(args);
    lua_error(L);
    __builtin_unreachable();
}
