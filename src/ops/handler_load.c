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

int handler_load(const struct conf *c, struct bundle *b, struct err *e)
{
    struct vm_options options = handler_vm_options(c, bundle_path(b));
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    options.bundle = b;
    options.handler_json = bundle_json(b);
    options.slots = 1;
    int rc =
        loop ? load(&options, loop, e) : err_set(e, EXIT_FAILED, "no memory to load a handler");
    if (loop)
        ev_loop_destroy(loop);
    if (rc == 0)
        bundle_seal(b);
    else if (e->code == 0)
        e->code = EXIT_CONFIG;
    return rc;
}
