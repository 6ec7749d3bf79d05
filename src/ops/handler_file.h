/* Reading the handler's file. Any thread. */
#ifndef OPS_HANDLER_FILE_H
#define OPS_HANDLER_FILE_H

#include "base/err.h"

#include <stddef.h>

enum { HANDLER_MAX_BYTES = 16 << 20 };

/* The whole file, freed by the caller with free(). NULL with `e` (EXIT_CONFIG): what, where. */
char *handler_file_read(const char *path, size_t *len, struct err *e);

#endif
