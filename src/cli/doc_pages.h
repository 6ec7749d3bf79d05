/* What the doc comments of the handler's modules make: definitions for an editor, and a manual
 * page. The comments of lua/host/, and of lua/types/ for modules in C, are read by
 * lua/tools/types.lua. Main thread. */
#ifndef CLI_DOC_PAGES_H
#define CLI_DOC_PAGES_H

#include "base/err.h"

/* form "types": a file per module below `folder`, which is made; one that is there is overwritten.
 * NULL: all of them to stdout. form "man": a page to stdout. EXIT_DONE, or -1 with `e`. */
int doc_pages_print(const char *form, const char *folder, struct err *e);

#endif
