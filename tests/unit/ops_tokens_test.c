/* Tokens: one request at a time, renewed before they expire, dropped by number. */
#include "ops/tokens.h"

#include "base/clock.h"
#include "base/log.h"

#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "capture_server.h"

enum { ANSWERS_MAX = 16 };

static struct ev_loop *loop;
static struct fetch *client;
static struct server server;
static struct tokens *tokens;
static const char *script; /* "200 {…}" for all requests */
static atomic_int served;
static char secret_path[] = "/tmp/luahost-secret-XXXXXX";
static struct token_request *answers[ANSWERS_MAX];
static int answer_count;
static int downs, ups;
static char why[1024];

/* Every token of this server is another one. */
static void player(struct connection *c)
{
    while (server_read(c)) {
        char head[200], body[400];
        int number = atomic_fetch_add(&served, 1) + 1;
        snprintf(body, sizeof body, "%s", strchr(script, ' ') + 1);
        char *at = strchr(body, '#');
        if (at)
            *at = (char)('0' + number % 10);
        snprintf(head, sizeof head, "HTTP/1.1 %.3s X\r\nContent-Length: %zu\r\n\r\n", script,
                 strlen(body));
        server_say(c, head);
        server_say(c, body);
    }
}

static void on_answer(void *arg, struct token_request *req)
{
    (void)arg;
    answers[answer_count++] = req;
}

static void on_down(void *arg, const char *target, const char *text)
{
    (void)arg;
    (void)target;
    downs++;
    snprintf(why, sizeof why, "%s", text);
}

static void on_up(void *arg, const char *target)
{
    (void)arg;
    (void)target;
    ups++;
}

