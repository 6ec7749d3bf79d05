#include "conf/changes.h"

#include "conf/keys.h"
#include "conf/value.h"

#include <string.h>

int conf_changes(const struct conf *before, const struct conf *now, struct buf *keys)
{
    struct buf old, new;
    int count = 0;
    buf_init(&old);
    buf_init(&new);
    for (size_t i = 0; i < conf_keys_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        buf_clear(&old);
        buf_clear(&new);
        conf_format(before, key, &old);
        conf_format(now, key, &new);
        if (strcmp(key->path, "handler") == 0 || strcmp(old.data, new.data) == 0)
            continue;
        buf_printf(keys, "%s%s", count++ > 0 ? ", " : "", key->path);
    }
    buf_free(&old);
    buf_free(&new);
    return count;
}
