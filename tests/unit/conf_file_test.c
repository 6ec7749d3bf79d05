/* host.conf.lua: what it may do, what its table may hold, and what errors say. */
#include "conf_scene.h"

struct file_case {
    const char *config;
    const char *after;    /* what follows the file's path in the message */
    const char *words[2]; /* and words of it */
};

static const struct file_case bad_files[] = {
    {"return {\n  queue = {\n}\n", ":4: ", {"expected"}},
    {"\n\nerror('no config')", ":3: ", {"no config"}},
    {"error('bare', 0)", ": ", {"bare"}},
    {"error({})", ": ", {"no text"}},
    {"return nil", " must return a table", {"nil"}},
    {"", " must return a table", {"nil"}},
    {"return 5", " must return a table", {"number"}},
    {"local x\nwhile true do end", ":2: ", {"come to an end"}},
    {"local s = 'x' while true do s = s .. s end", ": ", {"memory"}},
    {"local t = {} while true do t[#t + 1] = {} end", ": ", {"memory"}},
    {"\033Lua", ": ", {"binary chunk"}},

    /* what is not there */
    {"\nreturn { slots = SLOTS }", ":2: ", {"no variable SLOTS"}},
    {"io.open('x')", ":1: ", {"no variable io"}},
    {"os.execute('true')", ":1: ", {"execute"}},
    {"os.remove('x')", ":1: ", {"remove"}},
    {"require 'x'", ":1: ", {"require"}},
    {"load('return 1')", ":1: ", {"load"}},
    {"pcall(error)", ":1: ", {"pcall"}},
    {"setmetatable({}, {})", ":1: ", {"setmetatable"}},
    {"coroutine.wrap(print)", ":1: ", {"coroutine"}},
    {"return ('x'):rep(5)", ":1: ", {"rep"}},

    /* unknown keys, and the nearest known one */
    {"return {\n  queue = {\n    visiblity = 5 } }",
     ":3: queue.visiblity: ",
     {"did you mean queue.visibility?"}},
    {"return { url = 'http://h/q' }", ":1: url: ", {"did you mean queue.url?"}},
    {"return { dedup = {} }", ":1: dedup: ", {"did you mean dedupe."}},
    {"return { dedupes = {} }", ":1: dedupes: ", {"no such key"}},
    {"return { queue = { urls = '' } }", ":1: queue.urls: ", {"did you mean queue.url?"}},
    {"return { workers = { slots = 3 } }", ":1: workers.slots: ", {"did you mean slots?"}},
    {"return { customers = '/x' }", ":1: customers: ", {"handler = {"}},
    {"return { queue = { dead = { letter = 1 } } }", ":1: queue.dead: ", {"no such key"}},
    {"return { ['slots\\0x'] = 3 }", ": ", {"keys must be names"}},
    {"return { queue = { 'http://h/q' } }", ": queue: ", {"keys must be names", "number"}},
    {"return { [''] = 1 }", ": : ", {"no such key"}},
    {"return { queue = { [''] = 1 } }", ": queue.: ", {"no such key"}},
    {"return { handler = { [''] = tostring } }", ": handler. must be data", {"function"}},
    {"return { [true] = 1 }", ": ", {"boolean"}},

    /* where it stands: the section tells two keys of one name apart, comments do not count */
    {"-- max = 1\nreturn {\n dedupe = { max = 5 },\n workers = {\n  max = 'x' } }",
     ":5: workers.max must be ",
     {"the string \"x\""}},
    {"return {\n [\"slots\"] = 0 }", ":2: slots must be ", {"found 0"}},
    {"local t = {}\nfor _, k in ipairs { 'slots' } do t[k] = 0 end\nreturn t",
     ": slots must be ",
     {"found 0"}},

    /* types */
    {"return { workers = 5 }", ":1: workers must be a table", {"a number"}},
    {"return { workers = { max = '5' } }", ":1: workers.max must be a whole number", {"string"}},
    {"return { workers = { max = 1.5 } }", ":1: workers.max must be a whole number", {"1.5"}},
    {"return { workers = { max = 1e300 } }", ":1: workers.max must be a whole number", {"1e+300"}},
    {"return { workers = { max = 0/0 } }", ":1: workers.max must be a whole number", {"nan"}},
    {"return { workers = { max = { 5 } } }", ":1: workers.max must be ", {"found a table"}},
    {"return { slots = false }", ":1: slots must be ", {"found false"}},
    {"return { drain = '5' }", ":1: drain must be a number of seconds", {"the string \"5\""}},
    {"return { limits = { memory = 2.5e6 + .5 } }", ":1: limits.memory must be ", {"bytes"}},
    {"return { queue = { url = 5 } }", ":1: queue.url must be an http", {"found 5"}},
    {"return { queue = { url = 'http://h/q\\0x' } }", ":1: queue.url must be ", {"?x"}},
    {"return { queue = { region = '' } }", ":1: queue.region must be ", {"\"\""}},
    {"return { keycloak = { realm = 'a\\nb' } }", ":1: keycloak.realm must be ", {"control"}},
    {"return { keycloak = { realm = print } }", ":1: ", {"print"}},
    {"return { keycloak = { realm = tostring } }", ":1: keycloak.realm must", {"a function"}},
    {"return { log = { settled = 2 } }", ":1: log.settled must be ", {"found 2"}},
    {"return { log = { settled = 'some' } }", ":1: log.settled must be ", {"\"some\""}},
    {"return { pii = 'email' }", ":1: pii must be a list", {"the string \"email\""}},
    {"return { pii = { 'a', 5 } }", ":1: pii[2] must be a string", {""}},
    {"return { pii = { 'a,b' } }", ":1: pii[1] must be a string", {"commas"}},
    {"return { pii = { a = 'b' } }", ":1: pii must be a list", {"names"}},
    {"return { handler = 5 }", ":1: handler must be a table", {"found 5"}},
    {"return { keycloak = { client_secret = 'hush' } }",
     ":1: keycloak.client_secret: ",
     {"client_secret_file"}},
};

