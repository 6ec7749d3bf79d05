/* LUAHOST_* and AWS_* variables. For conf/ only. */
#ifndef CONF_ENV_H
#define CONF_ENV_H

#include "base/err.h"
#include "conf/conf.h"

/* Sets what AWS_* variables say (FROM_AWS). An empty variable counts as not set. */
int conf_read_aws(struct conf *c, char *const *environ_, struct err *e);

/* Sets what LUAHOST_* variables say (FROM_ENV). One that no key has is an error, so that a
 * mistyped name is not a setting that silently is not there. */
int conf_read_env(struct conf *c, char *const *environ_, struct err *e);

#endif
