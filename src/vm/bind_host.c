/* The module `host`: outcomes, typed errors, time, settings. */
#include "base/clock.h"
#include "base/rand.h"
#include "base/version.h"
#include "vm/freeze.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ev.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- outcomes ----------------------------------------------------------------------------- */

static int outcome_new(lua_State *L, const char *outcome, int reason, int after)
{
    lua_createtable(L, 0, 3);
    raise_text(L, "outcome", outcome);
    lua_pushvalue(L, reason);
    lua_setfield(L, -2, "reason");
    lua_pushvalue(L, after);
    lua_setfield(L, -2, "after");
    if (luaL_newmetatable(L, outcome_type_name)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    struct task *t = vm_of(L)->current;
    if (t) {
        t->built.count++;
        t->built.last = lua_topointer(L, -1);
        place_of_call(L, t->built.at, sizeof t->built.at);
    }
    return 1;
}

static void check_reason(lua_State *L, int index, const char *function)
{
    if (!lua_isnil(L, index) && lua_type(L, index) != LUA_TSTRING)
        raise_misuse(L, "%s: the reason must be a string, not a %s", function,
                     luaL_typename(L, index));
}

/* A misspelled `after` would silently be the ordinary backoff. */
static void check_fields(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strcmp(name, "after") != 0 && strcmp(name, "reason") != 0)
            raise_misuse(L, "host.retry has no field %s: it takes after and reason",
                         luaL_tolstring(L, -2, NULL));
    }
}

/* host.retry{after = seconds, reason = "…"} */
static int host_retry(lua_State *L)
{
    task_check_alive(L);
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    if (!lua_istable(L, 1))
        raise_misuse(L, "host.retry takes a table {after = seconds, reason = \"…\"}, not a %s",
                     luaL_typename(L, 1));
    check_fields(L);
    lua_getfield(L, 1, "reason");
    lua_getfield(L, 1, "after");
    check_reason(L, 2, "host.retry");
    if (!lua_isnil(L, 3) && (lua_type(L, 3) != LUA_TNUMBER || !(lua_tonumber(L, 3) >= 0)))
        raise_misuse(L, "host.retry: after must be a number of seconds, 0 or more");
    return outcome_new(L, "retry", 2, 3);
}

/* host.reject("reason") */
static int host_reject(lua_State *L)
{
    task_check_alive(L);
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_replace(L, 2);
    check_reason(L, 1, "host.reject");
    return outcome_new(L, "reject", 1, 2);
}

/* host.error{kind=, message=, retryable=, after=, …}: raises; further fields are kept. */
static int host_error(lua_State *L)
{
    task_check_alive(L);
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING) {
        raise_push(L, "error", "%s", lua_tostring(L, 1));
        return lua_error(L);
    }
    if (!lua_istable(L, 1))
        raise_misuse(L, "host.error takes a table {kind, message, retryable, after}, not a %s",
                     luaL_typename(L, 1));
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 2);
    }
    bool named = lua_getfield(L, 2, "kind") == LUA_TSTRING;
    lua_settop(L, 2);
    if (!named)
        raise_text(L, "kind", "error");
    raise_set_type(L);
    return lua_error(L);
}

/* ---- time --------------------------------------------------------------------------------- */

struct nap {
    ev_timer timer;
    struct task *task;
};

static void nap_over(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    task_ready(w->data);
}

static void nap_cancel(void *data)
{
    struct nap *nap = data;
    ev_timer_stop(nap->task->vm->ports.loop, &nap->timer);
}

static int sleep_over(lua_State *L, int status, lua_KContext number)
{
    (void)status;
    task_back(L, number);
    return 0;
}

/* Whatever the sleep would have outlasted ends here too. */
MAY_RAISE static int skip_sleep(lua_State *L, struct task *t, lua_Number seconds)
{
    int64_t left_us = t->deadline_us - clock_mono_us();
    if (seconds * 1e6 >= (lua_Number)left_us) {
        t->kill = KILL_TIME;
        task_check_alive(L);
    }
    task_note_end(t, (int64_t)(seconds * 1e6));
    t->vm->ahead_us += (int64_t)(seconds * 1e6);
    t->started_us -= (int64_t)(seconds * 1e6);
    t->deadline_us -= (int64_t)(seconds * 1e6);
    return 0;
}

static int host_sleep(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    if (!(seconds >= 0) || isinf(seconds))
        raise_misuse(L, "host.sleep: seconds must be a number, 0 or more");
    struct task *t = task_check_wait(L, "host.sleep");
    task_note(t, "%g s", seconds);
    if (t->vm->options.sleeps_at_once)
        return skip_sleep(L, t, seconds);
    struct nap *nap = lua_newuserdatauv(L, sizeof *nap, 0); /* stays on the stack meanwhile */
    nap->task = t;
    ev_timer_init(&nap->timer, nap_over, seconds, 0);
    nap->timer.data = t;
    ev_now_update(t->vm->ports.loop);
    ev_timer_start(t->vm->ports.loop, &nap->timer);
    return task_wait(L, t, nap_cancel, nap, sleep_over);
}

static int host_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_wall_ms() / 1000 + (lua_Number)vm_of(L)->ahead_us / 1e6);
    return 1;
}

/* ---- the rest ----------------------------------------------------------------------------- */

static int host_uuid(lua_State *L)
{
    char text[37];
    rand_uuid(text);
    lua_pushstring(L, text);
    return 1;
}

static int host_traceback(lua_State *L)
{
    char *text = verdict_traceback(L, NULL, 0);
    if (!text)
        return luaL_error(L, "not enough memory");
    char copy[4096]; /* lua_pushstring may raise, and `text` would leak */
    snprintf(copy, sizeof copy, "%s", text);
    free(text);
    lua_pushstring(L, copy);
    return 1;
}

/* host.env(name): upvalue 1 is the table of names that handler.env lists. */
static int host_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_toboolean(L, -1))
        raise_misuse(L,
                     "host.env: '%s' is not listed: add it to handler = { env = { \"%s\" } } in "
                     "host.conf.lua",
                     name, name);
    lua_pushstring(L, getenv(name));
    return 1;
}

/* Pushes the set of names in the array `env` of the table at the top. */
static void push_env_names(lua_State *L)
{
    lua_newtable(L);
    if (lua_getfield(L, -2, "env") == LUA_TTABLE) {
        for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
            lua_pushboolean(L, 1);
            lua_rawset(L, -4);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

int bind_host_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"retry", host_retry},
        {"reject", host_reject},
        {"error", host_error},
        {"sleep", host_sleep},
        {"now", host_now},
        {"uuid", host_uuid},
        {"traceback", host_traceback},
        {NULL, NULL},
    };
    const char *settings = vm_of(L)->options.handler_json;
    luaL_newlib(L, functions);
    lua_pushliteral(L, HOST_VERSION);
    lua_setfield(L, -2, "version");
    json_push(L, settings ? settings : "{}", settings ? strlen(settings) : 2, JSON_PLAIN);
    push_env_names(L);
    lua_pushcclosure(L, host_env, 1);
    lua_setfield(L, -3, "env");
    freeze_deep(L, -1, "host.config");
    lua_setfield(L, -2, "config");
    return 1;
}
