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

/* What is legal and probably not meant. */
static void warnings(void **state)
{
    static const struct {
        const char *config, *word;
    } cases[] = {
        {"return { scale = { interval = 5 } }", ""},
        {"return { pii = { 'a' } }", "pii has no effect yet\n"},
        {"return { drain = 10 }", "drain (10 s) is less than limits.time (60 s)"},
        {"return { workers = { min = 2, max = 4 } }", ""},
        {"return { workers = { min = 4, max = 4 } }", ""},
        {"return { limits = { time = 30 } }", ""},
        {"return { queue = { visibility = 60 } }", ""},
        {"return { queue = { visibility = 59 } }",
         "queue.visibility (59 s) is less than limits.time (60 s)"},
        {"return { limits = { time = 31 } }",
         "queue.visibility (30 s) is less than limits.time (31 s)"},
        {"return { queue = { visibility = 12 } }",
         "queue.visibility (12 s) is less than one HTTP call may take (13 s)"},
        {"return { http = { timeout = 28 } }", "one HTTP call may take (31 s)"},
        {"return { dedupe = { store = 'memory', key = 'message_id' } }", ""},
        {"return { dedupe = { key = 'deduplication_id' } }", ""},
        {"return { dedupe = { key = '/detail/~0~1/0' } }", ""},
        {"return {}", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf c;
        struct err e;
        assert_int_equal(scene_load(*state, &c, cases[i].config, NULL, NULL, NULL, &e), 0);
        if (*cases[i].word)
            assert_says(c.warnings.data, cases[i].word);
        else
            assert_string_equal(c.warnings.data, "");
        conf_free(&c);
    }
}

/* A queue's URL is taken with its server: no weaker source sends it to another one. */
static void a_queue_url_is_not_sent_to_a_weaker_endpoint(void **state)
{
#define FILE_BOTH "return { queue = { url = 'http://f/1/q', endpoint = 'http://f:1' } }"
    static const struct {
        const char *config, *variables[2], *flag, *value;
        const char *endpoint, *warns;
    } cases[] = {
        {.config = FILE_BOTH, .endpoint = "http://f:1"},
        {FILE_BOTH, {NULL}, "--queue-url", "http://t/1/q", NULL, "--queue-url names the server"},
        {FILE_BOTH,
         {"LUAHOST_QUEUE_URL=http://t/1/q"},
         NULL,
         NULL,
         NULL,
         "LUAHOST_QUEUE_URL names the server"},
        {FILE_BOTH, {NULL}, "--queue-url", "http://F:1/1/other", "http://f:1", NULL},
        {FILE_BOTH, {NULL}, "--queue-url", "http://f:12/1/q", NULL, "--queue-url"},
        {FILE_BOTH, {NULL}, "--queue", "other", "http://f:1", NULL},
        {FILE_BOTH, {NULL}, "--endpoint-url", "http://t", "http://t", NULL},
        {FILE_BOTH, {"LUAHOST_QUEUE_ENDPOINT=http://e"}, NULL, NULL, "http://e", NULL},
        {"return {}",
         {"LUAHOST_QUEUE_ENDPOINT=http://e"},
         "--queue-url",
         "http://t/1/q",
         NULL,
         "from LUAHOST_QUEUE_ENDPOINT"},
        {"return {}",
         {"LUAHOST_QUEUE_ENDPOINT=http://e", "LUAHOST_QUEUE_URL=http://t/1/q"},
         NULL,
         NULL,
         "http://e",
         NULL},
        {"return {}",
         {"AWS_ENDPOINT_URL=http://a"},
         "--queue-url",
         "http://t/1/q",
         "http://a",
         NULL},
    };
#undef FILE_BOTH
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf c;
        struct err e;
        char *env[] = {(char *)cases[i].variables[0], (char *)cases[i].variables[1], NULL};
        assert_int_equal(
            scene_load(*state, &c, cases[i].config, env, cases[i].flag, cases[i].value, &e), 0);
        if (!c.queue.endpoint != !cases[i].endpoint ||
            (c.queue.endpoint && strcmp(c.queue.endpoint, cases[i].endpoint) != 0))
            fail_msg("case %zu: the endpoint is %s", i, c.queue.endpoint);
        if (cases[i].warns)
            assert_says(c.warnings.data, cases[i].warns);
        else
            assert_string_equal(c.warnings.data, "");
        conf_free(&c);
    }
}

static void dead_letters_of_a_typed_queue_are_doubted(void **state)
{
#define FILE_BOTH "return { queue = { url = 'http://f/1/q', dlq_url = 'http://f/1/dead' } }"
    static const struct {
        const char *config, *variable, *flag, *value, *warns;
    } cases[] = {
        {.config = FILE_BOTH},
        {FILE_BOTH, NULL, "--queue-url", "http://f/1/other", "--queue-url names go to"},
        {FILE_BOTH, NULL, "--queue", "other", "--queue names go to"},
        {FILE_BOTH, "LUAHOST_QUEUE_URL=http://f/1/other", NULL, NULL, NULL},
        {FILE_BOTH, "LUAHOST_QUEUE_DLQ_URL=http://f/1/d", "--queue-url", "http://f/1/other", NULL},
        {"return { queue = { url = 'http://f/1/q' } }", NULL, "--queue", "other", NULL},
    };
#undef FILE_BOTH
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf c;
        struct err e;
        char *env[] = {(char *)cases[i].variable, NULL};
        assert_int_equal(
            scene_load(*state, &c, cases[i].config, env, cases[i].flag, cases[i].value, &e), 0);
        if (cases[i].warns)
            assert_says(c.warnings.data, cases[i].warns);
        else
            assert_string_equal(c.warnings.data, "");
        conf_free(&c);
    }
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
        cmocka_unit_test(errors_name_source_key_and_value),
        cmocka_unit_test(a_password_in_a_url_is_not_repeated),
        cmocka_unit_test(a_secret_is_nowhere_in_the_print),
        cmocka_unit_test(aws_endpoints_can_be_turned_off),
        cmocka_unit_test(warnings),
        cmocka_unit_test(a_queue_url_is_not_sent_to_a_weaker_endpoint),
        cmocka_unit_test(dead_letters_of_a_typed_queue_are_doubted),
        cmocka_unit_test(a_queue_is_required_where_one_is_needed),
        cmocka_unit_test(fields),
        cmocka_unit_test(keys_are_consistent),
    };
    return cmocka_run_group_tests_name("conf/load", tests, scene_make, scene_remove);
}
