/* What became of a task: from what the handler returned or raised to the outcome of the
 * message (contract section 4, Outcomes). */
#ifndef VM_VERDICT_H
#define VM_VERDICT_H

#include "job.h"
#include "vm/raise.h"

struct lua_State;

struct verdict {
    enum outcome outcome;
    bool target_failed;
    int64_t after_ms; /* -1: the backoff decides */
    bool after_least; /* the backoff comes on top of it */
    char kind[24];
    char at[96];
    char target[128];
    char *reason;
    char *detail;
    char *source;
};

void verdict_clear(struct verdict *v);

/* The outcomes that a run has made: to notice one that was not returned, and to say where the
 * returned one comes from. That is not in the outcome itself, since authors compare them. */
struct built {
    int count;
    const void *last; /* its table */
    char at[sizeof((struct verdict *)0)->at];
};

/* The handler returned the `count` values at the top. */
MAY_RAISE void verdict_of_results(struct lua_State *L, int count, const struct built *built,
                                  struct verdict *v);
/* The handler raised the value at the top. Its place was noted before. */
MAY_RAISE void verdict_of_error(struct lua_State *L, struct verdict *v);
/* Without Lua: something of the host's. */
void verdict_set(struct verdict *v, enum outcome outcome, const char *kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* place.c. At the place of an error, before the stack unwinds: `at`, `detail` and `source`, the
 * latter out of the bytes that were loaded. `message`: the error's, or NULL. Allocates nothing in
 * Lua and does not raise. */
void verdict_note_place(struct lua_State *L, struct verdict *v, const char *message);
/* What the handler returned is wrong: the place is where it begins. */
MAY_RAISE void verdict_note_handler(struct lua_State *L, struct verdict *v);

/* place.c. The author's line from which the C function that runs was called; "" if there is none.
 * Allocates nothing, and does not raise. */
void place_of_call(struct lua_State *L, char *at, size_t at_size);

/* The stack of L without the host's own frames, as text; free() it. NULL: no memory. */
char *verdict_traceback(struct lua_State *L, char *at, size_t at_size);

/* Moves it into the job. */
void verdict_give(struct verdict *v, struct job *job);

#endif
