/* Where admin sockets are put and found. */
#include "net/listen.h"
#include "ops/admin_socket.h"
#include "ops/process_stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char runtime[] = "/tmp/ops_socket_XXXXXX";

static int make_runtime(void **state)
{
    (void)state;
    return mkdtemp(runtime) && setenv("XDG_RUNTIME_DIR", runtime, 1) == 0 ? 0 : -1;
}

static int remove_runtime(void **state)
{
    char folder[64];
    (void)state;
    snprintf(folder, sizeof folder, "%s/luahost", runtime);
    rmdir(folder);
    return rmdir(runtime);
}

static char seen[4][ADMIN_PATH_BYTES];
static int seen_count;

static void see(void *arg, const char *path)
{
    (void)arg;
    if (strncmp(path, runtime, strlen(runtime)) != 0)
        return; /* of a host that runs on this machine */
    assert_true(seen_count < 4);
    snprintf(seen[seen_count++], ADMIN_PATH_BYTES, "%s", path);
}

static int look(void)
{
    seen_count = 0;
    int count = admin_socket_each_live(see, NULL);
    assert_true(count == seen_count || seen_count == 0);
    return seen_count;
}

static void named_by_queue_and_process(void **state)
{
    (void)state;
    char path[ADMIN_PATH_BYTES], expected[ADMIN_PATH_BYTES];
    struct err e = {0};
    struct stat st;
    assert_int_equal(admin_socket_place("registrations", path, &e), 0);
    snprintf(expected, sizeof expected, "%s/luahost/registrations-%d.sock", runtime, (int)getpid());
    assert_string_equal(path, expected);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void live_ones_are_found_and_stale_ones_removed(void **state)
{
    (void)state;
    char first[ADMIN_PATH_BYTES], second[ADMIN_PATH_BYTES];
    struct err e = {0};
    assert_int_equal(admin_socket_place("a", first, &e), 0);
    assert_int_equal(look(), 0);
    int fd = listen_unix(first, &e);
    assert_true(fd >= 0);
    assert_int_equal(look(), 1);
    assert_string_equal(seen[0], first);
    assert_int_equal(admin_socket_place("b", second, &e), 0);
    int other = listen_unix(second, &e);
    assert_int_equal(look(), 2);
    close(fd); /* as a host that was killed */
    assert_int_equal(look(), 1);
    assert_string_equal(seen[0], second);
    assert_int_equal(access(first, F_OK), 0);
    assert_int_equal(admin_socket_place("b", second, &e), 0);
    assert_int_equal(access(first, F_OK), -1);
    assert_int_equal(access(second, F_OK), 0);
    close(other);
    unlink(second);
}

static void long_queue_names_fit(void **state)
{
    (void)state;
    char path[ADMIN_PATH_BYTES], name[81];
    struct err e = {0};
    memset(name, 'q', 80);
    name[80] = '\0';
    assert_int_equal(admin_socket_place(name, path, &e), 0);
    int fd = listen_unix(path, &e);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
}

static void a_runtime_folder_that_cannot_be(void **state)
{
    (void)state;
    char path[ADMIN_PATH_BYTES], longer[120] = "/";
    struct err e = {0};
    memset(longer + 1, 'x', sizeof longer - 2);
    setenv("XDG_RUNTIME_DIR", longer, 1);
    assert_int_equal(admin_socket_place("a", path, &e), -1);
    assert_non_null(strstr(e.text, "admin.socket"));
    setenv("XDG_RUNTIME_DIR", "/nowhere/at/all", 1);
    assert_int_equal(admin_socket_place("a", path, &e), -1);
    assert_non_null(strstr(e.text, "/nowhere/at/all/luahost"));
    setenv("XDG_RUNTIME_DIR", runtime, 1);
}

static void the_kernel_tells_of_this_process(void **state)
{
    (void)state;
    struct process_stats s, later;
    process_stats_read(&s);
    assert_true(s.start_seconds <= (double)time(NULL) + 2 &&
                s.start_seconds > (double)time(NULL) - 3600);
    assert_true(s.resident_bytes > 100000 && s.resident_bytes < s.virtual_bytes);
    assert_true(s.open_fds >= 3 && s.open_fds < s.max_fds);
    int fd = dup(0);
    for (clock_t end = clock() + CLOCKS_PER_SEC / 20; clock() < end;)
        ;
    process_stats_read(&later);
    assert_true(later.open_fds == s.open_fds + 1);
    assert_true(later.cpu_seconds > s.cpu_seconds && later.cpu_seconds < s.cpu_seconds + 60);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_by_queue_and_process),
        cmocka_unit_test(live_ones_are_found_and_stale_ones_removed),
        cmocka_unit_test(long_queue_names_fit),
        cmocka_unit_test(a_runtime_folder_that_cannot_be),
        cmocka_unit_test(the_kernel_tells_of_this_process),
    };
    return cmocka_run_group_tests(tests, make_runtime, remove_runtime);
}
