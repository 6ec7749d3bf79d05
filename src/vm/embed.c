#include "vm/embed.h"

#include <string.h>

struct embedded_file {
    const char *name;
    const char *start;
    const char *end;
};

extern const struct embedded_file embedded_files[]; /* ends with a NULL name */

const char *embed_find(const char *name, size_t *len)
{
    for (const struct embedded_file *f = embedded_files; f->name; f++) {
        if (strcmp(f->name, name) == 0) {
            *len = (size_t)(f->end - f->start);
            return f->start;
        }
    }
    return NULL;
}
