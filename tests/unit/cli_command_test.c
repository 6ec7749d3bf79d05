/* The frame around commands, and the command line of run. Output goes to a file meanwhile. */
#include "cli/command.h"
#include "cli/run_options.h"

#include "base/exit.h"
#include "base/version.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char said[64 * 1024]; /* what the last captured call wrote */
static int ran_argc;
static char ran_with[128];

static int run_noted(int argc, char **argv)
{
    ran_argc = argc;
    snprintf(ran_with, sizeof ran_with, "%s", argv[argc - 1]);
    return EXIT_DRAIN;
}

static int run_parsed(int argc, char **argv)
{
    struct run_options o;
    struct err e = {0};
    int n = run_options_parse(argc, argv, &o, &e);
    return n < 0 ? run_options_end(&e) : n ? EXIT_DONE : EXIT_FAILED;
}

static const struct command commands[] = {
    {"run", "run it", true, run_parsed},
    {"note", "note it", true, run_noted},
    {"seldom", "seldom used", false, run_noted},
    {"version", "versions", true, cmd_version},
    {0},
};

/* Runs `call` with descriptor `fd` going to `path` (NULL: a file that is read into `said`). */
static int captured(int fd, const char *path, char **argv)
{
    FILE *file = path ? fopen(path, "w") : tmpfile();
    int argc = 0, kept = dup(fd);
    assert_non_null(file);
    while (argv[argc])
        argc++;
    fflush(stdout);
    dup2(fileno(file), fd);
    int code = command_main(commands, argc, argv);
    fflush(stdout);
    clearerr(stdout);
    dup2(kept, fd);
    close(kept);
    said[0] = 0;
    if (!path) {
        rewind(file);
        said[fread(said, 1, sizeof said - 1, file)] = 0;
    }
    fclose(file);
    return code;
}

#define WORDS(...) ((char *[]){(char *)"host", __VA_ARGS__, NULL})
#define W(text) (char *)(text)

static void to_stdout_with_exit_0(void **state)
{
    (void)state;
    char *bare[] = {W("host"), NULL};
    assert_int_equal(captured(STDOUT_FILENO, NULL, bare), EXIT_DONE);
    assert_non_null(strstr(said, "host run"));
    assert_null(strstr(said, "seldom"));
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("--help"))), EXIT_DONE);
    assert_non_null(strstr(said, "Usage"));
    assert_non_null(strstr(said, "Example"));
    assert_non_null(strstr(said, "seldom"));
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("help"))), EXIT_DONE);
    assert_non_null(strstr(said, "seldom"));
}

static void to_stderr_with_exit_2(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        const char *expected[2];
    } cases[] = {
        {{"rnu"}, {"unknown command rnu", "did you mean run?"}},
        {{"--verison"}, {"unknown option --verison", "host --help"}},
        {{"help", "nte"}, {"unknown command nte", "did you mean note?"}},
        {{"run"}, {"host run: HANDLER is missing", "host run --help"}},
        {{"run", "h.lua", "--until-emtpy"}, {"--until-emtpy", "did you mean --until-empty?"}},
        {{"run", "h.lua", "--queue-url"}, {"--queue-url needs a value", "URL"}},
        {{"run", "h.lua", "--patience=3"}, {"--patience", "--until-empty"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *w = cases[i].words;
        char *argv[] = {W("host"), W(w[0]), W(w[1]), W(w[2]), NULL};
        assert_int_equal(captured(STDERR_FILENO, NULL, argv), EXIT_USAGE);
        for (int j = 0; j < 2; j++)
            if (!strstr(said, cases[i].expected[j]))
                fail_msg("\"%s\" lacks \"%s\"", said, cases[i].expected[j]);
    }
}

static void a_command_gets_its_words_and_gives_its_code(void **state)
{
    (void)state;
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("note"), W("a"), W("b"))), EXIT_DRAIN);
    assert_int_equal(ran_argc, 3);
    assert_string_equal(ran_with, "b");
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("help"), W("seldom"))), EXIT_DRAIN);
    assert_string_equal(ran_with, "--help");
}

static void output_that_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(captured(STDOUT_FILENO, "/dev/full", WORDS(W("--help"))), EXIT_FAILED);
}

static void versions(void **state)
{
    (void)state;
    static const char *const libraries[] = {"lua",   "curl",   "openssl",
                                            "libev", "json-c", "microhttpd"};
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("--version"))), EXIT_DONE);
    assert_non_null(strstr(said, "host " HOST_VERSION "\n"));
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("version"), W("--json"))), EXIT_DONE);
    struct json_object *all = json_tokener_parse(said), *one;
    assert_true(json_object_object_get_ex(all, "host", &one));
    assert_string_equal(json_object_get_string(one), HOST_VERSION);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        assert_true(json_object_object_get_ex(all, libraries[i], &one));
        assert_true(strpbrk(json_object_get_string(one), "0123456789"));
    }
    json_object_put(all);
}

static void the_help_of_run(void **state)
{
    (void)state;
    assert_int_equal(captured(STDOUT_FILENO, NULL, WORDS(W("run"), W("--help"))), EXIT_DONE);
    static const char *const words[] = {"Usage",
                                        "Example",
                                        "--queue-url URL",
                                        "--workers N|MIN:MAX",
                                        "-c, --config FILE",
                                        "queue.visibility",
                                        "LUAHOST_"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(said, words[i]))
            fail_msg("the help lacks %s", words[i]);
    for (const char *line = said; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
}

static void the_options_of_run(void **state)
{
    (void)state;
    struct run_options o;
    struct err e = {0};
    char *argv[] = {W("run"),
                    W("-c"),
                    W("f.lua"),
                    W("--slots=3"),
                    W("dir/h.lua"),
                    W("--slots"),
                    W("5"),
                    W("--until-empty"),
                    W("--patience"),
                    W("0.5"),
                    W("--print-config"),
                    NULL};
    assert_int_equal(run_options_parse(11, argv, &o, &e), 0);
    assert_string_equal(o.handler, "dir/h.lua");
    assert_string_equal(o.conf.handler_path, "dir/h.lua");
    assert_string_equal(o.conf.file, "f.lua");
    assert_int_equal(o.conf.flag_count, 1);
    assert_string_equal(o.conf.flags[0].flag, "--slots");
    assert_string_equal(o.conf.flags[0].value, "5");
    assert_ptr_equal(o.conf.environ, environ);
    assert_true(o.until_empty && o.print_config && o.patience_s == 0.5);
    assert_int_equal(run_options_parse(2, (char *[]){W("run"), W("h.lua"), NULL}, &o, &e), 0);
    assert_true(!o.until_empty && !o.print_config && o.patience_s == 60 && !o.conf.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_stdout_with_exit_0),
        cmocka_unit_test(to_stderr_with_exit_2),
        cmocka_unit_test(a_command_gets_its_words_and_gives_its_code),
        cmocka_unit_test(output_that_cannot_be_written),
        cmocka_unit_test(versions),
        cmocka_unit_test(the_help_of_run),
        cmocka_unit_test(the_options_of_run),
    };
    return cmocka_run_group_tests_name("cli/command", tests, NULL, NULL);
}
