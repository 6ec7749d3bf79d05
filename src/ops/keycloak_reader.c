#include "ops/keycloak_reader.h"

#include "base/clock.h"
#include "base/exit.h"
#include "conf/conf.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "ops/tokens.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 8 << 20 };

struct keycloak_reader {
    const struct conf *conf;
    struct ev_loop *loop;
    struct fetch *fetch;
    struct tokens *tokens;
    struct token *token;
    bool ended; /* what is waited for */
    int status;
    struct buf text;
};

static void on_token(void *arg, struct token_request *q)
{
    struct keycloak_reader *r = arg;
    r->token = q->token;
    if (!q->token)
        buf_str(&r->text, q->error.text);
    r->ended = true;
    free(q);
}

static void on_token_down(void *arg, const char *target, const char *why)
{
    (void)arg, (void)target, (void)why; /* on_token tells */
}

static void on_token_up(void *arg, const char *target)
{
    (void)arg, (void)target;
}

static void on_answer(void *arg, const struct fetch_response *a)
{
    struct keycloak_reader *r = arg;
    r->status = a->result == FETCH_OK ? a->status : -1;
    if (a->result == FETCH_OK)
        buf_add(&r->text, a->body, a->body_len);
    else
        buf_str(&r->text, a->error);
    r->ended = true;
}

static void wait_for_end(struct keycloak_reader *r)
{
    while (!r->ended) {
        ev_run(r->loop, EVRUN_ONCE);
        fetch_turn(r->fetch);
    }
    r->ended = false;
}

static int get_token(struct keycloak_reader *r)
{
    const struct conf *c = r->conf;
    const char *realm = c->keycloak.auth_realm ? c->keycloak.auth_realm : c->keycloak.realm;
    if (r->token && clock_boot_ms() < r->token->refresh_ms)
        return 0;
    token_unref(r->token);
    r->token = NULL;
    struct token_request *q = calloc(1, sizeof *q);
    if (!q) {
        buf_str(&r->text, "no memory for a token");
        return -1;
    }
    list_init(&q->node);
    strncpy(q->realm, realm, sizeof q->realm - 1);
    tokens_request(r->tokens, q);
    wait_for_end(r);
    return r->token ? 0 : -1;
}

static int get(struct keycloak_reader *r, const char *url)
{
    struct err e = {0};
    struct buf bearer;
    buf_init(&bearer);
    buf_printf(&bearer, "Authorization: Bearer %s", r->token->text);
    const char *const headers[] = {bearer.data, "Accept: application/json", NULL};
    const struct fetch_request request = {.method = "GET",
                                          .url = url,
                                          .headers = headers,
                                          .timeout_ms = (int)(r->conf->http.timeout * 1000),
                                          .max_body_bytes = ANSWER_MAX_BYTES,
                                          .repeatable = true,
                                          .done = on_answer,
                                          .arg = r};
    bool started = !bearer.failed && fetch_start(r->fetch, &request, &e);
    buf_free(&bearer);
    if (started)
        wait_for_end(r);
    else
        buf_str(&r->text, *e.text ? e.text : "no memory for a request");
    return started ? r->status : -1;
}

int keycloak_read(struct keycloak_reader *r, const char *url, const char **text, size_t *len)
{
    buf_clear(&r->text);
    int status = get_token(r) == 0 ? get(r, url) : -1;
    if (r->text.failed)
        status = -1;
    *text = r->text.failed ? "no memory for the answer" : r->text.data;
    *len = strlen(*text);
    return status;
}

const char *keycloak_reader_token(const struct keycloak_reader *r)
{
    return r->token ? r->token->text : NULL;
}

struct keycloak_reader *keycloak_reader_new(const struct conf *conf, struct err *e)
{
    struct keycloak_reader *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, EXIT_FAILED, "no memory to read from Keycloak");
        return NULL;
    }
    const struct fetch_options fetch = handler_fetch_options(conf);
    const struct tokens_options tokens = handler_tokens_options(conf);
    const struct tokens_events events = {r, on_token, on_token_down, on_token_up};
    buf_init(&r->text);
    r->conf = conf;
    r->loop = ev_loop_new(EVFLAG_AUTO);
    r->fetch = r->loop ? fetch_new(r->loop, &fetch, e) : NULL;
    r->tokens = r->fetch ? tokens_new(r->loop, r->fetch, &tokens, &events, e) : NULL;
    if (r->tokens)
        return r;
    if (!r->loop)
        err_set(e, EXIT_FAILED, "no memory to read from Keycloak");
    keycloak_reader_free(r);
    return NULL;
}

void keycloak_reader_free(struct keycloak_reader *r)
{
    if (!r)
        return;
    token_unref(r->token);
    tokens_free(r->tokens);
    fetch_free(r->fetch);
    if (r->loop)
        ev_loop_destroy(r->loop);
    buf_free(&r->text);
    free(r);
}
