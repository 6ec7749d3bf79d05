/* A task: one message's run of the handler, as a coroutine. Also the load phase and init.
 * The vm's thread only.
 *
 * A task waits in a binding by task_wait, which remembers one cancel hook; the completion
 * marks the task ready from any callback of the loop, and vm_turn resumes it. A task that was
 * killed gets no further binding call, whatever it catches. */
#ifndef VM_TASK_H
#define VM_TASK_H

#include "base/list.h"
#include "vm/state.h"
#include "vm/verdict.h"

#include <ev.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum task_state {
    TASK_IDLE,
    TASK_FRESH, /* has work, has not run */
    TASK_RUNNING,
    TASK_SUSPENDED, /* waits in a binding */
};

enum task_work { WORK_JOB, WORK_LOAD, WORK_INIT, WORK_SELFTEST };

enum task_kill {
    KILL_NONE,
    KILL_TIME,      /* limits.time */
    KILL_CPU,       /* limits.cpu */
    KILL_MEMORY,    /* the largest holder at limits.memory */
    KILL_CANCELLED, /* vm_cancel, or the job's fence */
    KILL_YIELD,     /* coroutine.yield out of the handler */
};

enum {
    TASK_CHAIN_MAX = 16,
    TASK_LOAD_CPU_US = 2000000, /* for loading, and for init */
    TASK_GRACE_US = 20000,      /* CPU for __close after a kill's error was raised */
};

struct task {
    struct list node; /* in vm->ready */
    struct vm *vm;
    int holder; /* in vm->mem */
    lua_State *co;
    int co_ref;
    enum task_state state;
    enum task_work work;
    struct job *job;     /* WORK_JOB */
    uint64_t generation; /* grows with each use: tells a late completion */

    enum task_kill kill;
    bool last_words; /* after a kill: the error was raised once, a short grace runs */
    bool hard;       /* the grace is over: raised again at each instruction */
    bool cancel_wanted;
    struct built built; /* by host.retry and host.reject */

    int64_t started_us; /* CLOCK_MONOTONIC */
    int64_t deadline_us;
    int64_t cpu_used_us;
    int64_t cpu_limit_us;
    ev_timer deadline;

    bool waiting;
    const char *wait_call; /* the binding that waits, or checked that it can */
    int64_t wait_began_us;
    struct task_note *note; /* of that wait: task_note; NULL unless somebody wants to know */
    uint64_t wait_number;
    void (*cancel)(void *data);
    void *cancel_data;
    /* Coroutines of the handler's own that wait with it; nobody else may resume them. */
    lua_State *chain[TASK_CHAIN_MAX];
    int chain_length;

    struct verdict verdict;
};

enum { NOTE_BYTES = 1024 };
struct task_note {
    char what[NOTE_BYTES]; /* what it waits for */
    char result[64];
};

/* One level of coroutines inside each other; on the C stack of task_resume. */
struct entry {
    lua_State *L;
    struct entry *up;
};

int task_init(struct task *t, struct vm *vm, int holder);
void task_free(struct task *t);

void task_begin(struct task *t, enum task_work work, struct job *job);
/* Runs a fresh or ready task to its next wait or its end. */
void task_run(struct task *t);
/* Ends it at its next resume; suspended: what it waits for is cancelled. */
/* kill.c */
void task_kill(struct task *t, enum task_kill why);
void task_kill_verdict(struct task *t); /* whatever the task made of it: the kill decides */

/* For budget_init. */
void (*task_hook(void))(lua_State *, lua_Debug *);
/* Compiles and runs the handler, and finds what it defines (load.c). */
MAY_RAISE int load_main(lua_State *L);

/* The only caller of lua_resume. `from` is NULL for the task's own coroutine. */
int task_resume(struct vm *vm, lua_State *co, lua_State *from, int nargs, int *results);

/* ---- for bindings ----------------------------------------------------------------------- */

/* First thing in every binding: raises if the running task was killed. */
MAY_RAISE void task_check_alive(lua_State *L);
/* First thing in a binding that waits: the running task, which can wait here. */
MAY_RAISE struct task *task_check_wait(lua_State *L, const char *function);
/* Last thing in it: `return task_wait(…)`. `cancel` is called once, if the task is given up
 * before task_ready. `k` starts with task_back. */
MAY_RAISE int task_wait(lua_State *L, struct task *t, void (*cancel)(void *), void *data,
                        lua_KFunction k);
MAY_RAISE struct task *task_back(lua_State *L, lua_KContext number);
/* For ports.waited: what the binding is about to wait for, and what came of it. */
void task_note(struct task *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void task_note_result(struct task *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The wait has ended, or took no time at all. */
void task_note_end(struct task *t, int64_t took_us);
/* From a callback: what it waited for has come. */
void task_ready(struct task *t);

/* Raises the kill of the running task. */
MAY_RAISE _Noreturn void task_raise_kill(lua_State *L, struct task *t);
/* Refuses to send for a fenced or cancelled job: the task ends here. */
MAY_RAISE void task_check_fence(lua_State *L, struct task *t);

/* True if `co` is a task's own coroutine, or waits in a task's binding. */
bool task_owns(const struct vm *vm, const lua_State *co);

int64_t task_left_ms(const struct task *t); /* to the deadline; at least 0 */
void task_extend(struct task *t, double seconds);

#endif
