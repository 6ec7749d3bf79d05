/* host check --online: credentials, the queue, its redrive policy and dead-letter queue. It reads
 * and writes nothing. Main thread. */
#ifndef CLI_CHECK_QUEUE_H
#define CLI_CHECK_QUEUE_H

#include "conf/conf.h"

struct checklist;

void check_queue(const struct conf *c, struct checklist *list);

#endif
