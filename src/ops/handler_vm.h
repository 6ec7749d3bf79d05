/* What of the configuration reaches a handler's vm. Any thread. */
#ifndef OPS_HANDLER_VM_H
#define OPS_HANDLER_VM_H

#include "conf/conf.h"
#include "vm/vm.h"

/* The strings are the configuration's and the caller's. The handler's text is to be added by who
 * has read it; otherwise the vm reads the file. */
struct vm_options handler_vm_options(const struct conf *c, const char *handler_path);

/* queue.envelope, as job_unwrap takes it. */
unsigned handler_unwraps(const struct conf *c);
/* The same for tests and dry runs, where an author may also give the event alone. */
unsigned handler_unwraps_kindly(const struct conf *c);

#endif