static void errors_name_file_line_and_key(void **state)
{
    const struct scene *s = *state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const struct file_case *x = &bad_files[i];
        struct conf c;
        struct err e;
        char start[256];
        if (scene_load(s, &c, x->config, NULL, NULL, NULL, &e) == 0)
            fail_msg("taken: %s", x->config);
        snprintf(start, sizeof start, "%s%s", s->file, x->after);
        if (strncmp(e.text, start, strlen(start)) != 0)
            fail_msg("%s\n  begins with \"%s\"\n  expected    \"%s\"", x->config, e.text, start);
        assert_says(e.text, x->words[0]);
        assert_says(e.text, x->words[1]);
        assert_null(strstr(e.text, "hush"));
        assert_int_equal(e.code, EXIT_CONFIG);
        conf_free(&c);
    }
}

/* Lua walks a table in another order each time. */
static void all_that_is_wrong_is_told_in_the_files_order(void **state)
{
    const struct scene *s = *state;
    static const char file[] = "return {\n"
                               "  slots = 0,\n"
                               "  queue = {\n"
                               "    url = 5,\n"
                               "    bogus = 1,\n"
                               "    wait = 21,\n"
                               "    'x',\n"
                               "  },\n"
                               "  drain = {},\n"
                               "}\n";
    static const char *const lines[] = {":2: slots must be",      ":4: queue.url must be",
                                        ":5: queue.bogus: there", ":6: queue.wait must be",
                                        ":9: drain must be",      ": queue: keys must be names"};
    for (int round = 0; round < 20; round++) {
        struct conf c;
        struct err e;
        assert_int_equal(scene_load(s, &c, file, NULL, NULL, NULL, &e), -1);
        assert_int_equal(e.code, EXIT_CONFIG);
        const char *line = e.text;
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
            assert_memory_equal(line, s->file, strlen(s->file));
            line += strlen(s->file);
            if (strncmp(line, lines[i], strlen(lines[i])) != 0)
                fail_msg("line %zu, not %s: %s", i, lines[i], e.text);
            line += strcspn(line, "\n");
            line += *line == '\n';
        }
        assert_int_equal(*line, '\0');
        assert_null(strstr(e.text, "did you mean"));
        conf_free(&c);
    }
}

