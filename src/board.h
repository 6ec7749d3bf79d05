/* Which targets are open, that is: pointless to call. The core thread publishes it, workers look
 * before each call, without locks. One board a process; it is never freed before the workers
 * have ended. */
#ifndef BOARD_H
#define BOARD_H

#include <stdatomic.h>
#include <stdbool.h>

enum { BOARD_TARGETS = 64, BOARD_NAME_BYTES = 128 };

struct board {
    atomic_int count; /* entries below it have their names and keep them */
    struct board_entry {
        char name[BOARD_NAME_BYTES]; /* scheme://host:port */
        atomic_bool open;
        atomic_int passes; /* calls that may try it nevertheless */
    } entries[BOARD_TARGETS];
};

/* Core thread. A target that does not fit any more is never open: its calls fail by themselves. */
void board_set(struct board *b, const char *target, bool open);
void board_let_pass(struct board *b, const char *target); /* one call, if it is open */

/* Any thread. False: it is open. True for a call that may try it uses up its pass. */
bool board_may_call(struct board *b, const char *target);

#endif
