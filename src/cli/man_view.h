/* A manual page in troff for whoever sits at a terminal: through man, or mandoc. Main thread. */
#ifndef CLI_MAN_VIEW_H
#define CLI_MAN_VIEW_H

#include "base/err.h"

#include <sys/types.h>

struct man_view {
    pid_t pid;  /* 0: none is needed, standard output is no terminal */
    int output; /* standard output itself meanwhile */
};

/* From now on standard output is what the viewer reads. -1 with EXIT_FAILED: there is none, and
 * how else the page can be read. */
int man_view_begin(struct man_view *v, struct err *e);
/* Waits until it has been read. -1 with EXIT_FAILED: the viewer says that it could not. */
int man_view_end(struct man_view *v, struct err *e);

#endif