static void many_faults_end_with_their_number(void **state)
{
    struct conf c;
    struct err e;
    char file[2000] = "return {\n";
    for (int i = 0; i < 30; i++)
        snprintf(file + strlen(file), sizeof file - strlen(file), "bad%02d = 1,\n", i);
    strcat(file, "}");
    assert_int_equal(scene_load(*state, &c, file, NULL, NULL, NULL, &e), -1);
    const char *last = strrchr(e.text, '\n');
    int more = 0;
    assert_non_null(last);
    assert_int_equal(sscanf(last, "\nand %d more", &more), 1);
    int told = 0;
    for (const char *p = e.text; (p = strstr(p, ": there is no such key")); p++)
        told++;
    assert_int_equal(told + more, 30);
    conf_free(&c);
}

static void what_a_file_may_use(void **state)
{
    struct conf c;
    struct err e;
    setenv("CONF_TEST_REALM", "customers", 1);
    assert_int_equal(
        scene_load(*state, &c,
                   "local n = 0\n"
                   "for i = 1, 4 do n = n + i end\n"
                   "REALM = os.getenv('CONF_TEST_REALM')\n"
                   "assert(os.getenv('CONF_TEST_ABSENT') == nil)\n"
                   "return { slots = math.max(n, 3), keycloak = { realm = REALM:upper() },\n"
                   "  pii = table.move and {} or { string.format('%s', 'a'),\n"
                   "    table.concat({ 'b', 'c' }) } }\n",
                   NULL, NULL, NULL, &e),
        0);
    assert_int_equal(c.slots, 10);
    assert_string_equal(c.keycloak.realm, "CUSTOMERS");
    assert_string_equal(c.pii, "a,bc");
    conf_free(&c);
    unsetenv("CONF_TEST_REALM");
}

/* With -c the file must be there; without it, none is fine. */
static void which_file(void **state)
{
    const struct scene *s = *state;
    struct conf c;
    struct err e = {0};
    char path[192];
    assert_int_equal(scene_load(s, &c, NULL, NULL, NULL, NULL, &e), 0);
    assert_null(c.file);
    conf_free(&c);

    snprintf(path, sizeof path, "%s/absent.lua", s->folder);
    struct conf_request r = {.handler_path = s->handler, .file = path};
    assert_int_equal(conf_load(&c, &r, &e), -1);
    assert_says(e.text, path);
    assert_says(e.text, "No such file");
    conf_free(&c);

    r.file = s->folder;
    assert_int_equal(conf_load(&c, &r, &e), -1);
    assert_says(e.text, "directory");
    conf_free(&c);

    r.file = "/dev/zero";
    assert_int_equal(conf_load(&c, &r, &e), -1);
    assert_says(e.text, "1 MiB");
    conf_free(&c);

    r.handler_path = "/nowhere/at/all/handler.lua";
    r.file = NULL;
    assert_int_equal(conf_load(&c, &r, &e), 0);
    conf_free(&c);
}

/* A file without a folder in its name: the handler of the current folder. */
static void beside_a_handler_without_a_folder(void **state)
{
    const struct scene *s = *state;
    char before[4096];
    struct conf c;
    struct err e;
    struct conf_request r = {.handler_path = "handler.lua"};
    scene_write(s, "return { slots = 9, http = { ca_file = 'ca.pem' } }", 51);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(s->folder), 0);
    int rc = conf_load(&c, &r, &e);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(c.slots, 9);
    assert_string_equal(c.file, CONF_FILE_NAME);
    assert_string_equal(c.http.ca_file, "ca.pem");
    conf_free(&c);
}

/* Finding the line of an error must not take for ever in a file made for it. */
static void long_lines_are_searched_in_time(void **state)
{
    const struct scene *s = *state;
    struct buf b;
    struct conf c;
    struct err e = {0};
    buf_init(&b);
    buf_str(&b, "return { slots=0, handler = { ");
    while (b.len < 900 * 1024)
        buf_str(&b, "slots=0,");
    buf_str(&b, "} }");
    scene_write(s, b.data, b.len);
    struct conf_request r = {.handler_path = s->handler};
    assert_int_equal(conf_load(&c, &r, &e), -1);
    assert_says(e.text, ": slots must be a whole number");
    conf_free(&c);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(all_that_is_wrong_is_told_in_the_files_order),
        cmocka_unit_test(many_faults_end_with_their_number),
        cmocka_unit_test(what_a_file_may_use),
        cmocka_unit_test(which_file),
        cmocka_unit_test(beside_a_handler_without_a_folder),
        cmocka_unit_test(long_lines_are_searched_in_time),
    };
    return cmocka_run_group_tests_name("conf/file", tests, scene_make, scene_remove);
}
