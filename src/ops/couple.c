#include "ops/couple.h"

#include "base/buf.h"
#include "base/exit.h"
#include "net/fetch.h"

#include <stdio.h>
#include <string.h>

char *couple_origins(const char *list, struct err *e)
{
    struct buf out;
    buf_init(&out);
    e->code = 0;
    for (const char *at = list; at && *at;) {
        char url[512], origin[128];
        size_t len = strcspn(at, ",");
        snprintf(url, sizeof url, "%.*s", (int)(len < sizeof url ? len : sizeof url - 1), at);
        if (!strstr(url, "://") || fetch_origin(url, origin, sizeof origin) != 0) {
            err_set(e, EXIT_CONFIG,
                    "breaker.couple: '%s' is no address of a server: write it as "
                    "\"https://host\" or \"http://host:8080\"",
                    url);
            buf_free(&out);
            return NULL;
        }
        buf_printf(&out, "%s%s", out.len ? "," : "", origin);
        at += len + (at[len] == ',');
    }
    if (out.failed)
        err_set(e, EXIT_FAILED, "no memory");
    if (out.failed || out.len == 0) {
        buf_free(&out);
        return NULL;
    }
    return buf_take(&out, NULL);
}
