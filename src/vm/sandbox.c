#include "vm/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/rand.h"
#include "net/httpd.h"
#include "vm/bind_crypto.h"
#include "vm/bind_httpd.h"
#include "vm/embed.h"
#include "vm/json.h"

#include <errno.h>
#include <ev.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>

enum { BODY_MAX_BYTES = 16 << 20, AFTER_ERROR_MS = 1000 };

struct sandbox {
    struct ev_loop *loop;
    struct httpd *httpd;
    struct bind_httpd bind;
    lua_State *L;
    ev_timer timer;
    bool tick_due;
    struct buf wrong; /* what start found wrong with the options */
    int64_t due_ms;   /* CLOCK_BOOTTIME when Lua wants its tick; -1: never */
};

static const char main_key; /* registry: the module sandbox.main */

static struct sandbox *sandbox_of(lua_State *L)
{
    return *(struct sandbox **)lua_getextraspace(L);
}

/* ---- what Lua may call ------------------------------------------------------------------ */

static int core_now(lua_State *L)
{
    lua_pushinteger(L, clock_boot_ms());
    return 1;
}

static int core_wall(lua_State *L)
{
    lua_pushinteger(L, clock_wall_ms());
    return 1;
}

static int core_uuid(lua_State *L)
{
    char text[37];
    rand_uuid(text);
    lua_pushstring(L, text);
    return 1;
}

/* nearest(word, list): the one of the list's strings that was meant, or nil. */
static int core_nearest(lua_State *L)
{
    struct nearest n = NEAREST(luaL_checkstring(L, 1));
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TSTRING; i++) {
        nearest_offer(&n, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_pushstring(L, nearest_found(&n));
    return 1;
}

/* sandbox.core: now() for durations and wall() for time stamps, both in ms; uuid(); nearest(). */
static int core_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"now", core_now},
                                         {"wall", core_wall},
                                         {"uuid", core_uuid},
                                         {"nearest", core_nearest},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

/* ---- a request's way into Lua, all of it protected --------------------------------------- */

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void push_main(lua_State *L, const char *function)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &main_key);
    lua_getfield(L, -1, function);
    lua_remove(L, -2);
}

/* Every entry may have changed when the next tick is wanted. */
static void ask_due(lua_State *L)
{
    push_main(L, "due");
    lua_call(L, 0, 1);
    sandbox_of(L)->due_ms = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    lua_pop(L, 1);
}

static int on_error(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static int enter_request(lua_State *L)
{
    struct httpd_request *r = lua_touserdata(L, 1);
    lua_pushcfunction(L, on_error);
    push_main(L, "handle");
    bind_httpd_push(L, r);
    lua_pushvalue(L, -1);
    lua_replace(L, 1); /* the request's table stays in reach */
    if (lua_pcall(L, 1, 0, -3) != LUA_OK) {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        log_error("sandbox: %s", text);
        bind_httpd_fail(L, 1, text, len);
    }
    ask_due(L);
    return 0;
}

static int enter_gone(lua_State *L)
{
    if (!bind_httpd_gone(L, lua_touserdata(L, 1)))
        return 0;
    if (lua_getfield(L, -1, "on_gone") == LUA_TFUNCTION)
        lua_call(L, 0, 0);
    ask_due(L);
    return 0;
}

static int enter_tick(lua_State *L)
{
    push_main(L, "tick");
    lua_call(L, 0, 0);
    ask_due(L);
    return 0;
}

/* The only way into Lua: `function` runs protected, with `arg` as its only argument. */
static int enter(struct sandbox *s, lua_CFunction function, void *arg)
{
    lua_pushcfunction(s->L, on_error);
    lua_pushcfunction(s->L, function);
    lua_pushlightuserdata(s->L, arg);
    int rc = lua_pcall(s->L, 1, 0, 1);
    if (rc == LUA_OK) {
        lua_settop(s->L, 0);
        return 0;
    }
    return -1; /* the error's text stays on the stack */
}

static void enter_logged(struct sandbox *s, lua_CFunction function, void *arg)
{
    if (enter(s, function, arg) == 0)
        return;
    const char *text = lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : "?";
    log_error("sandbox: %s", text);
    lua_settop(s->L, 0);
    s->due_ms = clock_boot_ms() + AFTER_ERROR_MS;
}

/* ---- start ---------------------------------------------------------------------------------- */

static int search_embedded(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *file = lua_pushfstring(L, "%s.lua", luaL_gsub(L, name, ".", "/"));
    size_t len;
    const char *text = embed_find(file, &len);
    if (!text) {
        lua_pushfstring(L, "no file '%s' in this program", file);
        return 1;
    }
    if (luaL_loadbufferx(L, text, len, lua_pushfstring(L, "@%s", file), "t") != LUA_OK)
        return lua_error(L);
    return 1;
}

static void open_libraries(lua_State *L)
{
    static const luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},
                                         {LUA_LOADLIBNAME, luaopen_package},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math},
                                         {LUA_UTF8LIBNAME, luaopen_utf8},
                                         {LUA_COLIBNAME, luaopen_coroutine},
                                         {LUA_OSLIBNAME, luaopen_os},
                                         {NULL, NULL}};
    static const luaL_Reg own[] = {{"host.json", bind_json_open},
                                   {"host.crypto", bind_crypto_open},
                                   {"sandbox.core", core_open},
                                   {NULL, NULL}};
    for (const luaL_Reg *l = libraries; l->name; l++) {
        luaL_requiref(L, l->name, l->func, 1);
        lua_pop(L, 1);
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, own, 0);
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_createtable(L, 2, 0); /* searchers: preload as it is, and ours; no file is looked for */
    lua_getfield(L, -2, "searchers");
    lua_rawgeti(L, -1, 1);
    lua_rawseti(L, -3, 1);
    lua_pop(L, 1);
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, 2);
    lua_setfield(L, -2, "searchers");
    lua_pop(L, 2);
}

