/* host.http: sends what http_request read, waits, and makes of the answer a table or a typed
 * error. Bodies stay in C buffers until the continuation runs, which is protected. */
#include "base/buf.h"
#include "base/clock.h"
#include "board.h"
#include "net/fetch.h"
#include "vm/calls.h"
#include "vm/http_request.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FAIR_CHANCE_US = 1000000 };

/* Of errors that are no answers. */
static const char *const kinds[] = {
    [FETCH_OK] = "http", [FETCH_NO_CONNECTION] = "connect", [FETCH_TIMEOUT] = "timeout",
    [FETCH_CUT] = "cut", [FETCH_TOO_BIG] = "too_big",       [FETCH_FAILED] = "http",
};

struct http_call {
    struct task *task;
    struct fetch_call *fetch; /* NULL: not on its way */
    int64_t wire_before;      /* job->wire_until_ms before it was sent */
    bool capped;
    bool own_500;
    int64_t started_ms;
    char origin[128];
    char method[16];
    char name[CALL_NAME_BYTES];
    /* The answer. */
    enum fetch_result result;
    bool sent;
    int status;
    int64_t elapsed_us;
    int64_t retry_after_ms; /* -1: none */
    struct buf head;        /* name NUL value NUL … */
    struct buf body;
    char error[256];
};

/* ---- the call ----------------------------------------------------------------------------- */

static void set_wire(const struct task *t, int64_t value)
{
    if (t->job)
        atomic_store(&t->job->wire_until_ms, value);
}

/* A timeout that limits.time cut short is the target's too, if it had a fair chance. */
static bool had_fair_chance(const struct http_call *c)
{
    return !c->capped || c->elapsed_us >= FAIR_CHANCE_US;
}

static struct call_note note_of(const struct http_call *c)
{
    return (struct call_note){.target = c->origin,
                              .name = c->name,
                              .started_ms = c->started_ms,
                              .retry_after_ms = c->retry_after_ms,
                              .no_fair_chance = !had_fair_chance(c),
                              .own_500 = c->own_500};
}

static void call_cancel(void *data)
{
    struct http_call *c = data;
    struct call_note note = note_of(c);
    calls_note_given_up(c->task->job, &note, clock_boot_ms());
    fetch_cancel(c->fetch); /* wire_until_ms stays: the server may still be at work */
    c->fetch = NULL;
}

static int call_gc(lua_State *L)
{
    struct http_call *c = lua_touserdata(L, 1);
    if (c->fetch)
        fetch_cancel(c->fetch);
    c->fetch = NULL;
    buf_free(&c->head);
    buf_free(&c->body);
    return 0;
}

static void copy_head(struct http_call *c, const struct fetch_response *r)
{
    size_t at = 0;
    const char *name;
    const char *value;
    size_t name_len;
    size_t value_len;
    while (fetch_next_header(r, &at, &name, &name_len, &value, &value_len)) {
        buf_add(&c->head, name, name_len);
        buf_char(&c->head, '\0');
        buf_add(&c->head, value, value_len);
        buf_char(&c->head, '\0');
    }
}

/* Within retry.cap: a server must not put a message out of reach. */
static int64_t retry_after_ms(const struct task *t, const struct fetch_response *r)
{
    int64_t wish = fetch_retry_after_ms(r), most = t->vm->options.retry_after_max_ms;
    return wish < most ? wish : most;
}

static void note_probe(const struct http_call *c, int status)
{
    struct job *job = c->task->job;
    if (job && job->probes && status < 500 && strcmp(job->probes, c->origin) == 0)
        job->probe_answered = true;
}

