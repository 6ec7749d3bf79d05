#include "conf/conf.h"

#include "conf/keys.h"
#include "conf/value.h"

static const char *source_words(const struct conf *c, const struct conf_key *key,
                                char env_name[CONF_ENV_NAME_BYTES])
{
    const struct conf_origin *origin = conf_origin(c, key);
    switch (origin->source) {
    case FROM_AWS:
        return origin->name;
    case FROM_FILE:
        return c->file;
    case FROM_ENV:
        conf_env_name(key, env_name);
        return env_name;
    case FROM_FLAG:
        return key->flag ? key->flag : "--workers";
    default:
        return "default";
    }
}

bool conf_print(const struct conf *c, struct buf *out)
{
    struct buf value;
    buf_init(&value);
    for (size_t i = 0; i < conf_keys_count; i++) {
        char env_name[CONF_ENV_NAME_BYTES];
        buf_clear(&value);
        conf_format(c, &conf_keys[i], &value);
        buf_printf(out, "%-27s %-40s %s\n", conf_keys[i].path, value.data,
                   source_words(c, &conf_keys[i], env_name));
        out->failed |= value.failed;
    }
    buf_free(&value);
    return !out->failed;
}
