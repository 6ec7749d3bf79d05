/* host.json in a bare Lua state, as the sandbox has it: it needs no vm. */
#include "vm/json.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static lua_State *open_state(void)
{
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    luaL_requiref(L, "json", bind_json_open, 1);
    lua_settop(L, 0);
    return L;
}

static int safe_decode(lua_State *L)
{
    size_t len;
    const char *text = lua_tolstring(L, 1, &len);
    json_push(L, text, len, 0);
    return 1;
}

/* Decodes and encodes again; an error gives its message. */
static const char *round_trip(lua_State *L, const char *text, size_t len)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, safe_decode);
    lua_pushlstring(L, text, len);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        lua_getglobal(L, "json");
        lua_getfield(L, -1, "encode");
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
    }
    return luaL_tolstring(L, -1, NULL);
}

static void decodes(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out; /* what encodes again, or the error */
    } cases[] = {
        {"1", "1"},
        {" [ ] ", "[]"},
        {"{}", "{}"},
        {"[[],{}]", "[[],{}]"},
        {"{\"a\":[]}", "{\"a\":[]}"},
        {"[1,null,3]", "[1,null,3]"},
        {"{\"a\":null}", "{\"a\":null}"},
        {"null", "null"},
        {"[true,false]", "[true,false]"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9007199254740993", "9007199254740993"},
        {"123456789012345", "123456789012345"},
        {"0.1", "0.1"},
        {"1e3", "1000.0"},
        {"1.5e300", "1.5e+300"},
        {"3.141592653589793", "3.141592653589793"},
        {"2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"-0.0", "-0.0"},
        {"\"\\u00e4\\ud83d\\ude00\"", "\"\xc3\xa4\xf0\x9f\x98\x80\""},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {"\"\\u0000x\"", "\"\\u0000x\""},
        {"\"\\u001f\x7f\"", "\"\\u001f\\u007f\""},
        {"\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
        {"[1,\n 2,\r\n\t3 ]", "[1,2,3]"},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"},

        {"", "JSON, line 1 column 1: the text ends where a value should be"},
        {"   ", "JSON, line 1 column 4: the text ends where a value should be"},
        {"9223372036854775808", "JSON, line 1 column 1: integer out of range"},
        {"-9223372036854775809", "JSON, line 1 column 1: integer out of range"},
        {"99999999999999999999", "integer out of range"},
        {"[1,\n  18446744073709551616]", "JSON, line 2 column 3: integer out of range"},
        {"1e999", "number out of range"},
        {"NaN", "line 1 column 1: a value is missing"},
        {"Infinity", "a value is missing"},
        {"-", "line 1 column 2: a digit is missing"},
        {"+1", "a value is missing"},
        {"01", "cannot start with 0"},
        {"1.", "a digit is missing"},
        {".5", "a value is missing"},
        {"1e", "a digit is missing"},
        {"0x10", "line 1 column 2: something follows"},
        {"'a'", "line 1 column 1: strings take double quotes"},
        {"{'a':1}", "line 1 column 2: strings take double quotes"},
        {"{a:1}", "a member's name"},
        {"{\"a\" 1}", "line 1 column 6: ':' is missing"},
        {"{\"a\":}", "line 1 column 6: a value is missing"},
        {"{\"a\":1,}", "line 1 column 8: a member's name"},
        {"[1,]", "line 1 column 4: a value is missing"},
        {"[1 2]", "line 1 column 4: ',' or ']' is missing"},
        {"[1", "line 1 column 3: the text ends inside"},
        {"{\"a\":1", "the text ends inside"},
        {"[1}", "',' or ']' is missing"},
        {"\"abc", "line 1 column 5: the text ends inside a string"},
        {"\"a\nb\"", "line 1 column 3: a control character"},
        {"\"\\x41\"", "line 1 column 2: unknown escape"},
        {"\"\\u12g4\"", "four hexadecimal"},
        {"\"\\ud83d\"", "half of a surrogate"},
        {"\"\\ude00\"", "half of a surrogate"},
        {"\"\\ud83d\\u0041\"", "half of a surrogate"},
        {"\"\xff\"", "line 1 column 2: a string with bytes that are no UTF-8"},
        {"\"\xc3\xbc\xc0\xaf\"", "line 1 column 3: a string with bytes that are no UTF-8"},
        {"\"\xed\xa0\x80\"", "no UTF-8"},
        {"\"abc\xc3", "no UTF-8"},
        {"true false", "line 1 column 6: something follows"},
        {"tru", "true, false and null"},
        {"nul", "true, false and null"},
        {"[nul]", "true, false and null"},
        {"\xef\xbb\xbf{}", "a value is missing"},
        {"// x\n1", "a value is missing"},
    };
    lua_State *L = open_state();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = round_trip(L, cases[i].in, strlen(cases[i].in));
        bool error = strncmp(got, "JSON, line", 10) == 0;
        if (error ? !strstr(got, cases[i].out) : strcmp(got, cases[i].out) != 0)
            fail_msg("%s: got %s, want %s", cases[i].in, got, cases[i].out);
    }
    assert_non_null(strstr(round_trip(L, "1\0", 2), "something follows"));
    assert_non_null(strstr(round_trip(L, "\"a\0b\"", 5), "control character"));
    lua_close(L);
}

static void depth(void **state)
{
    (void)state;
    char text[403];
    lua_State *L = open_state();
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    assert_int_equal(strlen(round_trip(L, text, 200)), 200);
    memset(text, '[', 101);
    memset(text + 101, ']', 101);
    assert_non_null(strstr(round_trip(L, text, 202), "column 101: nested too deeply"));
    memset(text, '[', 400);
    assert_non_null(strstr(round_trip(L, text, 400), "nested too deeply"));
    lua_close(L);
}

/* Every byte string up to a length, and every prefix and single-byte change of a good text:
 * no crash (with the sanitizers), and an answer. */
static void mangled(void **state)
{
    (void)state;
    static const char good[] = "{\"a\\u00e4\":[1,-2.5e3,true,null,{\"b\":\"\xc3\xbc\\n\"}]}";
    lua_State *L = open_state();
    for (size_t len = 0; len < sizeof good; len++)
        assert_non_null(round_trip(L, good, len));
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (int c = 0; c < 256; c++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[i] = (char)c;
            assert_non_null(round_trip(L, text, sizeof good - 1));
        }
    }
    lua_close(L);
}

