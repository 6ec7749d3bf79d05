/* What is refused, and that the message names the source, the key and the value. */
#include "conf_scene.h"

/* What is wrong, the code, and three words of the message. */
struct error_case {
    const char *config;
    const char *variable;
    const char *flag, *value;
    int code;
    const char *words[4];
};

static const struct error_case errors[] = {
    {.variable = "LUAHOST_WORKERS_MAX=many",
     .code = EXIT_CONFIG,
     .words = {"LUAHOST_WORKERS_MAX", "workers.max", "number", "\"many\""}},
    {.variable = "LUAHOST_WORKERS_MXA=3",
     .code = EXIT_CONFIG,
     .words = {"LUAHOST_WORKERS_MXA", "did you mean LUAHOST_WORKERS_MAX?"}},
    {.variable = "LUAHOST_FOOD=3", .code = EXIT_CONFIG, .words = {"LUAHOST_FOOD", "no such key"}},
    {.variable = "LUAHOST_HANDLER_GROUP=3",
     .code = EXIT_CONFIG,
     .words = {"LUAHOST_HANDLER_GROUP", "JSON object"}},
    {.variable = "LUAHOST_HANDLER=[1]", .code = EXIT_CONFIG, .words = {"handler", "JSON object"}},
    {.variable = "LUAHOST_HANDLER={\"a\":1} x", .code = EXIT_CONFIG, .words = {"JSON object"}},
    {.variable = "LUAHOST_HANDLER={'a':NaN}", .code = EXIT_CONFIG, .words = {"JSON object"}},
    {.variable = "LUAHOST_QUEUE_WAIT=21", .code = EXIT_CONFIG, .words = {"from 0 to 20", "\"21\""}},
    {.variable = "LUAHOST_QUEUE_WAIT=0x10", .code = EXIT_CONFIG, .words = {"0x10"}},
    {.variable = "LUAHOST_QUEUE_WAIT= 5", .code = EXIT_CONFIG, .words = {"\" 5\""}},
    {.variable = "LUAHOST_DRAIN=inf", .code = EXIT_CONFIG, .words = {"seconds", "inf"}},
    {.variable = "LUAHOST_DRAIN=1e999", .code = EXIT_CONFIG, .words = {"seconds"}},
    {.variable = "LUAHOST_LIMITS_MEMORY=64X", .code = EXIT_CONFIG, .words = {"64M", "64X"}},
    {.variable = "LUAHOST_LIMITS_MEMORY=M", .code = EXIT_CONFIG, .words = {"\"M\""}},
    {.variable = "LUAHOST_LIMITS_MEMORY=1K", .code = EXIT_CONFIG, .words = {"from 1M to 64G"}},
    {.variable = "LUAHOST_PII=a,,b", .code = EXIT_CONFIG, .words = {"list"}},
    {.variable = "LUAHOST_PII=a,", .code = EXIT_CONFIG, .words = {"list"}},
    {.variable = "LUAHOST_LOG_LEVEL=loud",
     .code = EXIT_CONFIG,
     .words = {"\"debug\", \"info\", \"warn\" or \"error\"", "\"loud\""}},
    {.variable = "LUAHOST_ADMIN_LISTEN=9180", .code = EXIT_CONFIG, .words = {"127.0.0.1:9180"}},
    {.variable = "LUAHOST_ADMIN_LISTEN=h:99999", .code = EXIT_CONFIG, .words = {"admin.listen"}},
    {.variable = "AWS_REGION=eu west",
     .code = EXIT_CONFIG,
     .words = {"AWS_REGION", "queue.region"}},
    {.variable = "LUAHOST_QUEUE_URL=ftp://h/q", .code = EXIT_CONFIG, .words = {"http", "ftp://"}},
    {.variable = "LUAHOST_QUEUE_URL=http:///q", .code = EXIT_CONFIG, .words = {"http"}},
    {.flag = "--queue-url", .value = "http://h/q\r\nX: 1", .code = EXIT_USAGE, .words = {"X: 1"}},
    {.flag = "--slots", .value = "0", .code = EXIT_USAGE, .words = {"--slots", "from 1", "\"0\""}},
    {.flag = "--workers", .value = "a:2", .code = EXIT_USAGE, .words = {"workers.min", "\"a\""}},
    {.flag = "--workers", .value = "2:", .code = EXIT_USAGE, .words = {"workers.max", "\"\""}},
    {.flag = "--workers", .value = "5:2", .code = EXIT_CONFIG, .words = {"(5)", "(2)"}},
    {.config = "return { workers = { min = 20 } }",
     .code = EXIT_CONFIG,
     .words = {"workers.min (20)", "workers.max (10)"}},
    {.config = "return { retry = { base = 1000 } }",
     .code = EXIT_CONFIG,
     .words = {"retry.base (1000 s)", "retry.cap (900 s)"}},
    {.config = "return { queue = { visibility = 43201 } }",
     .code = EXIT_CONFIG,
     .words = {"43200", "43201"}},
    {.config = "return { queue = { url = 'http://h/q', name = 'q' } }",
     .code = EXIT_CONFIG,
     .words = {"queue.url", "queue.name", "both"}},
    {.config = "return { dedupe = { store = 'dynamo' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.store", "memory", "dynamodb://TABLE", "\"dynamo\""}},
    {.config = "return { dedupe = { store = 'dynamodb://t' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.store", "\"t\"", "3 to 255"}},
    {.config = "return { dedupe = { store = 'dynamodb://a table' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.store", "\"a table\"", "letters"}},
    {.config = "return { dedupe = { store = 'dynamodb://' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.store", "no table's name"}},
    {.config = "return { dedupe = { key = 'event_id' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.key", "\"event_id\"", "\"/event_id\""}},
    {.config = "return { dedupe = { key = 'message-id' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.key", "\"message-id\"", "did you mean \"message_id\""}},
    {.config = "return { dedupe = { key = '/a~b' } }",
     .code = EXIT_CONFIG,
     .words = {"dedupe.key", "/a~b", "~0"}},
    {.config = "return { queue = { envelope = 'eventbrige' } }",
     .code = EXIT_CONFIG,
     .words = {"queue.envelope", "none", "eventbridge"}},
};

