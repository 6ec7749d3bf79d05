/* host.cache_core: host.cache (lua/host/cache.lua) on the process's cache. Values are texts here.
 */
#include "base/clock.h"
#include "vm/cache.h"
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 1024 };

static const char claim_type[] = "host.cache.claim";

/* What a task holds, or waits for; a userdata, so that whatever ends the task lets go of it. */
struct claim {
    struct cache_waiter waiter;
    struct task *task;
    struct cache *cache;
    bool mine;
    char key[];
};

static int64_t now_ms(const struct vm *vm)
{
    return clock_boot_ms() + vm->ahead_us / 1000;
}

MAY_RAISE static struct cache *check_cache(lua_State *L)
{
    struct vm *vm = vm_of(L);
    task_check_alive(L);
    if (!vm->cache.cache)
        raise_misuse(L, "host.cache: there is none here");
    return vm->cache.cache;
}

MAY_RAISE static const char *check_key(lua_State *L)
{
    size_t len;
    if (lua_type(L, 1) != LUA_TSTRING)
        raise_misuse(L, "host.cache: a key must be a string, not a %s", luaL_typename(L, 1));
    const char *key = lua_tolstring(L, 1, &len);
    if (len == 0 || len > KEY_MAX_BYTES || strlen(key) != len)
        raise_misuse(L, "host.cache: a key has 1 to %d bytes, and none of them NUL", KEY_MAX_BYTES);
    return key;
}

MAY_RAISE static int64_t check_ttl_ms(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index))
        return 0;
    lua_Number seconds = luaL_checknumber(L, index);
    if (!(seconds > 0) || seconds > 1e9)
        raise_misuse(L, "host.cache: a time to live must be a number of seconds, more than 0");
    return (int64_t)ceil(seconds * 1000);
}

/* Pushes what is in the buffer and frees it, even if there is no memory for that. */
static int push_text(lua_State *L)
{
    const struct buf *b = lua_touserdata(L, 1);
    lua_pushlstring(L, b->data, b->len);
    return 1;
}

MAY_RAISE static void push_buf(lua_State *L, struct buf *b)
{
    bool whole = !b->failed;
    lua_pushcfunction(L, push_text);
    lua_pushlightuserdata(L, b);
    int status = lua_pcall(L, 1, 1, 0);
    buf_free(b);
    if (!whole)
        luaL_error(L, "not enough memory");
    if (status != LUA_OK)
        lua_error(L);
}

static int cache_get_(lua_State *L)
{
    struct cache *c = check_cache(L);
    struct buf text;
    buf_init(&text);
    if (!cache_get(c, check_key(L), now_ms(vm_of(L)), &text))
        return 0;
    push_buf(L, &text);
    return 1;
}

/* set(key, text, ttl) */
static int cache_set_(lua_State *L)
{
    struct cache *c = check_cache(L);
    size_t len;
    const char *key = check_key(L), *text = luaL_checklstring(L, 2, &len);
    if (cache_set(c, key, text, len, check_ttl_ms(L, 3), now_ms(vm_of(L))) != 0)
        luaL_error(L, "host.cache: no memory for a value of %d bytes", (int)len);
    return 0;
}

static int cache_delete_(lua_State *L)
{
    struct cache *c = check_cache(L);
    cache_delete(c, check_key(L));
    return 0;
}

/* add(key, by, ttl) */
static int cache_add_(lua_State *L)
{
    struct cache *c = check_cache(L);
    const char *key = check_key(L);
    int64_t by = luaL_checkinteger(L, 2), result;
    int rc = cache_add(c, key, by, check_ttl_ms(L, 3), now_ms(vm_of(L)), &result);
    if (rc == -1)
        raise_misuse(
            L, "host.cache.incr: what is kept under '%s' is no integer, or would not fit one", key);
    if (rc != 0)
        luaL_error(L, "host.cache: no memory");
    lua_pushinteger(L, result);
    return 1;
}

/* ---- claims ------------------------------------------------------------------------------------
 */

static void let_go(struct claim *cl)
{
    if (cl->mine)
        cache_release(cl->cache, cl->key, cl->task);
    cl->mine = false;
}

static int claim_end(lua_State *L) /* __close and __gc */
{
    struct claim *cl = lua_touserdata(L, 1);
    cache_waiter_stop(&cl->waiter);
    let_go(cl);
    return 0;
}

static void on_ready(struct cache_waiter *w)
{
    task_ready(((struct claim *)w)->task);
}

static void on_cancel(void *data)
{
    cache_waiter_stop(&((struct claim *)data)->waiter);
}

MAY_RAISE static struct claim *push_claim(lua_State *L, struct task *t, const char *key)
{
    size_t len = strlen(key);
    struct claim *cl = lua_newuserdatauv(L, sizeof *cl + len + 1, 0);
    memset(cl, 0, sizeof *cl);
    memcpy(cl->key, key, len + 1);
    cl->task = t;
    cl->cache = t->vm->cache.cache;
    cache_waiter_init(&cl->waiter, &t->vm->cache, on_ready);
    if (luaL_newmetatable(L, claim_type)) {
        lua_pushcfunction(L, claim_end);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "__close");
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return cl;
}

/* The other one has ended: nothing is returned, and the caller asks again. */
static int waited(lua_State *L, int status, lua_KContext number)
{
    (void)status;
    task_back(L, number);
    return 0;
}

/* claim(key): the text; or nil and the claim, which the caller closes; or, after a wait, nothing.
 */
static int cache_claim_(lua_State *L)
{
    struct cache *c = check_cache(L);
    const char *key = check_key(L);
    struct task *t = task_check_wait(L, "host.cache.once");
    struct buf text;
    buf_init(&text);
    lua_settop(L, 1);
    struct claim *cl = push_claim(L, t, key);
    switch (cache_claim(c, key, t, now_ms(t->vm), &cl->waiter, &text)) {
    case CACHE_FOUND:
        push_buf(L, &text);
        return 1;
    case CACHE_MINE:
        cl->mine = true;
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    case CACHE_WAIT:
        task_note(t, "%s", key);
        return task_wait(L, t, on_cancel, cl, waited);
    case CACHE_OWN:
        raise_misuse(L, "host.cache.once: '%s' is being computed by this very message", key);
    case CACHE_NO_MEMORY:
        break;
    }
    return luaL_error(L, "host.cache: no memory");
}

int bind_cache_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", cache_get_},       {"set", cache_set_},
                                         {"delete", cache_delete_}, {"add", cache_add_},
                                         {"claim", cache_claim_},   {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
