#include "vm/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "net/httpd.h"
#include "net/uri.h"
#include "vm/json.h"
#include "vm/bind_crypto.h"
#include "vm/embed.h"

#include <errno.h>
#include <ev.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_HEADERS_MAX = 32, BODY_MAX_BYTES = 16 << 20, AFTER_ERROR_MS = 1000 };

struct sandbox {
    struct ev_loop *loop;
    struct httpd *httpd;
    lua_State *L;
    ev_timer timer;
    bool tick_due;
    bool stopping;
    int64_t due_ms;  /* CLOCK_BOOTTIME when Lua wants its tick; -1: never */
    struct buf words; /* for decoding; here because Lua may leave a function by longjmp */
};

/* What Lua holds of a request; NULL once it is answered or its client has left. */
struct token {
    struct httpd_request *request;
};

static const char token_type[] = "sandbox.token";
static const char request_type[] = "sandbox.request";
static const char pending_key; /* registry: request → its table, weak: Lua may drop one */
static const char main_key;    /* registry: the module sandbox.main */

static struct sandbox *sandbox_of(lua_State *L)
{
    return *(struct sandbox **)lua_getextraspace(L);
}

/* ---- what Lua may call ------------------------------------------------------------------ */

/* The token of a request's table that still waits for an answer, or NULL. */
static struct token *waiting(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_rawgeti(L, 1, 1);
    struct token *t = luaL_checkudata(L, -1, token_type);
    lua_pop(L, 1);
    return t->request ? t : NULL;
}

static void answer(lua_State *L, struct token *t, unsigned status,
                   const struct httpd_header *headers, const char *body, size_t len)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    lua_pushnil(L);
    lua_rawsetp(L, -2, t->request);
    lua_pop(L, 1);
    struct httpd_request *request = t->request;
    t->request = NULL;
    httpd_reply(request, status, headers, body, len);
}

/* req:reply(status, headers, body): true if there was still somebody to answer. */
static int req_reply(lua_State *L)
{
    struct httpd_header headers[REPLY_HEADERS_MAX + 1];
    int count = 0;
    size_t len = 0;
    struct token *t = waiting(L);
    lua_Integer status = luaL_checkinteger(L, 2);
    const char *body = luaL_optlstring(L, 4, "", &len);
    luaL_argcheck(L, status >= 200 && status <= 599, 2, "no status");
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, 3,
                          "names and values are strings");
            luaL_argcheck(L, count < REPLY_HEADERS_MAX, 3, "too many headers");
            headers[count++] = (struct httpd_header){lua_tostring(L, -2), lua_tostring(L, -1)};
        }
    }
    headers[count].name = NULL;
    if (t)
        answer(L, t, (unsigned)status, headers, body, len);
    lua_pushboolean(L, t != NULL);
    return 1;
}

/* req:here(): whether the client still waits. */
static int req_here(lua_State *L)
{
    struct token *t = waiting(L);
    lua_pushboolean(L, t && httpd_client_here(t->request));
    return 1;
}

/* A request that the Lua side lost: its client shall not wait for ever. */
static int token_gc(lua_State *L)
{
    static const char text[] = "the stand-in dropped this request without an answer\n";
    struct token *t = luaL_checkudata(L, 1, token_type);
    if (t->request && !sandbox_of(L)->stopping) {
        log_error("sandbox: %s %s was dropped without an answer", httpd_method(t->request),
                  httpd_path(t->request));
        httpd_reply(t->request, 500, NULL, text, sizeof text - 1);
    }
    t->request = NULL;
    return 0;
}

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

/* sandbox.core: now() for durations and wall() for time stamps, both in ms; uuid(). */
static int core_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", core_now}, {"wall", core_wall}, {"uuid", core_uuid}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

/* ---- a request's way into Lua, all of it protected --------------------------------------- */

static void push_decoded(lua_State *L, const char *text, size_t len)
{
    struct buf *b = &sandbox_of(L)->words;
    buf_clear(b);
    if (uri_decode(b, text, len, true))
        lua_pushlstring(L, b->data, b->len);
    else
        lua_pushlstring(L, text, len);
}

