/* Where values come from, what each type takes, and what is printed. */
#include "conf_scene.h"

#include "base/log.h"
#include "conf/keys.h"

/* One value: from a source to the line of --print-config. */
struct value_case {
    const char *config;
    const char *variable;
    const char *flag, *value;
    const char *key;
    const char *printed; /* the value */
    const char *source;  /* "FILE" is the config file */
};

static const struct value_case values[] = {
    /* each type from each source that it has */
    {.key = "queue.url", .printed = "nil", .source = "default"},
    {.config = "return { queue = { url = 'http://h/1/q' } }",
     .key = "queue.url",
     .printed = "\"http://h/1/q\"",
     .source = "FILE"},
    {.variable = "LUAHOST_QUEUE_URL=https://h/q/",
     .key = "queue.url",
     .printed = "\"https://h/q\"",
     .source = "LUAHOST_QUEUE_URL"},
    {.flag = "--queue-url",
     .value = "http://[::1]:80/q",
     .key = "queue.url",
     .printed = "\"http://[::1]:80/q\"",
     .source = "--queue-url"},
    {.flag = "--queue",
     .value = "sign-ups_1",
     .key = "queue.name",
     .printed = "\"sign-ups_1\"",
     .source = "--queue"},
    {.config = "return { queue = { region = 'eu-west-1' } }",
     .key = "queue.region",
     .printed = "\"eu-west-1\"",
     .source = "FILE"},
    {.config = "return { queue = { wait = 0 } }",
     .key = "queue.wait",
     .printed = "0",
     .source = "FILE"},
    {.config = "return { queue = { wait = 7.0 } }",
     .key = "queue.wait",
     .printed = "7",
     .source = "FILE"},
    {.variable = "LUAHOST_QUEUE_WAIT=20",
     .key = "queue.wait",
     .printed = "20",
     .source = "LUAHOST_QUEUE_WAIT"},
    {.flag = "--slots", .value = "8", .key = "slots", .printed = "8", .source = "--slots"},
    {.config = "return { http = { timeout = 2.5 } }",
     .key = "http.timeout",
     .printed = "2.5",
     .source = "FILE"},
    {.variable = "LUAHOST_LIMITS_CPU=.125",
     .key = "limits.cpu",
     .printed = "0.125",
     .source = "LUAHOST_LIMITS_CPU"},
    {.key = "limits.memory", .printed = "\"64M\"", .source = "default"},
    {.config = "return { limits = { memory = 3 * 1024 * 1024 } }",
     .key = "limits.memory",
     .printed = "\"3M\"",
     .source = "FILE"},
    {.config = "return { limits = { memory = '2g' } }",
     .key = "limits.memory",
     .printed = "\"2G\"",
     .source = "FILE"},
    {.variable = "LUAHOST_HTTP_MAX_BODY=1500",
     .key = "http.max_body",
     .printed = "1500",
     .source = "LUAHOST_HTTP_MAX_BODY"},
    {.key = "rate", .printed = "nil", .source = "default"},
    {.config = "return { rate = 12.5 }", .key = "rate", .printed = "12.5", .source = "FILE"},
    {.config = "return { retry = { max_attempts = 4 } }",
     .key = "retry.max_attempts",
     .printed = "4",
     .source = "FILE"},
    {.config = "return { log = { level = 'debug' } }",
     .key = "log.level",
     .printed = "\"debug\"",
     .source = "FILE"},
    {.flag = "--log-format",
     .value = "json",
     .key = "log.format",
     .printed = "\"json\"",
     .source = "--log-format"},
    {.config = "return { log = { settled = 'errors' } }",
     .key = "log.settled",
     .printed = "\"errors\"",
     .source = "FILE"},
    {.config = "return { log = { settled = 0.25 } }",
     .key = "log.settled",
     .printed = "0.25",
     .source = "FILE"},
    {.variable = "LUAHOST_LOG_SETTLED=all",
     .key = "log.settled",
     .printed = "\"all\"",
     .source = "LUAHOST_LOG_SETTLED"},
    {.config = "return { pii = { 'a', 'b c' and 'd' } }",
     .key = "pii",
     .printed = "{ \"a\", \"d\" }",
     .source = "FILE"},
    {.config = "return { pii = {} }", .key = "pii", .printed = "{}", .source = "FILE"},
    {.variable = "LUAHOST_HTTP_ALLOW=a.org,b.org:81",
     .key = "http.allow",
     .printed = "{ \"a.org\", \"b.org:81\" }",
     .source = "LUAHOST_HTTP_ALLOW"},
    {.flag = "--admin",
     .value = "off",
     .key = "admin.listen",
     .printed = "\"off\"",
     .source = "--admin"},
    {.flag = "--admin",
     .value = "[::1]:9000",
     .key = "admin.listen",
     .printed = "\"[::1]:9000\"",
     .source = "--admin"},
    {.variable = "LUAHOST_HANDLER={\"a\": 1, \"token\": \"hush\"}",
     .key = "handler",
     .printed = "{\"a\": 1, \"token\": \"********\"}",
     .source = "LUAHOST_HANDLER"},
    {.config = "return { handler = { password = { 'x', y = nil }, secrets = { deep = { 'z' } },"
               " open = 'y' } }",
     .key = "handler",
     .printed = "{\"open\":\"y\",\"password\":[\"********\"],"
                "\"secrets\":{\"deep\":[\"********\"]}}",
     .source = "FILE"},
    {.variable = "LUAHOST_KEYCLOAK_CLIENT_SECRET=hush",
     .key = "keycloak.client_secret",
     .printed = "\"********\"",
     .source = "LUAHOST_KEYCLOAK_CLIENT_SECRET"},
    {.flag = "--workers",
     .value = "6",
     .key = "workers.min",
     .printed = "6",
     .source = "--workers"},
    {.flag = "--workers",
     .value = "2:6",
     .key = "workers.min",
     .printed = "2",
     .source = "--workers"},
    {.flag = "--workers",
     .value = "2:6",
     .key = "workers.max",
     .printed = "6",
     .source = "--workers"},

    /* precedence */
    {.config = "return { slots = 2 }",
     .variable = "LUAHOST_SLOTS=3",
     .flag = "--slots",
     .value = "5",
     .key = "slots",
     .printed = "5",
     .source = "--slots"},
    {.config = "return { slots = 2 }",
     .variable = "LUAHOST_SLOTS=3",
     .key = "slots",
     .printed = "3",
     .source = "LUAHOST_SLOTS"},
    {.config = "return { slots = 2 }",
     .variable = "LUAHOST_SLOTS=",
     .key = "slots",
     .printed = "2",
     .source = "FILE"},
    {.variable = "AWS_REGION=eu-west-3",
     .key = "queue.region",
     .printed = "\"eu-west-3\"",
     .source = "AWS_REGION"},
    {.variable = "AWS_DEFAULT_REGION=eu-west-3",
     .key = "queue.region",
     .printed = "\"eu-west-3\"",
     .source = "AWS_DEFAULT_REGION"},
    {.config = "return { queue = { region = 'eu-west-1' } }",
     .variable = "AWS_REGION=x",
     .key = "queue.region",
     .printed = "\"eu-west-1\"",
     .source = "FILE"},
    {.variable = "AWS_ENDPOINT_URL=http://127.0.0.1:9324/",
     .key = "queue.endpoint",
     .printed = "\"http://127.0.0.1:9324\"",
     .source = "AWS_ENDPOINT_URL"},
    {.config = "return { queue = { url = 'http://h/q' } }",
     .flag = "--queue",
     .value = "other",
     .key = "queue.url",
     .printed = "nil",
     .source = "default"},
    {.config = "return { queue = { name = 'other' } }",
     .variable = "LUAHOST_QUEUE_URL=http://h/q",
     .key = "queue.name",
     .printed = "nil",
     .source = "default"},

    /* not ours */
    {.variable = "LUAHOST_CACHE=/x", .key = "slots", .printed = "4", .source = "default"},
    {.variable = "LUAHOST_TEST_SEED=1", .key = "slots", .printed = "4", .source = "default"},
    {.variable = "LUAHOST_PORT_80_TCP_ADDR=10.0.0.1",
     .key = "slots",
     .printed = "4",
     .source = "default"},
    {.variable = "LUAHOST_SERVICE_PORT=80", .key = "slots", .printed = "4", .source = "default"},
    {.variable = "LUAHOST_WEB_PORT=tcp://10.0.0.1:80",
     .key = "slots",
     .printed = "4",
     .source = "default"},
};

