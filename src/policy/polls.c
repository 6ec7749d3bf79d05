#include "policy/polls.h"

#include <math.h>

/* A poll for fewer than a batch costs as much as a full one. While work is in hand such polls
 * are this far apart; a free slot waits at most that long. */
enum { SMALL_POLL_EVERY_MS = 25, EXTRA_POLL_WAIT_S = 1 };

/* Empty polls that did not wait, because they were told not to or the server does not, are this
 * far apart: a quiet queue must not cost a thousand calls a second. */
enum { EMPTY_POLL_EVERY_MS = 1000, EMPTIES_AT_ONCE = 2 };

void polls_init(struct polls *p, int max)
{
    *p = (struct polls){.wanted = 1, .max = max, .last_ms = -SMALL_POLL_EVERY_MS};
}

struct polls_grant polls_next(struct polls *p, const struct polls_ask *ask)
{
    struct polls_grant none = {0};
    int free = ask->capacity - ask->in_hand - ask->reserved;
    if (ask->open >= p->wanted || free <= 0)
        return none;
    int messages = free < ask->batch ? free : ask->batch;
    int64_t since = ask->now_ms - p->last_ms;
    if (messages < ask->batch && ask->in_hand > 0 && since < SMALL_POLL_EVERY_MS) {
        none.again_ms = SMALL_POLL_EVERY_MS - since;
        return none;
    }
    if (p->empties >= EMPTIES_AT_ONCE && since < EMPTY_POLL_EVERY_MS) {
        none.again_ms = EMPTY_POLL_EVERY_MS - since;
        return none;
    }
    p->last_ms = ask->now_ms;
    int wait_s =
        ask->open == 0 || ask->wait_s < EXTRA_POLL_WAIT_S ? ask->wait_s : EXTRA_POLL_WAIT_S;
    return (struct polls_grant){.messages = messages, .wait_s = wait_s};
}

void polls_result(struct polls *p, int asked, int came)
{
    p->empties = came == 0 ? p->empties + 1 : 0;
    if (came >= asked && p->wanted < p->max)
        p->wanted++;
    else if (came == 0)
        p->wanted = 1;
    else if (came < asked && p->wanted > 1)
        p->wanted--;
}

int polls_prefetch(double completed_per_s, int slots, int batch)
{
    int most = slots > batch ? slots : batch;
    return (int)fmax(0, fmin(completed_per_s, most));
}
