#include "net/listen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
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

/* ---- Unix sockets ---- */

static char folder[] = "/tmp/net_listen_XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a.sock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void only_this_user_may_connect(void **state)
{
    (void)state;
    struct err e;
    struct stat st;
    int fd = listen_unix(path, &e);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(listen_unix(path, &e), -1); /* somebody is there */
    assert_int_equal(e.code, EADDRINUSE);
    assert_non_null(strstr(e.text, path));
    assert_false(listen_is_stale(path));
    close(fd);
    assert_true(listen_is_stale(path));
    fd = listen_unix(path, &e); /* the one that was left is replaced */
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
}

static void a_file_that_is_no_socket_stays(void **state)
{
    (void)state;
    struct err e;
    close(creat(path, 0600));
    assert_false(listen_is_stale(path));
    assert_int_equal(listen_unix(path, &e), -1);
    assert_non_null(strstr(e.text, "is no socket"));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    assert_int_equal(listen_unix("/nowhere/at/all.sock", &e), -1);
    assert_int_equal(e.code, ENOENT);
}

static void a_path_may_be_too_long(void **state)
{
    (void)state;
    struct err e;
    char longer[200] = "/";
    memset(longer + 1, 'x', sizeof longer - 2);
    assert_int_equal(listen_unix(longer, &e), -1);
    assert_non_null(strstr(e.text, "too long"));
    assert_int_equal(listen_unix("", &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(only_this_user_may_connect),
        cmocka_unit_test(a_file_that_is_no_socket_stays),
        cmocka_unit_test(a_path_may_be_too_long),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
