#include "ops/handler_file.h"

#include "base/buf.h"
#include "base/exit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int read_all(FILE *f, const char *path, struct buf *out, struct err *e)
{
    char part[16384];
    size_t n;
    while ((n = fread(part, 1, sizeof part, f)) > 0) {
        buf_add(out, part, n);
        if (out->len > HANDLER_MAX_BYTES)
            return err_set(e, EXIT_CONFIG, "%s: larger than %d MiB: is this the handler?", path,
                           HANDLER_MAX_BYTES >> 20);
    }
    if (ferror(f))
        return err_set(e, EXIT_CONFIG, "%s: %s", path, strerror(errno));
    return out->failed ? err_set(e, EXIT_CONFIG, "%s: no memory to read it", path) : 0;
}

char *handler_file_read(const char *path, size_t *len, struct err *e)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f || fstat(fileno(f), &st) != 0) {
        err_set(e, EXIT_CONFIG, "%s: %s: name the handler's file, as in `host run handler.lua`",
                path, strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    struct buf text;
    buf_init(&text);
    int rc = S_ISDIR(st.st_mode)
                 ? err_set(e, EXIT_CONFIG, "%s: is a folder, a handler is a file", path)
                 : read_all(f, path, &text, e);
    fclose(f);
    if (rc == 0)
        return buf_take(&text, len);
    buf_free(&text);
    return NULL;
}
