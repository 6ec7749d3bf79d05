/* How much to receive, and how: one long poll while the queue is quiet, more while it is not.
 * Pure; the caller keeps the state and does the polling. */
#ifndef POLICY_POLLS_H
#define POLICY_POLLS_H

#include <stdbool.h>
#include <stdint.h>

struct polls {
    int wanted; /* polls that may be open at once, 1…max */
    int max;
    int64_t last_ms; /* start of the last poll */
    int empties;     /* polls in a row that brought nothing */
};

struct polls_ask {
    int capacity; /* slots that may run, plus prefetch */
    int in_hand;  /* received and not settled */
    int reserved; /* asked for by polls that are open */
    int open;     /* polls open */
    int batch;    /* most messages a receive may ask for, 1-10 */
    int wait_s;   /* the long poll's */
    int64_t now_ms;
};

struct polls_grant {
    int messages; /* 0: open no poll now */
    int wait_s;
    int64_t again_ms; /* with messages == 0: ask again after this; 0: when something changes */
};

void polls_init(struct polls *p, int max);
struct polls_grant polls_next(struct polls *p, const struct polls_ask *ask);

/* What a poll brought, `asked` being its `messages`. */
void polls_result(struct polls *p, int asked, int came);

/* Messages to receive beyond free slots, so that a slot that becomes free finds work: at most
 * what one second completes, and never more than the slots or one receive brings. With few slots
 * it is the receive that counts: polls for one or two messages each cost more than the work. */
int polls_prefetch(double completed_per_s, int slots, int batch);

#endif
