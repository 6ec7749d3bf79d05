/* host.json: the module, and decoding. A parser of its own, straight to Lua values: json-c
 * clamps integers beyond 64 bits, accepts NaN and single quotes, and tells no line. */
#include "base/utf8.h"
#include "vm/freeze.h"
#include "vm/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char json_array_name[] = "host.json.array";
const char json_object_name[] = "host.json.object";

struct reader {
    lua_State *L;
    const char *text;
    const char *at;
    const char *end; /* *end is readable, and NUL */
    int flags;
    int depth;
    int depth_max;
    int array_type; /* stack index of the metatable of arrays */
};

MAY_RAISE static _Noreturn void fail(const struct reader *r, const char *place, const char *words)
{
    int line = 1;
    int column = 1;
    for (const char *c = r->text; c < place; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) {
            column++;
        }
    }
    raise_push(r->L, "json", "JSON, line %d column %d: %s", line, column, words);
    lua_pushinteger(r->L, line);
    lua_setfield(r->L, -2, "line");
    lua_pushinteger(r->L, column);
    lua_setfield(r->L, -2, "column");
    lua_error(r->L);
    __builtin_unreachable();
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

MAY_RAISE static void skip_digits(struct reader *r)
{
    if (!is_digit(*r->at))
        fail(r, r->at, "a digit is missing in a number");
    while (is_digit(*r->at))
        r->at++;
}

/* Digits of a whole number, as RFC 8259 has it, without the sign. */
static bool to_integer(const char *digits, const char *end, bool negative, lua_Integer *out)
{
    uint64_t value = 0;
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    for (; digits < end; digits++) {
        uint64_t digit = (uint64_t)(*digits - '0');
        if (value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = negative ? (lua_Integer)(0 - value) : (lua_Integer)value;
    return true;
}

MAY_RAISE static void push_number(struct reader *r)
{
    const char *start = r->at;
    bool negative = *r->at == '-';
    bool whole = true;
    r->at += negative;
    const char *digits = r->at;
    skip_digits(r);
    if (*digits == '0' && r->at > digits + 1)
        fail(r, start, "a number cannot start with 0");
    const char *digits_end = r->at;
    if (*r->at == '.') {
        whole = false;
        r->at++;
        skip_digits(r);
    }
    if (*r->at == 'e' || *r->at == 'E') {
        whole = false;
        r->at++;
        r->at += *r->at == '+' || *r->at == '-';
        skip_digits(r);
    }
    lua_Integer integer;
    if (whole && to_integer(digits, digits_end, negative, &integer)) {
        lua_pushinteger(r->L, integer);
    } else if (whole) {
        if (!(r->flags & JSON_BIG_TEXT))
            fail(r, start, "integer out of range: it has more than 64 bits");
        lua_pushlstring(r->L, start, (size_t)(r->at - start));
    } else {
        double value = strtod(start, NULL);
        if (isinf(value))
            fail(r, start, "number out of range");
        lua_pushnumber(r->L, value);
    }
}

/* ---- strings ------------------------------------------------------------------------------ */

MAY_RAISE static unsigned hex4(struct reader *r)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            fail(r, r->at, "\\u needs four hexadecimal digits");
        value = value << 4 | (unsigned)digit;
    }
    return value;
}

/* After "\u": the character, a surrogate pair as one. */
MAY_RAISE static unsigned unicode_escape(struct reader *r)
{
    const char *start = r->at - 2;
    unsigned c = hex4(r);
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        unsigned low = hex4(r);
        if (low >= 0xdc00 && low <= 0xdfff)
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    fail(r, start, "half of a surrogate pair");
}

static size_t put_utf8(char out[4], unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[len] | c);
    return len;
}

MAY_RAISE static void add_escape(struct reader *r, luaL_Buffer *b)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *name = *r->at ? strchr(names, *r->at) : NULL;
    if (name) {
        luaL_addchar(b, values[name - names]);
        r->at++;
    } else if (*r->at == 'u') {
        char bytes[4];
        r->at++;
        luaL_addlstring(b, bytes, put_utf8(bytes, unicode_escape(r)));
    } else {
        fail(r, r->at - 1, "unknown escape in a string");
    }
}

/* Walks to the next quote or backslash, checking what it passes. */
MAY_RAISE static void skip_plain(struct reader *r)
{
    for (;;) {
        unsigned char c = (unsigned char)*r->at;
        if (c == '"' || c == '\\')
            return;
        if (c >= 0x20 && c < 0x80) {
            r->at++;
            continue;
        }
        if (r->at >= r->end)
            fail(r, r->at, "the text ends inside a string");
        if (c < 0x20)
            fail(r, r->at, "a control character in a string: write it as an escape");
        size_t len = utf8_length(r->at, (size_t)(r->end - r->at));
        if (len == 0)
            fail(r, r->at, "a string with bytes that are no UTF-8");
        r->at += len;
    }
}

MAY_RAISE static void push_string(struct reader *r)
{
    const char *start = ++r->at;
    skip_plain(r);
    if (*r->at == '"') {
        lua_pushlstring(r->L, start, (size_t)(r->at++ - start));
        return;
    }
    luaL_Buffer b;
    luaL_buffinit(r->L, &b);
    for (;;) {
        luaL_addlstring(&b, start, (size_t)(r->at - start));
        if (*r->at++ == '"')
            break;
        add_escape(r, &b);
        start = r->at;
        skip_plain(r);
    }
    luaL_pushresult(&b);
}

/* ---- values ------------------------------------------------------------------------------- */

MAY_RAISE static void push_value(struct reader *r);

