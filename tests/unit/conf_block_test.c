/* The `handler` block as JSON, and secrets in files. */
#include "conf_scene.h"

#include "conf/secret.h"

#include <sys/stat.h>

static void blocks_become_json(void **state)
{
    static const struct {
        const char *lua, *json;
    } cases[] = {
        {"{}", "{}"},
        {"{ b = 1, a = 2, ['a b'] = 3 }", "{\"a\":2,\"a b\":3,\"b\":1}"},
        {"{ n = 9007199254740993, m = math.mininteger }",
         "{\"m\":-9223372036854775808,\"n\":9007199254740993}"},
        {"{ f = 2.0, g = 0.5, h = 1e300 }", "{\"f\":2.0,\"g\":0.5,\"h\":1.0000000000000001e+300}"},
        {"{ t = true, f = false }", "{\"f\":false,\"t\":true}"},
        {"{ list = { 1, { 2, { 'x' } }, {} }, none = {} }",
         "{\"list\":[1,[2,[\"x\"]],{}],\"none\":{}}"},
        {"{ [\"q\\\"\\n\"] = 'a\\\\b\\0c' }", "{\"q\\\"\\n\":\"a\\\\b\\u0000c\"}"},
        {"{ u = 'Zo\\xc3\\xab' }", "{\"u\":\"Zo\xc3\xab\"}"},
        {"{ [''] = 1 }", "{\"\":1}"},
        {"{ a = { [1] = 'x', [2.0] = 'y' } }", "{\"a\":[\"x\",\"y\"]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512];
        struct conf c;
        struct err e;
        snprintf(config, sizeof config, "return { handler = %s }", cases[i].lua);
        if (scene_load(*state, &c, config, NULL, NULL, NULL, &e))
            fail_msg("%s: %s", cases[i].lua, e.text);
        assert_string_equal(c.handler_json, cases[i].json);
        conf_free(&c);
    }
}

static void what_has_no_json_form_is_refused_with_its_key(void **state)
{
    static const struct {
        const char *lua, *words;
    } cases[] = {
        {"{ a = { b = { 1, 2, x = 3 } } }",
         ":1: handler.a.b must be a list or have names, found both"},
        {"{ a = { 1, nil, 3, nil, nil, 6 } }", ":1: handler.a must be a list without holes"},
        {"{ a = { [0] = 1 } }", "handler.a must have keys that are names, or 1 to n"},
        {"{ a = { [1.5] = 1 } }", "handler.a must have keys that are names, or 1 to n"},
        {"{ a = { [true] = 1 } }",
         "handler.a must have keys that are names, or 1 to n, found boolean"},
        {"{ a = { 1, tostring } }", "handler.a[2] must be data"},
        {"{ a = 1/0 }", "handler.a must be a finite number, found inf"},
        {"{ a = { { n = 0/0 } } }", "handler.a[1].n must be a finite number, found nan"},
        {"{ a = '\\xff' }", "handler.a must be UTF-8"},
        {"{ ['\\xff'] = 1 }", "must have a name in UTF-8"},
        {"{ 1, 2 }", "handler must have names, found a list"},
        {"(function() local t = {} t.t = t return t end)()", "nested less deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512];
        struct conf c;
        struct err e;
        snprintf(config, sizeof config, "return { handler = %s }", cases[i].lua);
        if (scene_load(*state, &c, config, NULL, NULL, NULL, &e) == 0)
            fail_msg("taken: %s", cases[i].lua);
        assert_says(e.text, cases[i].words);
        assert_int_equal(e.code, EXIT_CONFIG);
        conf_free(&c);
    }
}

/* LUAHOST_HANDLER */
static void blocks_given_as_json(void **state)
{
    static const char *const right[] = {
        "{}",
        " { } ",
        "{\"a\":[1,-0,0.5,1e9,-1E-2,true,false,null,\"x\",{},[]]}",
        "{\"a\":\"\\u00e9\\n\\\"\",\"b\" : [ 1 , 2 ]}",
        "{\"n\":9223372036854775807}",
        "{\"u\":\"Zo\xc3\xab\"}",
    };
    static const char *const wrong[] = {
        "x",
        "[]",
        "[1]",
        "1",
        "{",
        "{}}",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":tru}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc3",
        "{\"n\":9223372036854775808}",
        "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char variable[256], *env[] = {variable, NULL};
        struct conf c;
        struct err e;
        snprintf(variable, sizeof variable, "LUAHOST_HANDLER=%s", right[i]);
        if (scene_load(*state, &c, NULL, env, NULL, NULL, &e))
            fail_msg("%s: %s", right[i], e.text);
        assert_string_equal(c.handler_json, right[i]);
        conf_free(&c);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *variable = NULL; /* of its exact size: a sanitizer sees who reads on */
        struct conf c;
        struct err e;
        assert_true(asprintf(&variable, "LUAHOST_HANDLER=%s", wrong[i]) > 0);
        char *env[] = {variable, NULL};
        if (scene_load(*state, &c, NULL, env, NULL, NULL, &e) == 0)
            fail_msg("taken: %s", wrong[i]);
        assert_says(e.text, "LUAHOST_HANDLER (handler) must be a table");
        conf_free(&c);
        free(variable);
    }
}

static void secrets_are_read_whole(void **state)
{
    const struct scene *s = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *secret, *error;
    } cases[] = {
        {"hush", 4, "hush", NULL},     {"hush\n", 5, "hush", NULL},
        {"hush\r\n", 6, "hush", NULL}, {" hush \n\n", 8, " hush \n", NULL},
        {"", 0, NULL, "is empty"},     {"\n", 1, NULL, "is empty"},
        {"hu\0sh", 5, NULL, "NUL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        struct err e = {0};
        buf_init(&b);
        scene_write(s, cases[i].bytes, cases[i].len);
        chmod(s->file, 0600);
        assert_int_equal(conf_read_secret(s->file, &b, &e), cases[i].secret ? 0 : -1);
        if (cases[i].secret) {
            assert_string_equal(b.data, cases[i].secret);
        } else {
            assert_says(e.text, cases[i].error);
            assert_says(e.text, s->file);
            assert_null(strstr(e.text, "hu"));
            assert_int_equal(e.code, EXIT_CONFIG);
            assert_int_equal(b.len, 0);
        }
        buf_free(&b);
    }
}

static void a_secret_that_cannot_be_read(void **state)
{
    const struct scene *s = *state;
    struct buf b;
    struct err e = {0};
    char *big = malloc(CONF_SECRET_MAX_BYTES + 1);
    buf_init(&b);
    assert_int_equal(conf_read_secret("/nowhere/at/all", &b, &e), -1);
    assert_says(e.text, "/nowhere/at/all");
    assert_says(e.text, "No such file");
    assert_int_equal(conf_read_secret(s->folder, &b, &e), -1);
    assert_says(e.text, "directory");
    memset(big, 'x', CONF_SECRET_MAX_BYTES + 1);
    scene_write(s, big, CONF_SECRET_MAX_BYTES + 1);
    assert_int_equal(conf_read_secret(s->file, &b, &e), -1);
    assert_says(e.text, "64 KiB");
    scene_write(s, big, CONF_SECRET_MAX_BYTES);
    chmod(s->file, 0600);
    assert_int_equal(conf_read_secret(s->file, &b, &e), 0);
    assert_int_equal(b.len, CONF_SECRET_MAX_BYTES);
    buf_free(&b);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_become_json),
        cmocka_unit_test(what_has_no_json_form_is_refused_with_its_key),
        cmocka_unit_test(blocks_given_as_json),
        cmocka_unit_test(secrets_are_read_whole),
        cmocka_unit_test(a_secret_that_cannot_be_read),
    };
    return cmocka_run_group_tests_name("conf/block and conf/secret", tests, scene_make,
                                       scene_remove);
}
