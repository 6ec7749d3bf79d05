/* The flags that the table of keys has, as options of a command. Main thread. */
#ifndef CLI_KEY_FLAGS_H
#define CLI_KEY_FLAGS_H

#include "cli/options.h"
#include "conf/conf.h"

/* Appends them to the `count` options that are there, and the end of the table; `size` has room for
 * both. Keys that begin with `without` are left out; NULL: none are. */
void key_flags_add(struct cli_option *options, int count, int size, const char *without,
                   struct conf_request *request);

#endif
