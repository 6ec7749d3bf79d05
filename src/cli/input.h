/* Whole files that a command was pointed at. Main thread. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* Appends the file's bytes to `out`; "-" is standard input. -1 with EXIT_FAILED if it cannot be
 * read or has more than `max_bytes`; the text names it. */
int input_read(const char *path, size_t max_bytes, struct buf *out, struct err *e);

/* The same for an event that is run here; also -1 if it is no UTF-8, which SQS does not carry. */
int input_read_event(const char *path, size_t max_bytes, struct buf *out, struct err *e);

#endif