MAY_RAISE static void push_member(struct reader *r)
{
    lua_State *L = r->L;
    if (*r->at != '"')
        fail(r, r->at,
             *r->at == '\'' ? "strings take double quotes"
                            : "a member's name, in double quotes, is missing");
    push_string(r);
    skip_space(r);
    if (*r->at != ':')
        fail(r, r->at, "':' is missing after a member's name");
    r->at++;
    skip_space(r);
    push_value(r);
    if ((r->flags & JSON_DROP_NULLS) && lua_islightuserdata(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    lua_rawset(L, -3);
}

/* True if another item follows, false at the closing bracket, which is passed. */
MAY_RAISE static bool more(struct reader *r, char close, const char *words)
{
    skip_space(r);
    if (*r->at == close) {
        r->at++;
        return false;
    }
    if (*r->at != ',')
        fail(r, r->at, r->at >= r->end ? "the text ends inside an array or object" : words);
    r->at++;
    skip_space(r);
    return true;
}

MAY_RAISE static bool opens_empty(struct reader *r, char close)
{
    if (++r->depth > r->depth_max)
        fail(r, r->at, "nested too deeply");
    luaL_checkstack(r->L, 10, "JSON nested too deeply");
    r->at++;
    skip_space(r);
    if (*r->at != close)
        return false;
    r->at++;
    return true;
}

MAY_RAISE static void push_object(struct reader *r)
{
    lua_newtable(r->L);
    if (!opens_empty(r, '}')) {
        do
            push_member(r);
        while (more(r, '}', "',' or '}' is missing"));
    }
    r->depth--;
}

MAY_RAISE static void push_array(struct reader *r)
{
    lua_State *L = r->L;
    lua_newtable(L);
    if (!(r->flags & JSON_PLAIN)) {
        lua_pushvalue(L, r->array_type);
        lua_setmetatable(L, -2);
    }
    if (!opens_empty(r, ']')) {
        lua_Integer i = 0;
        do {
            push_value(r);
            lua_rawseti(L, -2, ++i);
        } while (more(r, ']', "',' or ']' is missing"));
    }
    r->depth--;
}

MAY_RAISE static void expect_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        fail(r, r->at, "a value is missing (true, false and null are written in full)");
    r->at += len;
}

MAY_RAISE static void push_value(struct reader *r)
{
    switch (*r->at) {
    case '{':
        push_object(r);
        break;
    case '[':
        push_array(r);
        break;
    case '"':
        push_string(r);
        break;
    case 't':
        expect_word(r, "true");
        lua_pushboolean(r->L, 1);
        break;
    case 'f':
        expect_word(r, "false");
        lua_pushboolean(r->L, 0);
        break;
    case 'n':
        expect_word(r, "null");
        lua_pushlightuserdata(r->L, NULL);
        break;
    case '\'':
        fail(r, r->at, "strings take double quotes");
    default:
        if (*r->at != '-' && !is_digit(*r->at))
            fail(r, r->at,
                 r->at >= r->end ? "the text ends where a value should be" : "a value is missing");
        push_number(r);
    }
}

static void push_type(lua_State *L, const char *name)
{
    if (luaL_newmetatable(L, name))
        freeze_table(L, -1, name); /* getmetatable() may hand it out: nobody changes it */
}

void json_push_deep(lua_State *L, const char *text, size_t len, int flags, int depth_max)
{
    luaL_checkstack(L, 10, NULL);
    push_type(L, json_array_name);
    struct reader r = {.L = L,
                       .text = text,
                       .at = text,
                       .end = text + len,
                       .flags = flags,
                       .depth_max = depth_max,
                       .array_type = lua_gettop(L)};
    skip_space(&r);
    push_value(&r);
    skip_space(&r);
    if (r.at < r.end)
        fail(&r, r.at, "something follows the value");
    lua_remove(L, r.array_type);
}

void json_push(lua_State *L, const char *text, size_t len, int flags)
{
    json_push_deep(L, text, len, flags, JSON_DEPTH_MAX);
}

/* ---- the module --------------------------------------------------------------------------- */

/* decode(text [, {big_integers = "string", nulls = "drop", depth = 100}]) */
static int decode(lua_State *L)
{
    size_t len;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &len);
    int flags = 0;
    lua_Integer depth = JSON_DEPTH_MAX;
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_settop(L, 2);
        lua_getfield(L, 2, "big_integers");
        lua_getfield(L, 2, "nulls");
        lua_getfield(L, 2, "depth");
        flags |= strcmp(luaL_optstring(L, 3, ""), "string") == 0 ? JSON_BIG_TEXT : 0;
        flags |= strcmp(luaL_optstring(L, 4, ""), "drop") == 0 ? JSON_DROP_NULLS : 0;
        depth = luaL_optinteger(L, 5, JSON_DEPTH_MAX);
        luaL_argcheck(L, depth >= 1 && depth <= 1000, 2, "depth must be 1 to 1000");
    }
    json_push_deep(L, text, len, flags, (int)depth);
    return 1;
}

static int encode(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    json_encode(L);
    return 1;
}

static int mark(lua_State *L, const char *name)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    push_type(L, json_array_name);
    push_type(L, json_object_name);
    if (lua_getmetatable(L, 1) && !lua_rawequal(L, -1, 2) && !lua_rawequal(L, -1, 3))
        return luaL_argerror(L, 1, "the table has a metatable of its own");
    luaL_getmetatable(L, name);
    lua_setmetatable(L, 1);
    lua_settop(L, 1);
    return 1;
}

static int mark_array(lua_State *L)
{
    return mark(L, json_array_name);
}

static int mark_object(lua_State *L)
{
    return mark(L, json_object_name);
}

int bind_json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"decode", decode},
                                         {"encode", encode},
                                         {"array", mark_array},
                                         {"object", mark_object},
                                         {NULL, NULL}};
    push_type(L, json_array_name);
    push_type(L, json_object_name);
    lua_pop(L, 2);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
