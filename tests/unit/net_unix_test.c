/* Client and server over a Unix socket, beside TCP on the same loop. */
#include "base/clock.h"
#include "net/fetch.h"
#include "net/httpd.h"

#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/net_unix_XXXXXX";
static char path[64];
static struct ev_loop *loop;
static struct httpd *over_unix, *over_tcp;
static struct fetch *fetch;

static void answer(void *arg, struct httpd_request *r)
{
    httpd_reply(r, 200, NULL, arg, strlen(arg));
}

static void gone(void *arg, struct httpd_request *r)
{
    (void)arg;
    (void)r;
}

static struct httpd *serve(const char *unix_path, char *words)
{
    struct err e = {0};
    struct httpd_options o = {.listen = "127.0.0.1:0",
                              .unix_path = unix_path,
                              .max_body_bytes = 1000,
                              .max_connections = 8,
                              .idle_s = 10,
                              .exchange_s = 10};
    struct httpd_owner owner = {words, answer, gone};
    struct httpd *h = httpd_new(loop, &o, &owner, &e);
    assert_non_null(h);
    return h;
}

static int set_up(void **state)
{
    static char unix_words[] = "unix", tcp_words[] = "tcp";
    struct err e = {0};
    struct fetch_options o = {
        .connect_timeout_ms = 2000, .idle_connection_s = 20, .max_connections = 8};
    (void)state;
    if (!mkdtemp(folder) || fetch_global_init(&e) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/a.sock", folder);
    loop = ev_loop_new(EVFLAG_AUTO);
    over_unix = serve(path, unix_words);
    over_tcp = serve(NULL, tcp_words);
    fetch = fetch_new(loop, &o, &e);
    return fetch ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    fetch_free(fetch);
    httpd_free(over_unix);
    httpd_free(over_tcp);
    ev_loop_destroy(loop);
    unlink(path);
    return rmdir(folder);
}

static bool done;
static enum fetch_result result;
static char body[32];

static void on_done(void *arg, const struct fetch_response *r)
{
    (void)arg;
    done = true;
    result = r->result;
    snprintf(body, sizeof body, "%s", r->body);
}

static void get(const char *unix_path)
{
    char url[64];
    struct err e = {0};
    snprintf(url, sizeof url, "http://%s/", httpd_name(over_tcp));
    struct fetch_request q = {
        .method = "GET", .url = url, .unix_path = unix_path, .timeout_ms = 5000, .done = on_done};
    done = false;
    assert_non_null(fetch_start(fetch, &q, &e));
    while (!done) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
        httpd_turn(over_unix);
        httpd_turn(over_tcp);
    }
}

/* The handle of one call is used for the next: it must not go on to the same server. */
static void each_call_reaches_its_own_server(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        get(path);
        assert_string_equal(body, "unix");
        get(NULL);
        assert_string_equal(body, "tcp");
    }
    assert_string_equal(httpd_name(over_unix), path);
}

static void nobody_at_the_socket(void **state)
{
    (void)state;
    get("/tmp/nobody/is/here.sock");
    assert_int_equal(result, FETCH_NO_CONNECTION);
    get(path);
    assert_string_equal(body, "unix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_reaches_its_own_server),
        cmocka_unit_test(nobody_at_the_socket),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
