/* What a call tells the core about its target (job.h, struct target_call). Inside vm/ only. */
#ifndef VM_CALLS_H
#define VM_CALLS_H

#include "job.h"

struct fetch_response;

/* A name for calls of one kind: method and path, with what looks like an id or somebody's name
 * left out, so that it is short, the same for all of them, and fit for a log. */
void calls_name(char name[CALL_NAME_BYTES], const char *method, const char *url);

/* The call's own words about itself, and when it was begun. */
struct call_note {
    const char *target;
    const char *name;
    int64_t started_ms;     /* CLOCK_BOOTTIME */
    int64_t retry_after_ms; /* of the answer; -1: none */
    bool no_fair_chance;    /* a timeout that the message's deadline brought about too early */
    bool own_500;           /* a 500 is more likely the request's own trouble */
};

/* Adds it to the job's calls; `job` may be NULL. */
void calls_note(struct job *job, const struct call_note *note, const struct fetch_response *r);
/* It was given up while under way, after so long: a target that keeps a message until its deadline
 * is slow. */
void calls_note_given_up(struct job *job, const struct call_note *note, int64_t now_ms);

#endif
