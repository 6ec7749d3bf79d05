#include "aws/creds.h"

#include "base/exit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void from_the_environment(void **state)
{
    (void)state;
    static const struct {
        const char *id, *secret, *token, *old_token;
        const char *words;     /* of the refusal; NULL: taken */
        const char *the_token; /* that counts */
    } cases[] = {
        {"AKID", "geheim", NULL, NULL, NULL, NULL},
        {"AKID", "geheim", "t1", NULL, NULL, "t1"},
        {"AKID", "geheim", NULL, "t2", NULL, "t2"},
        {"AKID", "geheim", "t1", "t2", NULL, "t1"},
        {"AKID", "geheim", "", NULL, NULL, NULL},
        {NULL, NULL, NULL, NULL, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", NULL},
        {"", "", NULL, NULL, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", NULL},
        {"AKID", NULL, NULL, NULL, "AWS_SECRET_ACCESS_KEY is not", NULL},
        {"AKID", "", NULL, NULL, "AWS_SECRET_ACCESS_KEY is not", NULL},
        {NULL, "geheim", NULL, NULL, "AWS_ACCESS_KEY_ID is not", NULL},
        {"AKID", "geheim\n", NULL, NULL, "AWS_SECRET_ACCESS_KEY has", NULL},
        {"AK ID", "geheim", NULL, NULL, "AWS_ACCESS_KEY_ID has", NULL},
        {"AKID", "geheim", "t\r\nX: y", NULL, "AWS_SESSION_TOKEN has", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        set("AWS_ACCESS_KEY_ID", cases[i].id);
        set("AWS_SECRET_ACCESS_KEY", cases[i].secret);
        set("AWS_SESSION_TOKEN", cases[i].token);
        set("AWS_SECURITY_TOKEN", cases[i].old_token);
        struct creds *c = creds_new(&e);
        if (cases[i].words) {
            assert_null(c);
            assert_int_equal(e.code, EXIT_CONFIG);
            if (!strstr(e.text, cases[i].words))
                fail_msg("case %zu: %s", i, e.text);
            assert_null(strstr(e.text, "geheim"));
            continue;
        }
        set("AWS_SECRET_ACCESS_KEY", NULL); /* they are copies */
        const struct credentials *k = creds_get(c);
        assert_string_equal(k->id, "AKID");
        assert_string_equal(k->secret, "geheim");
        if (cases[i].the_token)
            assert_string_equal(k->token, cases[i].the_token);
        else
            assert_null(k->token);
        assert_non_null(strstr(k->source, "environment"));
        creds_free(c);
    }
    creds_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