static void errors_name_source_key_and_value(void **state)
{
    const struct scene *s = *state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const struct error_case *x = &errors[i];
        char *env[] = {(char *)"HOME=/", (char *)x->variable, NULL};
        struct conf c;
        struct err e;
        if (scene_load(s, &c, x->config, env, x->flag, x->value, &e) == 0)
            fail_msg("case %zu (%s) was taken", i, x->words[0]);
        for (int w = 0; w < 4; w++)
            assert_says(e.text, x->words[w]);
        assert_int_equal(e.code, x->code);
        conf_free(&c);
    }
}

static void a_password_in_a_url_is_not_repeated(void **state)
{
    char *env[] = {(char *)"LUAHOST_KEYCLOAK_URL=http://me:hush@h", NULL};
    struct conf c;
    struct err e;
    assert_int_equal(scene_load(*state, &c, NULL, env, NULL, NULL, &e), -1);
    assert_null(strstr(e.text, "hush"));
    assert_says(e.text, "LUAHOST_KEYCLOAK_URL");
    conf_free(&c);
}

static void a_queue_is_required_where_one_is_needed(void **state)
{
    static const struct {
        const char *config, *word; /* NULL: fine */
    } cases[] = {
        {"return {}", "queue.url"},
        {"return { queue = { url = 'http://h/1/q.fifo' } }", NULL},
        {"return { queue = { name = 'q' } }", "queue.region"},
        {"return { queue = { name = 'q', endpoint = 'http://h' } }", NULL},
        {"return { queue = { url = 'http://h/1/q' } }", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf c;
        struct err e;
        assert_int_equal(scene_load(*state, &c, cases[i].config, NULL, NULL, NULL, &e), 0);
        assert_int_equal(conf_require_queue(&c, &e), cases[i].word ? -1 : 0);
        if (cases[i].word) {
            assert_says(e.text, cases[i].word);
            assert_int_equal(e.code, EXIT_CONFIG);
        }
        conf_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_source_key_and_value),
        cmocka_unit_test(a_password_in_a_url_is_not_repeated),
        cmocka_unit_test(a_queue_is_required_where_one_is_needed),
    };
    return cmocka_run_group_tests_name("conf/load: errors", tests, scene_make, scene_remove);
}
