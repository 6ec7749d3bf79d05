/* The load phase: the handler's file is compiled and run, what it defines is kept, and the
 * globals are frozen. */
#include "vm/freeze.h"
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>

/* Keeps the function `name` of the table at `module`, or the global of that name if the file
 * returned no table. A field that is no function is an error. */
static int keep(lua_State *L, int module, const char *name)
{
    const char *path = state_base_name(vm_of(L)->options.handler_path);
    if (lua_istable(L, module))
        lua_getfield(L, module, name);
    else
        lua_getglobal(L, name);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    if (!lua_isfunction(L, -1))
        luaL_error(L, "%s: '%s' is a %s, not a function", path, name, luaL_typename(L, -1));
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* A file of tests has its cases in host.test, which runs the one that a message names. */
static void keep_tests(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "host.test");
    lua_call(L, 1, 1);
    vm_of(L)->handle_ref = keep(L, lua_gettop(L), "handle");
}

int load_main(lua_State *L)
{
    struct vm *vm = vm_of(L);
    const char *path = state_base_name(vm->options.handler_path);
    vm->phase = PHASE_LOADING;
    require_compile_handler(L, vm);
    lua_call(L, 0, 1);
    int module = lua_gettop(L);
    if (!lua_isnil(L, module) && !lua_istable(L, module))
        return luaL_error(L, "%s: returns a %s: return a table with a function `handle`", path,
                          luaL_typename(L, module));
    vm->init_ref = keep(L, module, "init");
    vm->selftest_ref = keep(L, module, "selftest");
    vm->handle_ref = keep(L, module, "handle");
    if (vm->handle_ref == LUA_NOREF && vm->options.stage)
        keep_tests(L);
    if (vm->handle_ref == LUA_NOREF)
        return luaL_error(L,
                          "%s: no `handle`: return a table with a function handle(msg), or "
                          "define a global function handle(msg)",
                          path);
    lua_pushglobaltable(L);
    freeze_table(L, -1, "_G");
    vm->phase = PHASE_LOADED;
    return 0;
}
