/* host.token: access tokens for host.keycloak. The core fetches them; a worker keeps the last
 * one of each auth realm, and has one request per realm on its way at a time. */
#include "base/clock.h"
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

struct realm {
    struct realm *next;
    char name[256];
    struct token *token;
    uint64_t stale;                /* number of a token that a server refused; 0: none */
    struct token_request *pending; /* with the core */
    struct list waiters;
};

/* A task that waits for an answer; a userdata on its coroutine's stack. */
struct waiter {
    struct list node; /* in realm->waiters */
    struct task *task;
    struct realm *realm;
    uint64_t asked_stale;
    struct token *token; /* the answer, one reference; or an error */
    struct err error;
    bool target_failed;
    char target[128];
};

static struct realm *find_realm(struct vm *vm, const char *name)
{
    for (struct realm *r = vm->realms; r; r = r->next) {
        if (strcmp(r->name, name) == 0)
            return r;
    }
    return NULL;
}

MAY_RAISE static struct realm *check_realm(lua_State *L)
{
    struct vm *vm = vm_of(L);
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    struct realm *r = find_realm(vm, name);
    if (r)
        return r;
    if (len >= sizeof r->name)
        raise_misuse(L, "host.token: the realm's name is too long");
    r = calloc(1, sizeof *r);
    if (!r)
        luaL_error(L, "not enough memory");
    memcpy(r->name, name, len + 1);
    list_init(&r->waiters);
    r->next = vm->realms;
    vm->realms = r;
    return r;
}

static struct token_request *new_request(const struct realm *r, const struct task *t)
{
    struct token_request *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    list_init(&q->node);
    q->serial = vm_serial(t->vm);
    q->task = (void *)t;
    q->task_generation = t->generation;
    memcpy(q->realm, r->name, sizeof q->realm);
    q->stale = r->stale;
    return q;
}

static int push_token(lua_State *L, const struct token *token)
{
    lua_pushstring(L, token->text);
    lua_pushinteger(L, (lua_Integer)token->number);
    return 2;
}

/* ---- waiting ------------------------------------------------------------------------------ */

static int waiter_gc(lua_State *L)
{
    struct waiter *w = lua_touserdata(L, 1);
    list_remove(&w->node);
    token_unref(w->token);
    w->token = NULL;
    return 0;
}

static void waiter_cancel(void *data)
{
    struct waiter *w = data;
    list_remove(&w->node);
}

MAY_RAISE static int raise_failure(lua_State *L, const struct waiter *w)
{
    raise_push(L, "token", "%s", w->error.text);
    raise_flag(L, "retryable", true);
    raise_flag(L, "target_failed", w->target_failed);
    if (w->target[0])
        raise_text(L, "target", w->target);
    return lua_error(L);
}

MAY_RAISE static int wait_for_token(lua_State *L, struct task *t, struct realm *r);

static int answered(lua_State *L, int status, lua_KContext number)
{
    (void)status;
    struct task *t = task_back(L, number);
    struct waiter *w = lua_touserdata(L, 2);
    if (!w->token)
        return raise_failure(L, w);
    /* It was asked for before a server refused this very token: ask again, and say so. */
    if (w->token->number == w->realm->stale && w->asked_stale != w->realm->stale) {
        struct realm *r = w->realm;
        lua_settop(L, 1);
        return wait_for_token(L, t, r);
    }
    push_token(L, w->token);
    token_unref(w->token);
    w->token = NULL;
    return 2;
}

