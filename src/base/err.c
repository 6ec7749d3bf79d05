#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *format, ...)
{
    if (e) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
        e->code = code;
    }
    return -1;
}

int err_prefix(struct err *e, const char *format, ...)
{
    if (e) {
        char before[256], old[sizeof e->text];
        va_list args;
        va_start(args, format);
        vsnprintf(before, sizeof before, format, args);
        va_end(args);
        memcpy(old, e->text, sizeof old);
        snprintf(e->text, sizeof e->text, "%s: %.*s", before,
                 (int)(sizeof e->text - strlen(before) - 3), old);
    }
    return -1;
}