static void values_from_everywhere(void **state)
{
    const struct scene *s = *state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const struct value_case *v = &values[i];
        char *env[] = {(char *)"HOME=/", (char *)v->variable, NULL};
        const char *source = strcmp(v->source, "FILE") == 0 ? s->file : v->source;
        struct conf c;
        struct err e;
        char line[1024], expected[1024];
        if (scene_load(s, &c, v->config, env, v->flag, v->value, &e))
            fail_msg("case %zu (%s): %s", i, v->key, e.text);
        printed_line(&c, v->key, line, sizeof line);
        snprintf(expected, sizeof expected, "%-27s %-40s %s", v->key, v->printed, source);
        assert_string_equal(line, expected);
        conf_free(&c);
    }
}

static void a_secret_is_nowhere_in_the_print(void **state)
{
    char *env[] = {(char *)"LUAHOST_KEYCLOAK_CLIENT_SECRET=hush-3141", NULL};
    struct conf c;
    struct err e;
    struct buf b;
    buf_init(&b);
    assert_int_equal(scene_load(*state, &c, NULL, env, NULL, NULL, &e), 0);
    assert_true(conf_print(&c, &b));
    assert_null(strstr(b.data, "hush-3141"));
    assert_string_equal(c.keycloak.client_secret, "hush-3141");
    buf_free(&b);
    conf_free(&c);
}