static void on_done(void *arg, const struct fetch_response *r)
{
    struct http_call *c = arg;
    c->fetch = NULL;
    c->result = r->result;
    c->sent = r->sent;
    c->status = r->status;
    c->elapsed_us = r->elapsed_us;
    c->retry_after_ms = retry_after_ms(c->task, r);
    counts_request(&c->task->vm->counts, c->origin, c->method, r);
    if (r->result == FETCH_OK)
        task_note_result(c->task, "%d", r->status);
    else
        task_note_result(c->task, "%s", kinds[r->result]);
    struct call_note note = note_of(c);
    calls_note(c->task->job, &note, r);
    strncpy(c->error, r->error, sizeof c->error - 1);
    if (r->result == FETCH_OK) {
        note_probe(c, r->status);
        copy_head(c, r);
        buf_add(&c->body, r->body, r->body_len);
    }
    set_wire(c->task, r->sent || r->result == FETCH_OK ? WIRE_ANSWERED : c->wire_before);
    task_ready(c->task);
}

MAY_RAISE static struct http_call *push_call(lua_State *L, struct task *t)
{
    struct http_call *c = lua_newuserdatauv(L, sizeof *c, 0);
    memset(c, 0, sizeof *c);
    c->task = t;
    buf_init(&c->head);
    buf_init(&c->body);
    if (luaL_newmetatable(L, "host.http.call")) {
        lua_pushcfunction(L, call_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return c;
}

/* ---- the answer --------------------------------------------------------------------------- */

static int headers_index(lua_State *L)
{
    size_t len;
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tolstring(L, 2, &len);
    luaL_Buffer b;
    char *lower = luaL_buffinitsize(L, &b, len);
    for (size_t i = 0; i < len; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    luaL_pushresultsize(&b, len);
    lua_rawget(L, 1);
    return 1;
}

MAY_RAISE static void set_type(lua_State *L, const char *name, lua_CFunction index)
{
    if (luaL_newmetatable(L, name)) {
        lua_pushcfunction(L, index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* Names in lower case; a name that comes twice has its values joined by ", ". */
MAY_RAISE static void push_headers(lua_State *L, struct buf *head)
{
    lua_newtable(L);
    int table = lua_gettop(L);
    for (char *name = head->data; name < head->data + head->len;) {
        const char *value = name + strlen(name) + 1;
        for (char *c = name; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
        if (lua_getfield(L, table, name) == LUA_TSTRING)
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
        else
            lua_pushstring(L, value);
        lua_setfield(L, table, name);
        lua_settop(L, table);
        name += (value - name) + (ptrdiff_t)strlen(value) + 1;
    }
    set_type(L, "host.http.headers", headers_index);
}

static int decode_body(lua_State *L)
{
    size_t len;
    const char *text = lua_tolstring(L, 1, &len);
    json_push(L, text, len, 0);
    return 1;
}

/* response.json(), and response:json(): upvalue 1 is the response. */
static int response_json(lua_State *L)
{
    task_check_alive(L);
    lua_settop(L, 0);
    lua_pushcfunction(L, decode_body);
    lua_getfield(L, lua_upvalueindex(1), "body");
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return 1;
    if (raise_is_typed(L, -1)) {
        lua_getfield(L, -1, "message");
        lua_getfield(L, lua_upvalueindex(1), "url");
        lua_pushfstring(L, "answer of %s: %s", lua_tostring(L, -1), lua_tostring(L, -2));
        lua_setfield(L, 1, "message");
        lua_settop(L, 1);
    }
    return lua_error(L);
}

static int response_index(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "json") != 0)
        return 0;
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, response_json, 1);
    return 1;
}

/* Pushes "POST https://host/path": what messages call the request. No query: it may hold what
 * belongs in no log. */
MAY_RAISE static void push_name(lua_State *L)
{
    const char *url = lua_tostring(L, SLOT_URL);
    lua_pushfstring(L, "%s ", lua_tostring(L, SLOT_METHOD));
    lua_pushlstring(L, url, strcspn(url, "?#"));
    lua_concat(L, 2);
}

MAY_RAISE static void set_retry_after(lua_State *L, const char *field, const struct http_call *c)
{
    if (c->retry_after_ms < 0)
        return;
    lua_pushnumber(L, (lua_Number)c->retry_after_ms / 1000);
    lua_setfield(L, -2, field);
}

MAY_RAISE static void push_response(lua_State *L, struct http_call *c)
{
    lua_createtable(L, 0, 7);
    lua_pushinteger(L, c->status);
    lua_setfield(L, -2, "status");
    lua_pushnumber(L, (lua_Number)c->elapsed_us / 1e6);
    lua_setfield(L, -2, "elapsed");
    set_retry_after(L, "retry_after", c);
    lua_pushlstring(L, c->body.data, c->body.len);
    lua_setfield(L, -2, "body");
    buf_free(&c->body);
    push_headers(L, &c->head);
    lua_setfield(L, -2, "headers");
    buf_free(&c->head);
    push_name(L);
    lua_setfield(L, -2, "url");
    set_type(L, "host.http.response", response_index);
}

/* ---- its errors --------------------------------------------------------------------------- */

/* Asking again would not help: the request itself is wrong. Not so where rights, existence or
 * load may change (401, 403, 404, 408, 423-425, 429). */
static bool is_final(int status)
{
    static const short final[] = {400, 405, 406, 409, 410, 411, 412, 413,
                                  414, 415, 416, 417, 422, 426, 428, 431};
    for (size_t i = 0; i < sizeof final / sizeof *final; i++) {
        if (final[i] == status)
            return true;
    }
    return false;
}

MAY_RAISE static void set_target(lua_State *L, const struct http_call *c, bool failed)
{
    raise_flag(L, "target_failed", failed);
    raise_text(L, "target", c->origin);
}

MAY_RAISE static int raise_status(lua_State *L, struct http_call *c)
{
    push_name(L);
    const char *name = lua_tostring(L, -1);
    raise_push(L, "http", "%s answered %d", name, c->status);
    lua_pushinteger(L, c->status);
    lua_setfield(L, -2, "status");
    raise_flag(L, "retryable", !is_final(c->status));
    set_target(L, c, c->status >= 500);
    set_retry_after(L, "after", c);
    lua_pushlstring(L, c->body.data, c->body.len);
    lua_setfield(L, -2, "body");
    buf_free(&c->body);
    return lua_error(L);
}

MAY_RAISE static int raise_failure(lua_State *L, const struct http_call *c)
{
    bool late = c->result == FETCH_TIMEOUT && had_fair_chance(c);
    bool targets = c->result == FETCH_NO_CONNECTION || c->result == FETCH_CUT || late;
    push_name(L);
    const char *name = lua_tostring(L, -1);
    raise_push(L, kinds[c->result], "%s: %s%s", name,
               c->result == FETCH_OK ? "no memory for the answer" : c->error,
               c->result == FETCH_TIMEOUT && c->capped ? " (limits.time was near)" : "");
    raise_flag(L, "retryable", true);
    set_target(L, c, targets);
    if (c->sent)
        raise_flag(L, "outcome_unknown", true);
    return lua_error(L);
}

static int answered(lua_State *L, int status, lua_KContext number)
{
    (void)status;
    task_back(L, number);
    struct http_call *c = lua_touserdata(L, SLOT_CALL);
    if (c->result != FETCH_OK || c->body.failed || c->head.failed)
        return raise_failure(L, c);
    if (!http_status_expected(L, c->status))
        return raise_status(L, c);
    push_response(L, c);
    return 1;
}

/* ---- sending ------------------------------------------------------------------------------ */

/* The mark first, then the look at the fence: whoever fences the job sees the mark, or is seen
 * here (job.h). */
MAY_RAISE static void start(lua_State *L, struct task *t, struct http_call *c,
                            const struct http_request *r)
{
    struct err e = {0};
    c->wire_before = t->job ? atomic_load(&t->job->wire_until_ms) : WIRE_NEVER;
    set_wire(t, clock_boot_ms() + r->timeout_ms);
    if (t->job && atomic_load(&t->job->fence))
        set_wire(t, c->wire_before);
    task_check_fence(L, t);
    const struct fetch_request request = {
        .method = r->method,
        .url = r->url,
        .headers = r->headers,
        .body = r->body,
        .body_len = r->body_len,
        .timeout_ms = r->timeout_ms,
        .connect_timeout_ms = t->vm->options.http_connect_timeout_ms,
        .max_body_bytes = t->vm->options.http_max_body_bytes,
        .repeatable = r->idempotent,
        .done = on_done,
        .arg = c,
    };
    task_note(t, "%s %s", r->method, r->url);
    c->started_ms = clock_boot_ms();
    c->fetch = fetch_start(t->vm->ports.fetch, &request, &e);
    if (c->fetch)
        return;
    set_wire(t, c->wire_before);
    push_name(L);
    raise_push(L, "http", "%s: %s", lua_tostring(L, -1), e.text);
    raise_flag(L, "retryable", true);
    lua_error(L);
}

/* While its target is open, only the message that is to try it may call. */
MAY_RAISE static void check_open(lua_State *L, const struct task *t, const struct http_call *c)
{
    struct board *board = t->vm->options.board;
    if (!board || !t->job || (t->job->probes && strcmp(t->job->probes, c->origin) == 0) ||
        board_may_call(board, c->origin))
        return;
    push_name(L);
    raise_push(L, "breaker_open", "%s: not sent, %s is failing", lua_tostring(L, -1), c->origin);
    raise_flag(L, "retryable", true);
    set_target(L, c, true);
    lua_error(L);
}

/* The stack: options, method. */
MAY_RAISE static int send(lua_State *L)
{
    struct http_request r;
    struct task *t = task_check_wait(L, "host.http");
    http_request_read(L, t, &r);
    struct http_call *c = push_call(L, t);
    c->capped = r.capped;
    c->own_500 = r.own_500;
    memcpy(c->origin, r.origin, sizeof c->origin);
    snprintf(c->method, sizeof c->method, "%s", r.method);
    memcpy(c->name, r.name, sizeof c->name);
    task_check_fence(L, t);
    check_open(L, t, c);
    start(L, t, c, &r);
    return task_wait(L, t, call_cancel, c, answered);
}

/* request{method =, url =, …} */
static int http_request_(lua_State *L)
{
    lua_settop(L, 1);
    if (!lua_istable(L, 1))
        raise_misuse(L, "host.http.request takes a table {method, url, …}");
    if (lua_getfield(L, 1, "method") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushliteral(L, "GET");
    }
    if (lua_type(L, 2) != LUA_TSTRING)
        raise_misuse(L, "host.http: method must be a string");
    return send(L);
}

/* get(url [, options]) or get{url = …}: upvalue 1 is the method. */
static int http_verb(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    if (lua_istable(L, 1)) {
        lua_settop(L, 1);
    } else {
        if (lua_type(L, 1) != LUA_TSTRING || !lua_istable(L, 2))
            raise_misuse(L, "host.http: call it with a URL and a table of options");
        /* The caller's table stays as it is: the call gets a copy with the URL in it. */
        lua_newtable(L);
        lua_pushnil(L);
        while (lua_next(L, 2)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, 3);
        }
        lua_pushvalue(L, 1);
        lua_setfield(L, 3, "url");
        lua_replace(L, 1);
        lua_settop(L, 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    return send(L);
}

int bind_http_open(lua_State *L)
{
    static const char *const verbs[][2] = {{"get", "GET"},       {"post", "POST"},
                                           {"put", "PUT"},       {"patch", "PATCH"},
                                           {"delete", "DELETE"}, {"head", "HEAD"}};
    lua_newtable(L);
    lua_pushcfunction(L, http_request_);
    lua_setfield(L, -2, "request");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        lua_pushstring(L, verbs[i][1]);
        lua_pushcclosure(L, http_verb, 1);
        lua_setfield(L, -2, verbs[i][0]);
    }
    return 1;
}
