#include "ops/handler_load.h"

#include "base/exit.h"
#include "net/fetch.h"
#include "ops/handler_file.h"
#include "ops/handler_vm.h"
#include "vm/vm.h"

#include <ev.h>
#include <stdlib.h>

/* Nothing asks and nothing answers before the load phase is over. */
static void on_verdict(void *arg, struct job *job)
{
    (void)arg, (void)job;
}

static void on_ask_token(void *arg, struct token_request *q)
{
    (void)arg, (void)q;
}

int handler_load(const struct conf *c, const char *handler_path, struct err *e)
{
    struct vm_options options = handler_vm_options(c, handler_path);
    struct fetch_options fetch = {.max_connections = 1};
    struct vm_ports ports = {.verdict = on_verdict, .ask_token = on_ask_token};
    struct vm *vm = NULL;
    int rc = -1;
    char *source = handler_file_read(handler_path, &options.source_len, e);
    if (!source)
        return -1;
    options.source = source;
    options.slots = 1;
    ports.loop = ev_loop_new(EVFLAG_AUTO);
    if (!ports.loop)
        err_set(e, EXIT_FAILED, "the event loop does not start");
    else
        ports.fetch = fetch_new(ports.loop, &fetch, e);
    if (ports.fetch)
        vm = vm_new(&options, &ports, e);
    if (vm)
        rc = vm_load(vm, e);
    vm_free(vm);
    fetch_free(ports.fetch);
    if (ports.loop)
        ev_loop_destroy(ports.loop);
    free(source);
    return rc;
}
