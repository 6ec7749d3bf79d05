#include "vm/state.h"

#include "base/log.h"
#include "vm/freeze.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

struct vm *vm_of(lua_State *L)
{
    return *(struct vm **)lua_getextraspace(L); /* copied to each coroutine from the main one */
}

/* Unreachable while the rule holds that nothing raises outside a protected call. */
static int on_panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    log_error("lua: unprotected error: %s", text ? text : "not a string");
    return 0;
}

static void on_warning(void *arg, const char *text, int to_be_continued)
{
    (void)arg;
    (void)to_be_continued;
    if (text[0] != '@')
        log_warn("lua: %s", text);
}

static int open_all(lua_State *L)
{
    struct vm *vm = vm_of(L);
    stdlib_close_down(L);
    require_open(L, vm);
    return 0;
}

int state_open(struct vm *vm, struct err *e)
{
    vm->L = lua_newstate(mem_alloc, &vm->mem);
    if (!vm->L)
        goto no_memory;
    *(struct vm **)lua_getextraspace(vm->L) = vm;
    lua_atpanic(vm->L, on_panic);
    lua_setwarnf(vm->L, on_warning, NULL);
    lua_pushcfunction(vm->L, open_all);
    if (lua_pcall(vm->L, 0, 0, 0) == LUA_OK)
        return 0;
    if (vm->mem.pressed)
        goto no_memory;
    return err_set(e, 0, "Lua state: %s", lua_tostring(vm->L, -1));
no_memory:
    return err_set(
        e, 0, "limits.memory is %zu bytes, which is not enough to open Lua: give it 1M or more",
        vm->options.limit_memory_bytes);
}
