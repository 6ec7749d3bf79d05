#include "ops/rehearsal.h"

#include "base/exit.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "ops/tokens.h"
#include "token.h"
#include "vm/cache.h"
#include "vm/embed.h"
#include "vm/vm.h"

#include <ev.h>
#include <stdlib.h>

const char rehearsal_token[] = "rehearsal";
const char rehearsal_keycloak_url[] = "http://keycloak.test";
const char rehearsal_keycloak_realm[] = "test";

enum {
    CACHE_BYTES = 64 << 20,
    TESTS_TIME_S = 600,
    TESTS_CPU_S = 5,
    TESTS_MEMORY_BYTES = 512 << 20
};

struct rehearsal {
    struct ev_loop *loop;
    struct fetch *fetch;
    struct cache *cache;
    struct vm *vm;
    struct tokens *tokens; /* of a live one */
    bool live;
    bool awake; /* a token came at once: there may be no event to wait for */
    void (*waited)(void *arg, const struct vm_wait *wait);
    void *waited_arg;
    struct list asked; /* token requests */
    struct job *home;  /* its verdict has come */
    uint64_t made_up;  /* tokens */
    unsigned unwrap;
};

static void on_verdict(void *arg, struct job *job)
{
    ((struct rehearsal *)arg)->home = job;
}

static void on_ask_token(void *arg, struct token_request *q)
{
    list_append(&((struct rehearsal *)arg)->asked, &q->node);
}

static void on_token(void *arg, struct token_request *q)
{
    struct rehearsal *r = arg;
    r->awake = true;
    vm_token_answer(r->vm, q);
}

static void on_token_down(void *arg, const char *target, const char *why)
{
    (void)arg, (void)target, (void)why; /* the error that the handler gets says it */
}

static void on_token_up(void *arg, const char *target)
{
    (void)arg, (void)target;
}

/* After the vm's turn: an answer must not come from inside the question. */
static void answer_tokens(struct rehearsal *r)
{
    struct list *node;
    while ((node = list_pop(&r->asked))) {
        struct token_request *q = list_entry(node, struct token_request, node);
        if (r->live) {
            tokens_request(r->tokens, q);
            continue;
        }
        q->token = token_new(rehearsal_token, ++r->made_up, INT64_MAX);
        if (!q->token)
            err_set(&q->error, 0, "no memory for a token");
        vm_token_answer(r->vm, q);
    }
}

static void turn(struct rehearsal *r)
{
    vm_turn(r->vm);
    r->awake = false;
    answer_tokens(r);
    if (r->home)
        return;
    ev_run(r->loop, r->live && !r->awake ? EVRUN_ONCE : EVRUN_NOWAIT);
    fetch_turn(r->fetch);
}

static void on_waited(void *arg, const struct vm_wait *wait)
{
    struct rehearsal *r = arg;
    r->waited(r->waited_arg, wait);
}

static int load(struct rehearsal *r, struct err *e)
{
    enum vm_init state = VM_INIT_FAILED;
    if (vm_load(r->vm, e) == 0) {
        vm_begin_init(r->vm);
        while ((state = vm_init_state(r->vm, e)) == VM_INIT_RUNNING)
            turn(r);
    }
    if (state == VM_INIT_READY)
        return 0;
    e->code = EXIT_CONFIG;
    return -1;
}

static struct vm_options vm_options_for(const struct rehearsal_options *o)
{
    struct vm_options v = handler_vm_options(o->conf, o->handler_path);
    v.slots = 1;
    v.sleeps_at_once = o->play || o->stage;
    v.stage = o->stage;
    if (o->embedded)
        v.source = embed_find(o->handler_path, &v.source_len);
    if (!v.keycloak_url && v.sleeps_at_once)
        v.keycloak_url = rehearsal_keycloak_url;
    if (!v.keycloak_realm && v.sleeps_at_once)
        v.keycloak_realm = rehearsal_keycloak_realm;
    if (o->stage) { /* limits are for handlers; a runaway test ends too, some time */
        v.limit_time_s = TESTS_TIME_S;
        v.limit_cpu_s = TESTS_CPU_S;
        v.limit_memory_bytes = TESTS_MEMORY_BYTES;
    }
    return v;
}

static int open_tokens(struct rehearsal *r, const struct conf *c, struct err *e)
{
    const struct tokens_options o = handler_tokens_options(c);
    struct tokens_events events = {r, on_token, on_token_down, on_token_up};
    r->tokens = tokens_new(r->loop, r->fetch, &o, &events, e);
    return r->tokens ? 0 : -1;
}

struct rehearsal *rehearsal_new(const struct rehearsal_options *o, struct err *e)
{
    struct rehearsal *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, EXIT_FAILED, "no memory for a handler");
        return NULL;
    }
    struct fetch_options fetch = handler_fetch_options(o->conf);
    fetch.play = o->play;
    fetch.play_arg = o->play_arg;
    struct vm_options options = vm_options_for(o);
    list_init(&r->asked);
    r->live = !o->play && !o->stage;
    r->waited = o->waited;
    r->waited_arg = o->waited_arg;
    r->unwrap = o->unwrap;
    r->loop = ev_loop_new(EVFLAG_AUTO);
    r->fetch = r->loop ? fetch_new(r->loop, &fetch, e) : NULL;
    r->cache = cache_new(CACHE_BYTES);
    struct vm_ports ports = {.loop = r->loop,
                             .fetch = r->fetch,
                             .cache = r->cache,
                             .arg = r,
                             .verdict = on_verdict,
                             .ask_token = on_ask_token,
                             .waited = o->waited ? on_waited : NULL};
    r->vm = r->fetch && r->cache ? vm_new(&options, &ports, e) : NULL;
    if (r->vm && (!r->live || open_tokens(r, o->conf, e) == 0) && load(r, e) == 0)
        return r;
    if (!r->loop || !r->cache)
        err_set(e, EXIT_FAILED, "no memory for a handler");
    rehearsal_free(r);
    return NULL;
}

void rehearsal_free(struct rehearsal *r)
{
    if (!r)
        return;
    tokens_free(r->tokens);
    vm_free(r->vm);
    cache_free(r->cache);
    struct list *node;
    while ((node = list_pop(&r->asked)))
        free(list_entry(node, struct token_request, node));
    fetch_free(r->fetch);
    if (r->loop)
        ev_loop_destroy(r->loop);
    free(r);
}

void rehearsal_run(struct rehearsal *r, struct job *job)
{
    r->home = NULL;
    if (job_unwrap(job, r->unwrap) != 0) {
        job->outcome = OUTCOME_RETRY; /* no memory: no reason either */
        return;
    }
    vm_run(r->vm, job);
    while (!r->home)
        turn(r);
}

struct vm *rehearsal_vm(struct rehearsal *r)
{
    return r->vm;
}
