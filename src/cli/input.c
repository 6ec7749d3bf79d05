#include "cli/input.h"

#include "base/exit.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int read_all(FILE *in, const char *name, size_t max_bytes, struct buf *out, struct err *e)
{
    char chunk[16384];
    size_t n;
    errno = 0;
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0) {
        buf_add(out, chunk, n);
        if (out->failed)
            return err_set(e, EXIT_FAILED, "%s: out of memory", name);
        if (out->len > max_bytes)
            return err_set(e, EXIT_FAILED, "%s has more than %zu bytes", name, max_bytes);
    }
    if (ferror(in))
        return err_set(e, EXIT_FAILED, "cannot read %s: %s", name, strerror(errno));
    return 0;
}

int input_read(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    if (strcmp(path, "-") == 0)
        return read_all(stdin, "standard input", max_bytes, out, e);
    FILE *in = fopen(path, "re");
    if (!in)
        return err_set(e, EXIT_FAILED, "cannot open %s: %s", path, strerror(errno));
    int rc = read_all(in, path, max_bytes, out, e);
    fclose(in);
    return rc;
}

int input_read_event(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    size_t from = out->len, n;
    if (input_read(path, max_bytes, out, e) != 0)
        return -1;
    for (size_t i = from; i < out->len; i += n)
        if ((n = utf8_length(out->data + i, out->len - i)) == 0)
            return err_set(e, EXIT_FAILED, "%s: byte %zu is no UTF-8, and SQS carries nothing else",
                           strcmp(path, "-") == 0 ? "standard input" : path, i - from + 1);
    return 0;
}
