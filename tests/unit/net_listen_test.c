#include "net/listen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        int code;
        const char *words;
    } cases[] = {
        {"0.0.0.0:0", EACCES, "other machines"},
        {"[::]:0", EACCES, "other machines"},
        {"9324", EINVAL, "HOST:PORT"},
        {"127.0.0.1:", EINVAL, "is no port"},
        {"127.0.0.1:70000", EINVAL, "is no port"},
        {"127.0.0.1:http", EINVAL, "is no port"},
        {"::1:80", EINVAL, "HOST:PORT"},
    };
    char name[LISTEN_NAME_MAX];
    struct err e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(listen_tcp(cases[i].address, false, name, &e), -1);
        assert_int_equal(e.code, cases[i].code);
        assert_non_null(strstr(e.text, cases[i].words));
    }
    int fd = listen_tcp("localhost:0", false, name, &e);
    assert_true(fd >= 0);
    assert_int_equal(listen_tcp(name, false, name, &e), -1);
    assert_int_equal(e.code, EADDRINUSE);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_why_it_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
