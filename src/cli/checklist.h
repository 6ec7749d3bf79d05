/* The checklist of `host check`: a line for each thing that was looked at, crosses with their fix.
 * Main thread. */
#ifndef CLI_CHECKLIST_H
#define CLI_CHECKLIST_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum checklist_mark { CHECK_OK, CHECK_DOUBT, CHECK_BAD };

struct checklist {
    struct buf text; /* as it is printed */
    struct buf json; /* the items, commas between */
    int bad;
    int doubts;
};

void checklist_init(struct checklist *c);
void checklist_free(struct checklist *c);

/* `what`: one or two words; `words`: what was found, and unless it is CHECK_OK what to do. */
void checklist_add(struct checklist *c, enum checklist_mark mark, const char *what,
                   const char *words);

/* The same, with words like printf's, up to 2000 bytes. */
void checklist_say(struct checklist *c, enum checklist_mark mark, const char *what,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Writes it to standard output, as lines or as one JSON object. EXIT_DONE, or EXIT_CONFIG if
 * something is bad; -1 with `e`: no memory. */
int checklist_print(const struct checklist *c, bool json, struct err *e);

#endif
