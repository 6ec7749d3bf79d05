/* host check --online: what only the servers can tell. It reads and writes nothing. Main thread. */
#ifndef CLI_CHECK_ONLINE_H
#define CLI_CHECK_ONLINE_H

#include "conf/conf.h"

struct checklist;

/* Credentials, the queue, its redrive policy and dead-letter queue. */
void check_online_queue(const struct conf *c, struct checklist *list);
/* The token, the realm and the roles; nothing without keycloak.url. */
void check_online_keycloak(const struct conf *c, struct checklist *list);

#endif
