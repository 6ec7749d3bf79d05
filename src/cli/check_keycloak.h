/* host check --online: Keycloak's token and realm, and what the handler's calls need there
 * (check_calls.h). It reads and writes nothing. Main thread. */
#ifndef CLI_CHECK_KEYCLOAK_H
#define CLI_CHECK_KEYCLOAK_H

#include "cli/check_calls.h"
#include "conf/conf.h"

struct checklist;

/* Nothing without keycloak.url. */
void check_keycloak(const struct conf *c, const struct check_events *events,
                    struct checklist *list);

#endif