/* Of a name given twice the first value counts. */
static void push_query(lua_State *L, const char *query)
{
    struct uri_pair pair;
    size_t at = 0;
    lua_newtable(L);
    while (uri_next(query, &at, &pair)) {
        push_decoded(L, pair.name, pair.name_len);
        lua_pushvalue(L, -1);
        bool known = lua_rawget(L, -3) != LUA_TNIL;
        lua_pop(L, 1);
        if (known) {
            lua_pop(L, 1);
            continue;
        }
        push_decoded(L, pair.value, pair.value_len);
        lua_rawset(L, -3);
    }
}

/* Names in lower case. */
static void push_headers(lua_State *L, const struct httpd_request *r)
{
    const char *name, *value;
    size_t at = 0;
    lua_newtable(L);
    while (httpd_next_header(r, &at, &name, &value)) {
        size_t len = strlen(name);
        luaL_Buffer b;
        char *lower = luaL_buffinitsize(L, &b, len);
        for (size_t i = 0; i < len; i++)
            lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
        luaL_pushresultsize(&b, len);
        lua_pushstring(L, value);
        lua_rawset(L, -3);
    }
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void push_request(lua_State *L, struct httpd_request *r)
{
    size_t len;
    const char *body = httpd_body(r, &len);
    lua_createtable(L, 1, 7);
    struct token *t = lua_newuserdatauv(L, sizeof *t, 0);
    t->request = NULL;
    luaL_setmetatable(L, token_type);
    t->request = r;
    lua_rawseti(L, -2, 1);
    luaL_setmetatable(L, request_type);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, r);
    lua_pop(L, 1);
    set_text(L, "method", httpd_method(r));
    set_text(L, "path", httpd_path(r));
    set_text(L, "raw_path", httpd_raw_path(r));
    push_query(L, httpd_query(r));
    lua_setfield(L, -2, "query");
    push_headers(L, r);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, body, len);
    lua_setfield(L, -2, "body");
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
    push_request(L, r);
    lua_pushvalue(L, -1);
    lua_replace(L, 1); /* the request's table stays in reach */
    if (lua_pcall(L, 1, 0, -3) != LUA_OK) {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        log_error("sandbox: %s", text);
        struct token *t = waiting(L);
        if (t)
            answer(L, t, 500, NULL, text, len);
    }
    ask_due(L);
    return 0;
}

static int enter_gone(lua_State *L)
{
    void *r = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key);
    if (lua_rawgetp(L, -1, r) != LUA_TTABLE)
        return 0;
    lua_replace(L, 1);
    lua_pushnil(L);
    lua_rawsetp(L, -2, r);
    struct token *t = waiting(L);
    if (t)
        t->request = NULL;
    if (lua_getfield(L, 1, "on_gone") == LUA_TFUNCTION)
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
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},      {LUA_LOADLIBNAME, luaopen_package},
        {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
        {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8},
        {LUA_COLIBNAME, luaopen_coroutine}, {LUA_OSLIBNAME, luaopen_os}, {NULL, NULL}};
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

static void open_types(lua_State *L)
{
    static const luaL_Reg methods[] = {{"reply", req_reply}, {"here", req_here}, {NULL, NULL}};
    luaL_newmetatable(L, token_type);
    lua_pushcfunction(L, token_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, request_type);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    set_text(L, "__mode", "v");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &pending_key);
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
    open_types(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "sandbox.main");
    lua_call(L, 1, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &main_key);
    push_main(L, "start");
    push_options(L, options);
    lua_call(L, 1, 1);
    size_t len;
    const char *wrong = lua_tolstring(L, -1, &len);
    struct buf *words = &sandbox_of(L)->words;
    buf_clear(words);
    if (wrong)
        buf_add(words, wrong, len);
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
    buf_init(&s->words);
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    if (enter(s, enter_start, (void *)options) != 0) {
        err_set(e, ENOMEM, "%s", lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : "?");
        goto fail;
    }
    if (s->words.len > 0) {
        err_set(e, EDOM, "%s", s->words.data);
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
    s->stopping = true;
    ev_timer_stop(s->loop, &s->timer);
    httpd_free(s->httpd);
    lua_close(s->L);
    buf_free(&s->words);
    free(s);
}

const char *sandbox_name(const struct sandbox *s)
{
    return httpd_name(s->httpd);
}
