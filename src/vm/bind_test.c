/* host.stage: what host.test (lua/host/test.lua) and the tools in Lua need of C: to declare cases,
 * to run a message through a handler, which has a state of its own, and to answer its requests. */
#include "net/fetch.h"
#include "vm/state.h"
#include "vm/task.h"

#include <json-c/json.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char job_type[] = "host.stage.job";

/* ---- a message through a handler ----------------------------------------------------------- */

static int job_gc(lua_State *L)
{
    struct job **job = lua_touserdata(L, 1);
    if (*job)
        job_free(*job);
    *job = NULL;
    return 0;
}

/* Pushes a userdata that owns the job made of the SQS message in `text`. */
MAY_RAISE static struct job *push_job(lua_State *L, const char *text)
{
    struct job **job = lua_newuserdatauv(L, sizeof *job, 0);
    *job = NULL;
    if (luaL_newmetatable(L, job_type)) {
        lua_pushcfunction(L, job_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    struct json_object *message = json_tokener_parse(text);
    *job = message ? job_new(message) : NULL;
    if (!*job)
        luaL_error(L, "not enough memory for a message");
    return *job;
}

static const char *outcome_name(const struct job *job)
{
    static const char *const names[] = {[OUTCOME_NONE] = "none",
                                        [OUTCOME_ACK] = "ack",
                                        [OUTCOME_RETRY] = "retry",
                                        [OUTCOME_REJECT] = "reject",
                                        [OUTCOME_RELEASE] = "release"};
    return job->outcome == OUTCOME_RETRY && job->target_failed ? "park" : names[job->outcome];
}

static void push_result(lua_State *L, const struct job *job)
{
    lua_createtable(L, 0, 8);
    raise_text(L, "outcome", outcome_name(job));
    if (job->reason)
        raise_text(L, "reason", job->reason);
    if (job->kind[0])
        raise_text(L, "kind", job->kind);
    if (job->at[0])
        raise_text(L, "at", job->at);
    if (job->detail)
        raise_text(L, "traceback", job->detail);
    if (job->source)
        raise_text(L, "source", job->source);
    if (job->target[0])
        raise_text(L, "target", job->target);
    if (job->after_ms >= 0) {
        lua_pushnumber(L, (lua_Number)job->after_ms / 1000);
        lua_setfield(L, -2, "after");
    }
    lua_pushnumber(L, (lua_Number)job->duration_us / 1e6);
    lua_setfield(L, -2, "duration");
}

/* run(handler, message, attempt): message is SQS's, as JSON. Returns what became of it. */
static int stage_run(lua_State *L)
{
    task_check_alive(L);
    struct vm *vm = vm_of(L);
    const char *handler = luaL_checkstring(L, 1);
    const char *text = luaL_checkstring(L, 2);
    int attempt = (int)luaL_checkinteger(L, 3);
    struct err e = {0};
    if (vm->on_stage)
        raise_misuse(L, "a handler's request cannot be answered by running a handler");
    struct job *job = push_job(L, text);
    job->attempt = attempt;
    vm->on_stage = L;
    int rc = vm->options.stage->run(vm->options.stage->arg, handler, job, &e);
    vm->on_stage = NULL;
    if (rc != 0) { /* no place of host.test's own in front */
        lua_pushstring(L, e.text);
        return lua_error(L);
    }
    push_result(L, job);
    return 1;
}

/* ---- answering its requests ------------------------------------------------------------------ */

static void push_headers(lua_State *L, const char *const *headers)
{
    lua_newtable(L);
    for (const char *const *h = headers; h && *h; h++) {
        const char *colon = strchr(*h, ':');
        if (!colon)
            continue;
        lua_pushlstring(L, *h, (size_t)(colon - *h));
        lua_getglobal(L, "string");
        lua_getfield(L, -1, "lower");
        lua_remove(L, -2);
        lua_insert(L, -2);
        lua_call(L, 1, 1);
        lua_pushstring(L, colon + 1 + strspn(colon + 1, " "));
        lua_rawset(L, -3);
    }
}

/* The server's side of a request: function, request → its answer, in the table at the top. */
static int ask(lua_State *L)
{
    const struct fetch_request *q = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->answer_ref);
    lua_createtable(L, 0, 4);
    raise_text(L, "method", q->method);
    raise_text(L, "url", q->url);
    push_headers(L, q->headers);
    lua_setfield(L, -2, "headers");
    if (q->body_len > 0) {
        lua_pushlstring(L, q->body, q->body_len);
        lua_setfield(L, -2, "body");
    }
    lua_call(L, 1, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    return 1;
}

static void take_text(lua_State *L, const char *field, struct buf *out)
{
    size_t len;
    lua_getfield(L, -1, field);
    const char *text = lua_tolstring(L, -1, &len);
    if (text)
        buf_add(out, text, len);
    lua_pop(L, 1);
}

/* {fails = "connect" | "timeout" | "cut"}: words that host.http's errors have as their kind. */
static bool take_failure(lua_State *L, struct fetch_played *answer)
{
    static const struct {
        const char *kind;
        enum fetch_result result;
    } failures[] = {
        {"connect", FETCH_NO_CONNECTION}, {"timeout", FETCH_TIMEOUT}, {"cut", FETCH_CUT}};
    if (lua_getfield(L, -1, "fails") == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    const char *kind = lua_tostring(L, -1);
    answer->result = FETCH_FAILED;
    for (size_t i = 0; kind && i < sizeof failures / sizeof *failures; i++)
        if (strcmp(failures[i].kind, kind) == 0)
            answer->result = failures[i].result;
    answer->sent = answer->result == FETCH_TIMEOUT || answer->result == FETCH_CUT;
    snprintf(answer->words, sizeof answer->words, "it was made to fail, nothing was sent");
    lua_pop(L, 1);
    return true;
}

/* The answer at the top: status, body, head (lines with CR LF). */
static int take_answer(lua_State *L)
{
    struct fetch_played *answer = lua_touserdata(L, 2);
    lua_settop(L, 1);
    if (take_failure(L, answer))
        return 0;
    lua_getfield(L, 1, "status");
    answer->status = (int)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    take_text(L, "head", &answer->head);
    take_text(L, "body", &answer->body);
    return 0;
}

void vm_answer(struct vm *vm, const struct fetch_request *q, struct fetch_played *answer)
{
    lua_State *L = vm->on_stage;
    *answer = (struct fetch_played){.result = FETCH_FAILED};
    buf_init(&answer->head);
    buf_init(&answer->body);
    snprintf(answer->words, sizeof answer->words, "nobody answers requests here");
    if (!L || vm->answer_ref == LUA_NOREF || !lua_checkstack(L, 8))
        return;
    int top = lua_gettop(L);
    lua_pushcfunction(L, ask); /* light C function: no allocation */
    lua_pushlightuserdata(L, (void *)q);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK) {
        answer->result = FETCH_OK;
        lua_pushcfunction(L, take_answer);
        lua_insert(L, -2);
        lua_pushlightuserdata(L, answer);
        status = lua_pcall(L, 2, 0, 0);
    }
    if (status != LUA_OK) {
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no words";
        answer->result = FETCH_FAILED;
        snprintf(answer->words, sizeof answer->words, "%s", text);
        vm->options.stage->say(vm->options.stage->arg, text);
    }
    lua_settop(L, top);
}

/* ---- the module --------------------------------------------------------------------------------
 */

static int stage_found(lua_State *L)
{
    const struct vm_stage *stage = vm_of(L)->options.stage;
    stage->found(stage->arg, luaL_checkstring(L, 1));
    return 0;
}

static int stage_say(lua_State *L)
{
    const struct vm_stage *stage = vm_of(L)->options.stage;
    stage->say(stage->arg, luaL_checkstring(L, 1));
    return 0;
}

/* answer_with(function): request {method, url, headers, body} → {status, head, body} or {fails}. */
static int stage_answer_with(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, vm_of(L)->answer_ref);
    vm_of(L)->answer_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* read(url): status, body; or nil, words: what Keycloak answers to a GET. */
static int stage_read(lua_State *L)
{
    const struct vm_stage *stage = vm_of(L)->options.stage;
    const char *url = luaL_checkstring(L, 1), *text = "there is no Keycloak to read from";
    size_t len = strlen(text);
    int status = stage->read ? stage->read(stage->arg, url, &text, &len) : -1;
    if (status < 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, status);
    lua_pushlstring(L, text, len);
    return 2;
}

/* timeline(): the waits of the last run as JSON, or nil. */
static int stage_timeline(lua_State *L)
{
    const struct vm_stage *stage = vm_of(L)->options.stage;
    lua_pushstring(L, stage->timeline ? stage->timeline(stage->arg) : NULL);
    return 1;
}

int bind_test_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"found", stage_found},
                                         {"say", stage_say},
                                         {"run", stage_run},
                                         {"answer_with", stage_answer_with},
                                         {"read", stage_read},
                                         {"timeline", stage_timeline},
                                         {NULL, NULL}};
    if (!vm_of(L)->options.stage)
        return luaL_error(L, "require: 'host.stage' is for host.test");
    luaL_newlib(L, functions);
    return 1;
}
