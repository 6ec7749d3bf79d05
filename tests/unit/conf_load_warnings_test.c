/* What is legal and probably not meant: it is taken, and warned of. */
#include "conf_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warnings),
        cmocka_unit_test(a_queue_url_is_not_sent_to_a_weaker_endpoint),
        cmocka_unit_test(dead_letters_of_a_typed_queue_are_doubted),
    };
    return cmocka_run_group_tests_name("conf/load: warnings", tests, scene_make, scene_remove);
}
