#include "ops/rehearsal.h"

#include "base/exit.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
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
    struct list asked; /* token requests */
    struct job *home;  /* its verdict has come */
    uint64_t tokens;
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

/* After the vm's turn: an answer must not come from inside the question. */
static void answer_tokens(struct rehearsal *r)
{
    struct list *node;
    while ((node = list_pop(&r->asked))) {
        struct token_request *q = list_entry(node, struct token_request, node);
        q->token = token_new(rehearsal_token, ++r->tokens, INT64_MAX);
        if (!q->token)
            err_set(&q->error, 0, "no memory for a token");
        vm_token_answer(r->vm, q);
    }
}

static void turn(struct rehearsal *r)
{
    vm_turn(r->vm);
    answer_tokens(r);
    fetch_turn(r->fetch);
    ev_run(r->loop, EVRUN_NOWAIT);
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
    v.sleeps_at_once = true;
    v.stage = o->stage;
    if (o->embedded)
        v.source = embed_find(o->handler_path, &v.source_len);
    if (!v.keycloak_url)
        v.keycloak_url = rehearsal_keycloak_url;
    if (!v.keycloak_realm)
        v.keycloak_realm = rehearsal_keycloak_realm;
    if (o->stage) { /* limits are for handlers; a runaway test ends too, some time */
        v.limit_time_s = TESTS_TIME_S;
        v.limit_cpu_s = TESTS_CPU_S;
        v.limit_memory_bytes = TESTS_MEMORY_BYTES;
    }
    return v;
}

struct rehearsal *rehearsal_new(const struct rehearsal_options *o, struct err *e)
{
    struct rehearsal *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, EXIT_FAILED, "no memory for a handler");
        return NULL;
    }
    struct fetch_options fetch = {.play = o->play, .play_arg = o->play_arg};
    struct vm_options options = vm_options_for(o);
    list_init(&r->asked);
    r->unwrap = o->unwrap;
    r->loop = ev_loop_new(EVFLAG_AUTO);
    r->fetch = r->loop ? fetch_new(r->loop, &fetch, e) : NULL;
    r->cache = cache_new(CACHE_BYTES);
    struct vm_ports ports = {.loop = r->loop,
                             .fetch = r->fetch,
                             .cache = r->cache,
                             .arg = r,
                             .verdict = on_verdict,
                             .ask_token = on_ask_token};
    r->vm = r->fetch && r->cache ? vm_new(&options, &ports, e) : NULL;
    if (r->vm && load(r, e) == 0)
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
