#include "ops/handler_load.h"

#include "base/exit.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "vm/bundle.h"
#include "vm/vm.h"

#include <ev.h>

/* Nothing asks and nothing answers before the load phase is over. */
static void on_verdict(void *arg, struct job *job)
{
    (void)arg, (void)job;
}

static void on_ask_token(void *arg, struct token_request *q)
{
    (void)arg, (void)q;
}

static int load(const struct vm_options *options, struct ev_loop *loop, struct err *e)
{
    struct fetch_options fetch = {.max_connections = 1};
    struct vm_ports ports = {.loop = loop, .verdict = on_verdict, .ask_token = on_ask_token};
    struct vm *vm = NULL;
    ports.fetch = fetch_new(loop, &fetch, e);
    if (ports.fetch)
        vm = vm_new(options, &ports, e);
    int rc = vm ? vm_load(vm, e) : -1;
    vm_free(vm);
    fetch_free(ports.fetch);
    return rc;
}

struct bundle *handler_load(const struct conf *c, const char *handler_path, struct err *e)
{
    struct vm_options options = handler_vm_options(c, handler_path);
    struct bundle *b = bundle_new(handler_path, c->handler_json, options.generation);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    int rc = -1;
    options.bundle = b;
    options.slots = 1;
    if (b && loop)
        rc = load(&options, loop, e);
    else
        err_set(e, EXIT_FAILED, "no memory to load a handler");
    if (loop)
        ev_loop_destroy(loop);
    if (rc == 0) {
        bundle_seal(b);
        return b;
    }
    if (e->code == 0)
        e->code = EXIT_CONFIG;
    bundle_unref(b);
    return NULL;
}
