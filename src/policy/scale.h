/* How many workers: as many as drain the backlog within `drain_target` (Little's law), and never
 * more than slots, CPU and the targets can use. Pure; time is an argument (CLOCK_BOOTTIME,
 * milliseconds).
 *
 * The wish goes by how long a message takes when its targets are not loaded: with the present
 * duration a saturated target's own queue would drive it to the maximum. Up at once, at most
 * doubling; down one at a time, never below the highest wish of the last minute. */
#ifndef POLICY_SCALE_H
#define POLICY_SCALE_H

#include <stdbool.h>
#include <stdint.h>

enum { SCALE_WISHES = 12, SCALE_UNKNOWN = -1 };

struct scale_options {
    int min, max; /* workers */
    int slots;    /* of each */
    double drain_target_s;
};

struct scale {
    struct scale_options options;
    int workers;
    double arrivals_per_s; /* smoothed over 30 s */
    int64_t last_ms;       /* the last sample; INT64_MIN: none */
    int64_t last_depth;    /* SCALE_UNKNOWN: not known then */
    struct {
        int64_t index; /* of its five seconds */
        int workers;
    } wishes[SCALE_WISHES];
};

struct scale_sample {
    int64_t now_ms;
    int64_t depth;      /* visible and in flight; SCALE_UNKNOWN: nobody says */
    int64_t completed;  /* since the last sample */
    double unloaded_s;  /* a message's duration; 0: not known yet */
    int permits;        /* messages that the targets let run at once */
    bool slots_full;    /* all slots were taken at some time since the last sample */
    double worker_cpu;  /* of the busiest worker, 0-1 */
    bool receives_full; /* receives bring as much as they ask for: there is more */
    bool frozen;        /* intake is held: nothing is to be learnt */
};

void scale_init(struct scale *s, const struct scale_options *options, int workers);
void scale_set(struct scale *s, int min, int max); /* takes effect at the next sample */

/* How many workers there should be from now on. */
int scale_next(struct scale *s, const struct scale_sample *sample);

#endif