static void encodes(void **state)
{
    (void)state;
    static const struct {
        const char *lua; /* an expression */
        const char *out; /* its JSON, or a part of the error */
    } cases[] = {
        {"{}", "{}"},
        {"json.array{}", "[]"},
        {"json.array()", "[]"},
        {"json.object{}", "{}"},
        {"{1, 2, 'x'}", "[1,2,\"x\"]"},
        {"{a = 1}", "{\"a\":1}"},
        {"{{}, json.array{}}", "[{},[]]"},
        {"json.null", "null"},
        {"{json.null, 1}", "[null,1]"},
        {"1.0", "1.0"},
        {"0.1 + 0.2", "0.30000000000000004"},
        {"1e15", "1e+15"},
        {"1e100", "1e+100"},
        {"math.maxinteger", "9223372036854775807"},
        {"math.mininteger", "-9223372036854775808"},
        {"'\\0\\1\\x7f\"\\\\/'", "\"\\u0000\\u0001\\u007f\\\"\\\\/\""},
        {"('x'):rep(5000)", NULL},
        {"nil", "null"},
        {"0/0", "NaN and infinity"},
        {"{1/0}", "NaN and infinity"},
        {"print", "no JSON form for a function"},
        {"{a = print}", "value of field a"},
        {"{a = coroutine.create(print)}", "value of field a"},
        {"io.stdout", "no JSON form for a userdata"},
        {"{1, a = 2}", "names and indices"},
        {"{1, nil, 3}", "holes: its last index is 3"},
        {"{[2] = 1}", "holes: its last index is 2"},
        {"{[0] = 1}", "neither a name nor a positive integer: 0"},
        {"{[1.5] = 1}", "neither a name nor a positive integer: 1.5"},
        {"{[true] = 1}", "neither a name nor a positive integer: true"},
        {"json.array{a = 1}", "an array has a field with the name a"},
        {"json.object{1}", "an object has the index 1"},
        {"'\\xff'", "no UTF-8"},
        {"{['\\xff'] = 1}", "no UTF-8"},
        {"(function() local t = {} t.t = t return t end)()", "contains itself"},
        {"(function() local t = {} t[1] = {t} return t end)()", "contains itself"},
        {"(function() local t = {} for i = 1, 100 do t = {t} end return t end)()",
         "nested too deeply"},
        {"(function() local s = {1} return {s, s} end)()", "[[1],[1]]"},
    };
    lua_State *L = open_state();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char source[256];
        lua_settop(L, 0);
        snprintf(source, sizeof source, "return json.encode(%s)", cases[i].lua);
        assert_int_equal(luaL_loadstring(L, source), LUA_OK);
        bool good = lua_pcall(L, 0, 1, 0) == LUA_OK;
        const char *got = luaL_tolstring(L, -1, NULL);
        if (!cases[i].out)
            assert_int_equal(strlen(got), 5002);
        else if (good ? strcmp(got, cases[i].out) != 0 : !strstr(got, cases[i].out))
            fail_msg("%s: got %s, want %s", cases[i].lua, got, cases[i].out);
    }
    lua_close(L);
}

/* Each returns true. */
static void module(void **state)
{
    (void)state;
    static const char *const checks[] = {
        "return math.type(json.decode '7') == 'integer' and math.type(json.decode '7.0') == "
        "'float'",
        "return json.decode('99999999999999999999', {big_integers = 'string'}) == "
        "'99999999999999999999'",
        "local t = json.decode('{\"a\":null,\"b\":[null]}', {nulls = 'drop'}) return t.a == nil "
        "and "
        "t.b[1] == json.null",
        "return json.decode('{\"a\":null}').a == json.null",
        "return not pcall(json.decode, '[[1]]', {depth = 1}) and pcall(json.decode, '[1]', {depth "
        "= 1})",
        "return not pcall(json.decode, 7) and not pcall(json.decode) and not pcall(json.encode)",
        "local ok, e = pcall(json.decode, '[1,\\n x]') return e.kind == 'json' and e.line == 2 and "
        "e.column == 2 and tostring(e) == e.message",
        "return json.encode(json.array(json.object {})) == '[]'",
        "return not pcall(json.array, setmetatable({}, {})) and not pcall(json.array, 1)",
        "local m = getmetatable(json.array {}) return not pcall(function() m.__index = {} end)",
        "local t = json.decode '[1]' t[2] = 2 return json.encode(t) == '[1,2]'",
        "local t = json.decode '[]' return #t == 0 and next(t) == nil",
    };
    lua_State *L = open_state();
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        lua_settop(L, 0);
        assert_int_equal(luaL_loadstring(L, checks[i]), LUA_OK);
        if (lua_pcall(L, 0, 1, 0) != LUA_OK || !lua_toboolean(L, -1))
            fail_msg("%s: %s", checks[i], luaL_tolstring(L, -1, NULL));
    }
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes), cmocka_unit_test(depth),  cmocka_unit_test(mangled),
        cmocka_unit_test(encodes), cmocka_unit_test(module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