static void write_secret(const char *text)
{
    FILE *f = fopen(secret_path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int begin(void **state)
{
    (void)state;
    static const struct fetch_options fetch = {.connect_timeout_ms = 1000, .max_connections = 4};
    struct err e = {0};
    answer_count = downs = ups = 0;
    atomic_store(&served, 0);
    int fd = mkstemp(strcpy(secret_path, "/tmp/luahost-secret-XXXXXX"));
    if (fd < 0)
        return -1;
    close(fd);
    write_secret("first secret\n");
    server_start(&server, player, NULL);
    loop = ev_loop_new(EVFLAG_AUTO);
    client = fetch_new(loop, &fetch, &e);
    struct tokens_options o = {.keycloak_url = server.url,
                               .client_id = "cli&ent",
                               .client_secret_file = secret_path,
                               .timeout_ms = 1000};
    struct tokens_events events = {NULL, on_answer, on_down, on_up};
    tokens = tokens_new(loop, client, &o, &events, &e);
    return tokens ? 0 : -1;
}

static void drop_answers(void)
{
    for (int i = 0; i < answer_count; i++) {
        token_unref(answers[i]->token);
        free(answers[i]);
    }
    answer_count = 0;
}

static int end(void **state)
{
    (void)state;
    tokens_free(tokens);
    drop_answers();
    fetch_free(client);
    ev_loop_destroy(loop);
    server_stop(&server);
    unlink(secret_path);
    return 0;
}

static void ask(const char *realm, uint64_t stale)
{
    struct token_request *req = calloc(1, sizeof *req);
    assert_non_null(req);
    list_init(&req->node);
    snprintf(req->realm, sizeof req->realm, "%s", realm);
    req->stale = stale;
    tokens_request(tokens, req);
}

static void turn_until(const int *count, int wanted)
{
    int64_t stop_ms = clock_boot_ms() + 5000;
    while (*count < wanted && clock_boot_ms() < stop_ms) {
        ev_run(loop, EVRUN_NOWAIT);
        fetch_turn(client);
    }
    assert_int_equal(*count, wanted);
}

#define GOOD "200 {\"access_token\":\"token-#\",\"expires_in\":300}"

static void many_ask_one_request(void **state)
{
    (void)state;
    script = GOOD;
    for (int i = 0; i < 10; i++)
        ask("shop", 0);
    turn_until(&answer_count, 10);
    for (int i = 0; i < 10; i++)
        assert_string_equal(answers[i]->token->text, "token-1");
    assert_int_equal(served, 1);
    char *body = server_last_body(&server);
    assert_string_equal(body, "grant_type=client_credentials&client_id=cli%26ent"
                              "&client_secret=first%20secret");
    free(body);
    ask("other", 0); /* another realm has its own */
    turn_until(&answer_count, 11);
    assert_int_equal(served, 2);
}

static void a_refused_token_is_dropped_once(void **state)
{
    (void)state;
    script = GOOD;
    ask("shop", 0);
    turn_until(&answer_count, 1);
    uint64_t first = answers[0]->token->number;
    ask("shop", first);
    turn_until(&answer_count, 2);
    assert_string_equal(answers[1]->token->text, "token-2");
    ask("shop", first); /* a worker that is late: the newer one is good */
    turn_until(&answer_count, 3);
    assert_string_equal(answers[2]->token->text, "token-2");
    assert_int_equal(served, 2);
}

static void renewed_before_it_expires(void **state)
{
    (void)state;
    script = "200 {\"access_token\":\"token-#\",\"expires_in\":2}";
    int64_t start_ms = clock_boot_ms();
    ask("shop", 0);
    turn_until(&answer_count, 1);
    int64_t refresh_ms = answers[0]->token->refresh_ms;
    assert_in_range(refresh_ms - start_ms, 900, 1900); /* well before the two seconds */
    ask("shop", 0);
    turn_until(&answer_count, 2);
    assert_int_equal(served, 1);
    while (clock_boot_ms() < refresh_ms)
        usleep(10000);
    ask("shop", 0);
    turn_until(&answer_count, 3);
    assert_string_equal(answers[2]->token->text, "token-2");
}

static void a_rotated_secret_is_read_again(void **state)
{
    (void)state;
    script = "401 {\"error\":\"unauthorized_client\",\"error_description\":\"Invalid client\"}";
    ask("shop", 0);
    turn_until(&answer_count, 1);
    assert_null(answers[0]->token);
    assert_true(answers[0]->target_failed);
    assert_non_null(strstr(answers[0]->error.text, "unauthorized_client"));
    assert_non_null(strstr(answers[0]->error.text, "client_secret_file"));
    assert_null(strstr(answers[0]->error.text, "first secret"));
    write_secret("second");
    script = GOOD;
    ask("shop", 0);
    turn_until(&answer_count, 2);
    assert_non_null(answers[1]->token);
    char *body = server_last_body(&server);
    assert_non_null(strstr(body, "client_secret=second"));
    free(body);
}

static void every_failure_has_words(void **state)
{
    (void)state;
    static const struct {
        const char *script, *words;
    } cases[] = {
        {"404 {\"error\":\"Realm does not exist\"}", "keycloak.auth_realm"},
        {"503 nothing here", "in trouble"},
        {"200 {\"token_type\":\"Bearer\"}", "answered 200"},
        {"200 no json", "answered 200"},
        {"200 {\"access_token\":7}", "answered 200"},
    };
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        script = cases[i].script;
        ask("shop", 0);
        turn_until(&answer_count, i + 1);
        assert_null(answers[i]->token);
        if (!strstr(answers[i]->error.text, cases[i].words))
            fail_msg("\"%s\" lacks \"%s\"", answers[i]->error.text, cases[i].words);
    }
    unlink(secret_path);
    ask("shop", 0); /* answered at once: there is nothing to send */
    assert_int_equal(answer_count, 6);
    assert_non_null(strstr(answers[5]->error.text, secret_path));
}

static void the_first_token_is_watched(void **state)
{
    (void)state;
    script = "500 {}";
    tokens_warm(tokens, "shop");
    turn_until(&downs, 1);
    assert_non_null(strstr(why, "answered 500"));
    assert_int_equal(ups, 0);
    script = GOOD;
    turn_until(&ups, 1); /* by itself, two seconds later */
    ask("shop", 0);
    turn_until(&answer_count, 1);
    assert_int_equal(served, 2);
}

static void stopping_answers_who_waits(void **state)
{
    script = GOOD;
    ask("shop", 0);
    tokens_free(tokens);
    tokens = NULL;
    assert_int_equal(answer_count, 1);
    assert_null(answers[0]->token);
    assert_true(*answers[0]->error.text != '\0');
    (void)state;
}

int main(void)
{
    struct err e;
    log_setup(LOG_TEXT, LOG_ERROR);
    if (fetch_global_init(&e) != 0)
        return 1;
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(many_ask_one_request),       TEST(a_refused_token_is_dropped_once),
        TEST(renewed_before_it_expires),  TEST(a_rotated_secret_is_read_again),
        TEST(every_failure_has_words),    TEST(the_first_token_is_watched),
        TEST(stopping_answers_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
