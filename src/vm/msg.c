/* `msg`, what a handler sees of its message: a userdata whose fields are made when they are
 * first asked for, so that nobody pays for a body or attributes that he does not read. */
#include "base/clock.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <json-c/json.h>
#include <lauxlib.h>
#include <lua.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char type_name[] = "host.msg";

enum { DOUBLE_DIGITS = 15 }; /* that a double surely keeps */

struct msg {
    struct task *task;
    uint64_t generation; /* of the task when it got this message */
};

static struct task *check_task(lua_State *L)
{
    struct msg *m = luaL_checkudata(L, 1, type_name);
    if (m->task->generation != m->generation)
        raise_misuse(L, "this message is settled: keep nothing of `msg` beyond its handler");
    task_check_alive(L);
    return m->task;
}

/* ---- attributes --------------------------------------------------------------------------- */

static const char *member_text(struct json_object *o, const char *name)
{
    struct json_object *v;
    return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

/* SQS sends numbers as text of up to 38 digits. What a Lua number cannot hold stays text. */
static void push_number_text(lua_State *L, const char *text)
{
    bool plain = *text && strspn(text, "+-0123456789.eE") == strlen(text);
    if (!plain || lua_stringtonumber(L, text) == 0) {
        lua_pushstring(L, text);
        return;
    }
    bool whole = !strpbrk(text, ".eE");
    if ((whole && !lua_isinteger(L, -1)) || (!whole && strlen(text) > DOUBLE_DIGITS + 2)) {
        lua_pop(L, 1);
        lua_pushstring(L, text);
    }
}

static void push_base64(lua_State *L, const char *text)
{
    size_t len = strlen(text);
    unsigned char *bytes = lua_newuserdatauv(L, len + 4, 0);
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    if (n < 0) {
        lua_pop(L, 1);
        lua_pushstring(L, text);
        return;
    }
    for (size_t i = len; i > 0 && text[i - 1] == '=' && n > 0; i--)
        n--; /* OpenSSL counts the padding */
    lua_pushlstring(L, (char *)bytes, (size_t)n);
    lua_remove(L, -2);
}

static void push_typed(lua_State *L, const char *type, const char *value, const char *binary)
{
    if (type && strncmp(type, "Binary", 6) == 0 && binary)
        push_base64(L, binary);
    else if (type && strncmp(type, "Number", 6) == 0 && value)
        push_number_text(L, value);
    else
        lua_pushstring(L, value); /* nil if there is none */
}

/* `sns`: they are of a notification, whose members have shorter names. */
static void add_attributes(lua_State *L, struct json_object *attributes, bool sns)
{
    if (!attributes)
        return;
    json_object_object_foreach(attributes, name, a)
    {
        const char *value = member_text(a, sns ? "Value" : "StringValue");
        lua_pushstring(L, name);
        push_typed(L, member_text(a, sns ? "Type" : "DataType"), value,
                   sns ? value : member_text(a, "BinaryValue"));
        lua_rawset(L, -3);
    }
}

/* With raw delivery SNS makes its attributes the message's; wrapped, they are found here too. */
static void push_attributes(lua_State *L, const struct job *job)
{
    struct json_object *theirs;
    lua_newtable(L);
    if (job->envelope.kind == ENVELOPE_IS_SNS &&
        json_object_object_get_ex(job->envelope.outer, "MessageAttributes", &theirs) &&
        json_object_is_type(theirs, json_type_object))
        add_attributes(L, theirs, true);
    add_attributes(L, job->attributes, false);
}

static void push_system(lua_State *L, struct json_object *system)
{
    lua_newtable(L);
    if (!system)
        return;
    json_object_object_foreach(system, name, value)
    {
        lua_pushstring(L, name);
        lua_pushstring(L, json_object_get_string(value));
        lua_rawset(L, -3);
    }
}

/* ---- fields ------------------------------------------------------------------------------- */

static int decode_body(lua_State *L)
{
    const struct job *job = lua_touserdata(L, 1);
    json_push(L, job->body, job->body_len, JSON_DROP_NULLS);
    return 1;
}

static int decode_whole(lua_State *L)
{
    const struct job *job = lua_touserdata(L, 1);
    json_push(L, job->whole, job->whole_len, JSON_DROP_NULLS);
    return 1;
}

/* What is no JSON will not become JSON: the error rejects the message. */
static void push_decoded(lua_State *L, struct job *job, lua_CFunction decode, const char *what)
{
    lua_pushcfunction(L, decode);
    lua_pushlightuserdata(L, job);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return;
    if (raise_is_typed(L, -1)) {
        lua_getfield(L, -1, "message");
        lua_pushfstring(L, "%s is no %s", what, lua_tostring(L, -1));
        lua_setfield(L, -3, "message");
        lua_pop(L, 1);
        raise_flag(L, "retryable", false);
    }
    lua_error(L);
}

static void push_json(lua_State *L, struct job *job)
{
    push_decoded(L, job, decode_body,
                 job->envelope.outer ? "the event in the envelope" : "the body");
}

/* Everything around the event as its sender wrote it, and `kind`. */
static void push_envelope(lua_State *L, struct job *job)
{
    push_decoded(L, job, decode_whole, "the envelope");
    lua_pushnil(L);
    lua_setfield(L, -2, job->envelope.kind == ENVELOPE_IS_SNS ? "Message" : "detail");
    lua_pushstring(L, envelope_name(job->envelope.kind));
    lua_setfield(L, -2, "kind");
}

static void push_optional(lua_State *L, const char *text)
{
    if (text && *text)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
}

/* Pushes the field and returns true if it may be kept for the next time. */
static bool push_field(lua_State *L, struct task *t, const char *name)
{
    struct job *job = t->job;
    char trace[TRACE_BYTES];
    if (strcmp(name, "json") == 0) {
        push_json(L, job);
    } else if (strcmp(name, "body") == 0) {
        lua_pushlstring(L, job->body, job->body_len);
    } else if (strcmp(name, "id") == 0) {
        lua_pushstring(L, job->id);
    } else if (strcmp(name, "attributes") == 0) {
        push_attributes(L, job);
    } else if (strcmp(name, "system") == 0) {
        push_system(L, job->system);
    } else if (strcmp(name, "attempt") == 0) {
        lua_pushinteger(L, job->attempt);
    } else if (strcmp(name, "receive_count") == 0) {
        lua_pushinteger(L, job->receive_count);
    } else if (strcmp(name, "sent_at") == 0 && job->sent_at_ms) {
        lua_pushnumber(L, (lua_Number)job->sent_at_ms / 1000);
    } else if (strcmp(name, "age") == 0 && job->sent_at_ms) {
        int64_t age_ms = clock_wall_ms() - job->sent_at_ms; /* our clock may be behind SQS's */
        lua_pushnumber(L, age_ms > 0 ? (lua_Number)age_ms / 1000 : 0);
        return false;
    } else if (strcmp(name, "group") == 0) {
        push_optional(L, job->group);
    } else if (strcmp(name, "queue") == 0) {
        push_optional(L, t->vm->options.queue_name);
    } else if (strcmp(name, "trace") == 0) {
        job_trace(job, trace);
        push_optional(L, trace);
    } else if (strcmp(name, "generation") == 0) {
        lua_pushinteger(L, t->vm->options.generation);
    } else if (strcmp(name, "envelope") == 0 && job->envelope.outer) {
        push_envelope(L, job);
    } else {
        lua_pushnil(L);
    }
    return true;
}

static int msg_index(lua_State *L)
{
    struct task *t = check_task(L);
    lua_settop(L, 2);
    if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, 3) != LUA_TNIL)
            return 1;
    } else {
        lua_newtable(L);
        lua_replace(L, 3);
        lua_pushvalue(L, 3);
        lua_setiuservalue(L, 1, 1);
    }
    lua_settop(L, 3);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1; /* a method */
    lua_settop(L, 3);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    if (push_field(L, t, lua_tostring(L, 2)) && !lua_isnil(L, 4)) {
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 4);
        lua_rawset(L, 3);
    }
    lua_settop(L, 4);
    return 1;
}

static int msg_newindex(lua_State *L)
{
    raise_misuse(L, "msg.%s cannot be assigned: keep what belongs to a message in locals",
                 lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

static int msg_deadline(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)task_left_ms(check_task(L)) / 1000);
    return 1;
}

static int msg_extend(lua_State *L)
{
    struct task *t = check_task(L);
    lua_Number seconds = luaL_checknumber(L, 2);
    if (!(seconds >= 0))
        raise_misuse(L, "msg:extend: seconds must be a number, 0 or more");
    task_extend(t, seconds);
    return 0;
}

void msg_push(lua_State *L, struct task *t)
{
    struct msg *m = lua_newuserdatauv(L, sizeof *m, 1);
    m->task = t;
    m->generation = t->generation;
    if (luaL_newmetatable(L, type_name)) {
        static const luaL_Reg methods[] = {
            {"deadline", msg_deadline}, {"extend", msg_extend}, {NULL, NULL}};
        luaL_newlib(L, methods);
        lua_pushcclosure(L, msg_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, msg_newindex);
        lua_setfield(L, -2, "__newindex");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}
