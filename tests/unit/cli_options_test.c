#include "cli/options.h"

#include "base/exit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* What the options of the test's command put their values into. */
static struct {
    bool all;
    const char *file;
    char seen[128];
} got;

static int note(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    char *seen = arg;
    if (strcmp(value, "bad") == 0)
        return err_set(e, EXIT_USAGE, "%s refused", option->name);
    strcat(seen, value);
    strcat(seen, ";");
    return 0;
}

static const struct cli_option options[] = {
    {.name = "all", .letter = 'a', .flag = &got.all, .help = "everything"},
    {.name = "config", .letter = 'c', .arg = "FILE", .value = &got.file, .help = "a file"},
    {.name = "header", .arg = "H", .each = note, .each_arg = got.seen, .help = "many of them"},
    {0},
};
static const struct cli_usage usage = {
    .command = "try",
    .operands = "NAME [OTHER]",
    .about = "Tries.",
    .example = "  host try it",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
};

enum { WORDS_MAX = 8 };

static int parse(const char *const *words, const char **operands, struct err *e)
{
    char *argv[WORDS_MAX + 2] = {(char *)"try"};
    int argc = 1;
    for (; argc <= WORDS_MAX && words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    memset(&got, 0, sizeof got);
    *e = (struct err){0};
    return cli_parse(&usage, argc, argv, operands, e);
}

static void what_is_taken(void **state)
{
    static const struct {
        const char *words[WORDS_MAX + 1];
        int count;
        const char *first, *second, *file, *seen;
        bool all;
    } cases[] = {
        {.words = {"x"}, .count = 1, .first = "x"},
        {.words = {"x", "y"}, .count = 2, .first = "x", .second = "y"},
        {.words = {"-"}, .count = 1, .first = "-"},
        {.words = {"--", "--all"}, .count = 1, .first = "--all"},
        {.words = {"--", "-h", "--"}, .count = 2, .first = "-h", .second = "--"},
        {.words = {"--all", "x"}, .count = 1, .first = "x", .all = true},
        {.words = {"x", "-a"}, .count = 1, .first = "x", .all = true},
        {.words = {"-c", "f", "x"}, .count = 1, .first = "x", .file = "f"},
        {.words = {"-cf", "x"}, .count = 1, .first = "x", .file = "f"},
        {.words = {"-c", "-1", "x"}, .count = 1, .first = "x", .file = "-1"},
        {.words = {"-c", "-", "x"}, .count = 1, .first = "x", .file = "-"},
        {.words = {"--config", "f", "x"}, .count = 1, .first = "x", .file = "f"},
        {.words = {"--config=f=g", "x"}, .count = 1, .first = "x", .file = "f=g"},
        {.words = {"--config=--all", "x"}, .count = 1, .first = "x", .file = "--all"},
        {.words = {"-c", "f", "-c", "g", "x"}, .count = 1, .first = "x", .file = "g"},
        {.words = {"--header", "1", "x", "--header=2"}, .count = 1, .first = "x", .seen = "1;2;"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *operands[2] = {NULL, NULL};
        struct err e;
        if (parse(cases[i].words, operands, &e) != cases[i].count)
            fail_msg("case %zu: %s", i, e.text);
        assert_string_equal(operands[0], cases[i].first);
        assert_int_equal(operands[1] != NULL, cases[i].second != NULL);
        if (cases[i].second)
            assert_string_equal(operands[1], cases[i].second);
        assert_int_equal(got.file != NULL, cases[i].file != NULL);
        if (cases[i].file)
            assert_string_equal(got.file, cases[i].file);
        assert_string_equal(got.seen, cases[i].seen ? cases[i].seen : "");
        assert_int_equal(got.all, cases[i].all);
    }
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *words[WORDS_MAX + 1];
        const char *text;
    } cases[] = {
        {{NULL}, "NAME [OTHER] is missing: host try NAME [OTHER]"},
        {{"x", "y", "z"}, "one argument too many: z"},
        {{"x", "--confgi=f"}, "unknown option --confgi; did you mean --config?"},
        {{"x", "--conf"}, "unknown option --conf; did you mean --config?"},
        {{"x", "--hlep"}, "unknown option --hlep; did you mean --help?"},
        {{"x", "--frobnicate"}, "unknown option --frobnicate"},
        {{"x", "-z"}, "unknown option -z"},
        {{"x", "--=1"}, "unknown option --"},
        {{"x", "--config"}, "--config needs a value: --config FILE"},
        {{"x", "-c"}, "--config needs a value: --config FILE"},
        {{"x", "--config", "--all"}, "--config needs a value: --config FILE"},
        {{"x", "--config="}, "the value of --config is empty"},
        {{"x", "--config", ""}, "the value of --config is empty"},
        {{"x", "--all=yes"}, "--all takes no value"},
        {{"x", "-ax"}, "--all takes no value"},
        {{"x", "--header", "bad"}, "header refused"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *operands[2];
        struct err e;
        assert_int_equal(parse(cases[i].words, operands, &e), CLI_BAD);
        assert_string_equal(e.text, cases[i].text);
        assert_int_equal(e.code, EXIT_USAGE);
    }
}

static void the_help(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    assert_non_null(out);
    cli_help(&usage, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "Usage: host try [OPTIONS] NAME [OTHER]\n\n"
                              "Tries.\n\n"
                              "Options:\n"
                              "  -a, --all                    everything\n"
                              "  -c, --config FILE            a file\n"
                              "      --header H               many of them\n"
                              "  -h, --help                   this text\n\n"
                              "Example:\n"
                              "  host try it\n");
    free(text);
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool is_int, is_seconds;
    } cases[] = {
        {"5", true, true},     {"0", true, true},
        {"10", true, true},    {"11", false, false},
        {"-1", false, false},  {"1.5", false, true},
        {"1e1", false, true},  {"", false, false},
        {" 1", false, false},  {"5x", false, false},
        {"0x5", false, false}, {"nan", false, false},
        {"inf", false, false}, {"99999999999999999999", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        long n;
        double s;
        assert_int_equal(cli_int("--count", cases[i].text, 0, 10, &n, &e), cases[i].is_int - 1);
        assert_true(cases[i].is_int || strstr(e.text, "--count must be a whole number"));
        assert_int_equal(cli_seconds("--patience", cases[i].text, 0, 10, &s, &e),
                         cases[i].is_seconds - 1);
        assert_true(cases[i].is_seconds || strstr(e.text, "--patience must be a number"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(the_help),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests_name("cli/options", tests, NULL, NULL);
}
