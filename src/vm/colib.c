/* The coroutine library, written anew for three reasons: a coroutine of the handler's own may
 * wait in a binding (the wait is passed up to the scheduler), no coroutine outlives the kill
 * of its task, and none resumes what belongs to another message. */
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static void check_not_owned(lua_State *L, const lua_State *co)
{
    if (task_owns(vm_of(L), co))
        raise_misuse(L, "this coroutine belongs to the host, or waits in a binding: it cannot be "
                        "resumed or closed by hand");
}

/* The body of each coroutine. The protected call inside it gives hooks back to a coroutine in
 * which one raised an error; without it __close could loop there unseen (Lua 5.4.4). */
static int body_end(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    if (status != LUA_OK && status != LUA_YIELD)
        return lua_error(L);
    return lua_gettop(L);
}

static int body(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, body_end);
    return body_end(L, status, 0);
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, body, 1);
    lua_xmove(L, co, 1);
    return 1;
}

/* Gives the values at the top of L to `co` and runs it until it yields or ends. 1: what it
 * yielded or returned is at the top of L, `count` values. 0: an error is. -1: it waits in a
 * binding, and so must L. */
static int advance(lua_State *L, lua_State *co, int nargs, int *count)
{
    struct vm *vm = vm_of(L);
    if (!lua_checkstack(co, nargs)) {
        lua_pushliteral(L, "too many arguments to resume");
        return 0;
    }
    lua_xmove(L, co, nargs);
    int status = task_resume(vm, co, L, nargs, count);
    struct task *t = vm->current;
    if (status == LUA_YIELD && t->waiting)
        return -1;
    if (t->kill != KILL_NONE)
        task_raise_kill(L, t);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return 0;
    }
    if (!lua_checkstack(L, *count + 1)) {
        lua_pop(co, *count);
        lua_pushliteral(L, "too many results to resume");
        return 0;
    }
    lua_xmove(co, L, *count);
    return 1;
}

static int resume_result(lua_State *L, int how, int count)
{
    lua_pushboolean(L, how > 0);
    lua_insert(L, how > 0 ? -(count + 1) : -2);
    return how > 0 ? count + 1 : 2;
}

static int resume_again(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    int count = 0;
    int how = advance(L, lua_tothread(L, 1), 0, &count);
    return how < 0 ? lua_yieldk(L, 0, 0, resume_again) : resume_result(L, how, count);
}

static int co_resume(lua_State *L)
{
    task_check_alive(L);
    lua_State *co = check_coroutine(L);
    check_not_owned(L, co);
    int count = 0;
    int how = advance(L, co, lua_gettop(L) - 1, &count);
    return how < 0 ? lua_yieldk(L, 0, 0, resume_again) : resume_result(L, how, count);
}

/* The error gets the place in front, as Lua's own wrap does. (Its pending variables are closed
 * already, by the protected call in `body`.) */
static int wrap_failed(lua_State *L, lua_State *co)
{
    if (lua_type(L, -1) == LUA_TSTRING && lua_status(co) != LUA_ERRMEM) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int wrap_again(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int count = 0;
    int how = advance(L, co, 0, &count);
    if (how < 0)
        return lua_yieldk(L, 0, 0, wrap_again);
    return how > 0 ? count : wrap_failed(L, co);
}

static int wrap_call(lua_State *L)
{
    task_check_alive(L);
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    check_not_owned(L, co);
    int count = 0;
    int how = advance(L, co, lua_gettop(L), &count);
    if (how < 0)
        return lua_yieldk(L, 0, 0, wrap_again);
    return how > 0 ? count : wrap_failed(L, co);
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, wrap_call, 1);
    return 1;
}

static int co_close(lua_State *L)
{
    task_check_alive(L);
    struct vm *vm = vm_of(L);
    lua_State *co = check_coroutine(L);
    check_not_owned(L, co);
    lua_Debug ar;
    bool running = lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar);
    if (running || co == L)
        return luaL_error(L, "cannot close a running coroutine");
    budget_switch(&vm->budget, co);
    int status = lua_resetthread(co);
    budget_switch(&vm->budget, L);
    task_check_alive(L);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

static int co_yield (lua_State *L)
{
    task_check_alive(L);
    return lua_yield(L, lua_gettop(L));
}

static const char *status_name(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (co == L)
        return "running";
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar))
            return "normal";
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    default:
        return "dead";
    }
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, status_name(L, check_coroutine(L)));
    return 1;
}

static int co_running(lua_State *L)
{
    lua_pushboolean(L, lua_pushthread(L));
    return 2;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L);
    lua_pushboolean(L, lua_isyieldable(co));
    return 1;
}

int colib_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", co_create},
        {"resume", co_resume},
        {"wrap", co_wrap},
        {"close", co_close},
        {"yield", co_yield },
        {"status", co_status},
        {"running", co_running},
        {"isyieldable", co_isyieldable},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
