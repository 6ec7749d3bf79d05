/* Is the process well, and is it ready? Pure: facts in, words out (contract, section 6).
 *
 * Not alive means that a restart would help: a loop that does not turn, or receiving that stands
 * still for no reason. What is wrong elsewhere (the queue away, a target down) and what a person
 * wants (a pause) never makes it so: restarts would requeue work and help nobody. */
#ifndef OPS_HEALTH_H
#define OPS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct health_facts {
    bool flow;              /* there is one: the handler is loaded, the queue known */
    bool stopping;          /* draining, or told to before it had begun */
    bool stuck;             /* it leaves because workers got stuck */
    bool answered;          /* the queue has, once */
    bool usable;            /* its last answer was no refusal and no silence */
    bool held;              /* receiving is held for a reason */
    int64_t silent_ms;      /* since a receive ended or began */
    int64_t receive_max_ms; /* how long one may take */
    int64_t turn_ms;        /* the longest turn of a worker that has not ended yet, nor is fenced */
    int64_t turn_max_ms;    /* by then the pool should have fenced it */
};

/* NULL: well. Otherwise what is wrong, as a static sentence. */
const char *health_dead(const struct health_facts *f);
const char *health_unready(const struct health_facts *f);

#endif
