/* The CPU budget of the tasks of one Lua state. The state's thread only.
 *
 * A timer on the thread's CPU clock sends the thread a signal every few milliseconds of CPU;
 * each tick is charged to the task that runs, and the tick over the budget sets a hook on the
 * coroutine that runs (lua_sethook is made to be called from a signal handler). So nothing is
 * paid per instruction or per message while all is well: a count hook slows tight loops
 * 1.5-2.3 times (measured).
 *
 * Where no timer is to be had (and under thread sanitizer, which puts signals off until the
 * next libc call), a count hook that reads the CPU clock does the same. */
#ifndef VM_BUDGET_H
#define VM_BUDGET_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct lua_State;
struct lua_Debug;

struct budget {
    /* Read by the signal handler, on the same thread. */
    struct lua_State *volatile running; /* the coroutine that runs; NULL: none */
    volatile int64_t used_us;           /* by the task that runs, earlier slices included */
    volatile int64_t limit_us;
    volatile int64_t deadline_us; /* CLOCK_MONOTONIC; INT64_MAX: none */

    void (*hook)(struct lua_State *, struct lua_Debug *);
    int64_t tick_us;
    int64_t slice_start_us; /* thread CPU, in a slice without a timer */
    bool timer;             /* there is one, and it belongs to `thread` */
    bool by_hook;
    struct budget *outer; /* whose task started this one: it goes on afterwards */
    timer_t id;
    unsigned long thread;
};

/* `hook` is set with count 1 when the budget is used up; it calls budget_over. */
void budget_init(struct budget *b, double limit_s,
                 void (*hook)(struct lua_State *, struct lua_Debug *));
void budget_free(struct budget *b); /* on the thread that ran */

/* A slice of a task begins: what it used before, its limit, its wall deadline. */
void budget_enter(struct budget *b, struct lua_State *L, int64_t used_us, int64_t limit_us,
                  int64_t deadline_us);
/* The slice is over; returns what the task has used. */
int64_t budget_leave(struct budget *b);

/* Another coroutine of the same task runs now. */
void budget_switch(struct budget *b, struct lua_State *L);

enum budget_over { BUDGET_LEFT, BUDGET_CPU, BUDGET_WALL };
enum budget_over budget_over(struct budget *b);

/* Puts L's hook as it is while all is well. */
void budget_relax(struct budget *b, struct lua_State *L);
/* Sets the hook so that it is called at L's next instruction, and at each one after. */
void budget_tighten(struct budget *b, struct lua_State *L);

#endif