static void aws_endpoints_can_be_turned_off(void **state)
{
    char *env[] = {(char *)"AWS_ENDPOINT_URL=http://all", (char *)"AWS_ENDPOINT_URL_SQS=http://sqs",
                   NULL, NULL};
    struct conf c;
    struct err e;
    assert_int_equal(scene_load(*state, &c, NULL, env, NULL, NULL, &e), 0);
    assert_string_equal(c.queue.endpoint, "http://sqs");
    conf_free(&c);
    env[2] = (char *)"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=True";
    assert_int_equal(scene_load(*state, &c, NULL, env, NULL, NULL, &e), 0);
    assert_null(c.queue.endpoint);
    conf_free(&c);
}

/* The struct's own fields, as others read them. */
static void fields(void **state)
{
    struct conf c;
    struct err e;
    char path[192];
    assert_int_equal(
        scene_load(
            *state, &c,
            "return { limits = { memory = '1M' }, log = { level = 'warn' },\n"
            "  keycloak = { client_secret_file = 'secret' }, http = { ca_file = '/etc/ca' },\n"
            "  queue = { visibility = 45 }, pii = { 'x', 'y' } }",
            NULL, "--log-format", "text", &e),
        0);
    snprintf(path, sizeof path, "%s/secret", ((struct scene *)*state)->folder);
    assert_string_equal(c.keycloak.client_secret_file, path);
    assert_string_equal(c.http.ca_file, "/etc/ca");
    assert_int_equal(c.limits.memory, 1 << 20);
    assert_int_equal(c.http.max_body, 8 << 20);
    assert_int_equal(c.log.level, LOG_WARN);
    assert_int_equal(c.log.format, LOG_TEXT);
    assert_int_equal(c.queue.visibility, 45);
    assert_int_equal(c.queue.envelope, ENVELOPE_NONE);
    assert_int_equal(c.dedupe.fail, FAIL_OPEN);
    assert_true(c.limits.cpu == 0.25 && c.drain == 65 && c.rate == 0 && c.log.settled == 1);
    assert_string_equal(c.pii, "x,y");
    assert_null(c.http.allow);
    assert_string_equal(c.handler_json, "{}");
    conf_free(&c);
}

static void keys_are_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_keys_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        char name[CONF_ENV_NAME_BYTES];
        assert_ptr_equal(conf_key_find(key->path), key);
        conf_env_name(key, name);
        assert_true(strlen(name) < CONF_ENV_NAME_BYTES - 1 && key->help);
        assert_true(!key->flag || (key->arg && strncmp(key->flag, "--", 2) == 0));
        for (size_t j = 0; j < i; j++)
            assert_true(conf_keys[j].offset != key->offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_from_everywhere),
        cmocka_unit_test(a_secret_is_nowhere_in_the_print),
        cmocka_unit_test(aws_endpoints_can_be_turned_off),
        cmocka_unit_test(fields),
        cmocka_unit_test(keys_are_consistent),
    };
    return cmocka_run_group_tests_name("conf/load", tests, scene_make, scene_remove);
}