static void push_options(lua_State *L, const struct sandbox_options *o)
{
    lua_newtable(L);
    set_text(L, "realm", o->realm);
    set_text(L, "client_id", o->client_id);
    set_text(L, "client_secret", o->client_secret);
    lua_newtable(L);
    for (int i = 0; o->queues && o->queues[i]; i++) {
        lua_pushstring(L, o->queues[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "queues");
    if (o->dead_letters) {
        set_text(L, "dead_letters", o->dead_letters);
        lua_pushinteger(L, o->redrive_max);
        lua_setfield(L, -2, "redrive_max");
    }
    lua_newtable(L);
    for (int i = 0; i < o->realm_count; i++) {
        lua_newtable(L);
        set_text(L, "name", o->realms[i].name);
        lua_pushlstring(L, o->realms[i].text, o->realms[i].len);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "realms");
}

/* start(options) returns nothing, or what is wrong with the options. */
static int enter_start(lua_State *L)
{
    const struct sandbox_options *options = lua_touserdata(L, 1);
    open_libraries(L);
    bind_httpd_open(L, &sandbox_of(L)->bind);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "sandbox.main");
    lua_call(L, 1, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &main_key);
    push_main(L, "start");
    push_options(L, options);
    lua_call(L, 1, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    struct buf *wrong = &sandbox_of(L)->wrong;
    buf_clear(wrong);
    if (text)
        buf_add(wrong, text, len);
    else
        ask_due(L);
    return 0;
}

static void on_request(void *arg, struct httpd_request *r)
{
    enter_logged(arg, enter_request, r);
}

static void on_gone(void *arg, struct httpd_request *r)
{
    enter_logged(arg, enter_gone, r);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    ((struct sandbox *)w->data)->tick_due = true;
}

static void arm(struct sandbox *s)
{
    ev_timer_stop(s->loop, &s->timer);
    if (s->due_ms < 0)
        return;
    int64_t ms = s->due_ms - clock_boot_ms();
    ev_now_update(s->loop);
    ev_timer_set(&s->timer, ms > 0 ? (double)ms / 1000.0 : 0.0, 0.0);
    ev_timer_start(s->loop, &s->timer);
}

void sandbox_turn(struct sandbox *s)
{
    int64_t due_ms = s->due_ms;
    bool ticked = s->tick_due;
    httpd_turn(s->httpd);
    if (s->tick_due) {
        s->tick_due = false;
        enter_logged(s, enter_tick, NULL);
    }
    if (ticked || s->due_ms != due_ms)
        arm(s);
}

struct sandbox *sandbox_new(struct ev_loop *loop, const struct sandbox_options *options,
                            struct err *e)
{
    struct sandbox *s = calloc(1, sizeof *s);
    if (s)
        s->L = luaL_newstate();
    if (!s || !s->L) {
        free(s);
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    *(struct sandbox **)lua_getextraspace(s->L) = s;
    s->loop = loop;
    s->due_ms = -1;
    buf_init(&s->wrong);
    buf_init(&s->bind.words);
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    if (enter(s, enter_start, (void *)options) != 0) {
        err_set(e, ENOMEM, "%s", lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : "?");
        goto fail;
    }
    if (s->wrong.len > 0) {
        err_set(e, EDOM, "%s", s->wrong.data);
        goto fail;
    }
    const struct httpd_options http = {.listen = options->listen,
                                       .allow_remote = options->allow_remote,
                                       .max_body_bytes = BODY_MAX_BYTES,
                                       .max_connections = 900,
                                       .idle_s = 300,
                                       .exchange_s = 60};
    const struct httpd_owner owner = {s, on_request, on_gone};
    s->httpd = httpd_new(loop, &http, &owner, e);
    if (!s->httpd)
        goto fail;
    arm(s);
    return s;
fail:
    sandbox_free(s);
    return NULL;
}

void sandbox_free(struct sandbox *s)
{
    if (!s)
        return;
    s->bind.stopping = true;
    ev_timer_stop(s->loop, &s->timer);
    httpd_free(s->httpd);
    lua_close(s->L);
    buf_free(&s->wrong);
    buf_free(&s->bind.words);
    free(s);
}

const char *sandbox_name(const struct sandbox *s)
{
    return httpd_name(s->httpd);
}