MAY_RAISE static struct waiter *push_waiter(lua_State *L)
{
    struct waiter *w = lua_newuserdatauv(L, sizeof *w, 0);
    memset(w, 0, sizeof *w);
    list_init(&w->node);
    if (luaL_newmetatable(L, "host.token.waiter")) {
        lua_pushcfunction(L, waiter_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return w;
}

/* The stack holds the realm's name only; the waiter comes second. */
MAY_RAISE static int wait_for_token(lua_State *L, struct task *t, struct realm *r)
{
    struct waiter *w = push_waiter(L);
    w->task = t;
    w->realm = r;
    if (!r->pending) {
        struct token_request *q = new_request(r, t);
        if (!q)
            return luaL_error(L, "not enough memory");
        r->pending = q;
        t->vm->ports.ask_token(t->vm->ports.arg, q);
    }
    task_note(t, "realm %s", r->name);
    w->asked_stale = r->pending->stale;
    list_append(&r->waiters, &w->node);
    return task_wait(L, t, waiter_cancel, w, answered);
}

/* get(auth_realm): the token's text and its number. */
static int token_get(lua_State *L)
{
    task_check_alive(L);
    lua_settop(L, 1);
    struct realm *r = check_realm(L);
    if (r->token && clock_boot_ms() < r->token->refresh_ms)
        return push_token(L, r->token);
    return wait_for_token(L, task_check_wait(L, "host.token.get"), r);
}

/* drop(auth_realm, number): a server refused that token. */
static int token_drop(lua_State *L)
{
    task_check_alive(L);
    struct realm *r = check_realm(L);
    uint64_t number = (uint64_t)luaL_checkinteger(L, 2);
    if (r->token && r->token->number == number) {
        token_unref(r->token);
        r->token = NULL;
    }
    if (number > r->stale)
        r->stale = number;
    return 0;
}

static int token_config(lua_State *L)
{
    const struct vm_options *o = &vm_of(L)->options;
    lua_newtable(L);
    if (o->keycloak_url)
        raise_text(L, "url", o->keycloak_url);
    if (vm_of(L)->keycloak_origin[0])
        raise_text(L, "origin", vm_of(L)->keycloak_origin);
    if (o->keycloak_realm)
        raise_text(L, "realm", o->keycloak_realm);
    const char *auth = o->keycloak_auth_realm ? o->keycloak_auth_realm : o->keycloak_realm;
    if (auth)
        raise_text(L, "auth_realm", auth);
    return 1;
}

/* message(): SentTimestamp in ms and attempt of the message that runs; nothing outside one. An
 * account that host.keycloak makes carries the time, and the message knows it again by that. */
static int token_message(lua_State *L)
{
    const struct task *t = vm_of(L)->current;
    if (!t || !t->job)
        return 0;
    lua_pushinteger(L, t->job->sent_at_ms);
    lua_pushinteger(L, t->job->attempt);
    return 2;
}

/* clock(): seconds that go on whatever is done to the wall clock, for how long something is known.
 */
static int token_clock(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_boot_ms() / 1000);
    return 1;
}

/* ---- answers ------------------------------------------------------------------------------ */

static void give(struct waiter *w, const struct token_request *q)
{
    list_remove(&w->node);
    w->token = q->token ? token_ref(q->token) : NULL;
    w->error = q->error;
    w->target_failed = q->target_failed;
    memcpy(w->target, q->target, sizeof w->target);
    task_note_result(w->task, "%s", q->token ? "" : "failed");
    task_ready(w->task);
}

void vm_token_answer(struct vm *vm, struct token_request *q)
{
    struct realm *r = find_realm(vm, q->realm);
    if (r && r->pending == q) { /* otherwise it was asked by a vm that is gone */
        r->pending = NULL;
        while (!list_empty(&r->waiters))
            give(list_entry(list_first(&r->waiters), struct waiter, node), q);
        if (q->token && q->token->number != r->stale) {
            token_unref(r->token);
            r->token = token_ref(q->token);
        }
    }
    token_unref(q->token);
    free(q);
}

void bind_token_free(struct vm *vm)
{
    while (vm->realms) {
        struct realm *r = vm->realms;
        vm->realms = r->next;
        token_unref(r->token);
        free(r);
    }
}

int bind_token_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", token_get},         {"drop", token_drop},   {"config", token_config},
        {"message", token_message}, {"clock", token_clock}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
