/* What of the configuration reaches a handler's vm. Any thread. */
#ifndef OPS_HANDLER_VM_H
#define OPS_HANDLER_VM_H

#include "conf/conf.h"
#include "net/fetch.h"
#include "ops/tokens.h"
#include "vm/vm.h"

/* The strings are the configuration's and the caller's. The handler's text is to be added by who
 * has read it; otherwise the vm reads the file. */
struct vm_options handler_vm_options(const struct conf *c, const char *handler_path);

/* A worker that has not looked up for so long is stuck in C code: many times what the messages in
 * its slots may use of the CPU, since other programs want it too. */
int64_t handler_stuck_ms(const struct conf *c);

/* How workers, and a handler that runs alone, reach the network. */
struct fetch_options handler_fetch_options(const struct conf *c);
struct tokens_options handler_tokens_options(const struct conf *c);

/* queue.envelope, as job_unwrap takes it. */
unsigned handler_unwraps(const struct conf *c);
/* The same for tests and dry runs, where an author may also give the event alone. */
unsigned handler_unwraps_kindly(const struct conf *c);

#endif
