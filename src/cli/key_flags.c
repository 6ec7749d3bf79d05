#include "cli/key_flags.h"

#include "conf/keys.h"

#include <string.h>

static int take(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    (void)e;
    for (size_t i = 0; i < conf_keys_count; i++)
        if (conf_keys[i].flag && strcmp(conf_keys[i].flag + 2, option->name) == 0)
            conf_request_flag(arg, conf_keys[i].flag, value);
    return 0;
}

void key_flags_add(struct cli_option *options, int count, int size, const char *without,
                   struct conf_request *request)
{
    for (size_t i = 0; i < conf_keys_count && count < size - 1; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (key->flag && !(without && strncmp(key->path, without, strlen(without)) == 0))
            options[count++] = (struct cli_option){.name = key->flag + 2,
                                                   .arg = key->arg,
                                                   .help = key->help,
                                                   .each = take,
                                                   .each_arg = request};
    }
    options[count] = (struct cli_option){0};
}
