/* Secrets in files. Any thread. */
#ifndef CONF_SECRET_H
#define CONF_SECRET_H

#include "base/buf.h"
#include "base/err.h"

enum { CONF_SECRET_MAX_BYTES = 64 * 1024 };

/* Appends the file's bytes to `out`, less one newline (or CR LF) at their end. -1 with
 * EXIT_CONFIG when it cannot be read, is empty, longer than CONF_SECRET_MAX_BYTES, or has a
 * NUL inside; the text names the path and never the contents. A file that everybody may read
 * is taken, with a warning in the log. The caller wipes `out` (OPENSSL_cleanse) after use. */
int conf_read_secret(const char *path, struct buf *out, struct err *e);

#endif
