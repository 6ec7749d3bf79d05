/* Exit codes (contract, section 2). */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* a test, a check; --until-empty with work left for later */
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 69, /* the queue stayed unreachable at start-up */
    EXIT_STUCK = 70,
    EXIT_DRAIN = 75,  /* drain ran out of time */
    EXIT_CONFIG = 78, /* bad configuration or handler, queue missing or access denied */
};

#endif
