/* How a task is ended against its will: by a limit, by the host, by a stray yield. The error is
 * raised once, so that pending __close run; when a short grace is used up it comes at every
 * instruction, so that no pcall holds it (reference: lua-embedding, section 4). */
#include "vm/task.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <stdio.h>

void task_kill_verdict(struct task *t)
{
    struct verdict *v = &t->verdict;
    const struct vm_options *o = &t->vm->options;
    bool sent = t->job && atomic_load(&t->job->wire_until_ms) != WIRE_NEVER;
    switch (t->kill) {
    case KILL_TIME:
        verdict_set(v, OUTCOME_RETRY, "time", "took longer than limits.time (%g s)",
                    o->limit_time_s);
        break;
    case KILL_CPU:
        verdict_set(v, OUTCOME_RETRY, "cpu", "used more CPU than limits.cpu (%g s)",
                    t->work == WORK_JOB ? o->limit_cpu_s : TASK_LOAD_CPU_US / 1e6);
        break;
    case KILL_MEMORY:
        verdict_set(v, OUTCOME_RETRY, "memory",
                    "held most of the worker's memory when limits.memory (%zu bytes) was reached",
                    o->limit_memory_bytes);
        break;
    case KILL_CANCELLED:
        verdict_set(v, sent ? OUTCOME_RETRY : OUTCOME_RELEASE, "cancelled",
                    "cancelled by the host %s",
                    sent ? "after it had sent a request" : "before it sent anything");
        break;
    case KILL_YIELD:
        verdict_set(v, OUTCOME_RETRY, "contract",
                    "coroutine.yield out of the handler: yield only inside coroutines of its own");
        break;
    case KILL_NONE:
        break;
    }
}

static const char *const kill_kinds[] = {
    [KILL_TIME] = "time",           [KILL_CPU] = "cpu",        [KILL_MEMORY] = "memory",
    [KILL_CANCELLED] = "cancelled", [KILL_YIELD] = "contract",
};

static const char *const kill_words[] = {
    [KILL_TIME] = "the message took longer than limits.time",
    [KILL_CPU] = "the handler used more CPU than limits.cpu",
    [KILL_MEMORY] = "the message held most of the memory when limits.memory was reached",
    [KILL_CANCELLED] = "the host cancelled this run",
    [KILL_YIELD] = "coroutine.yield out of the handler",
};

static void start_grace(struct task *t)
{
    t->last_words = true;
    struct budget *b = &t->vm->budget;
    t->cpu_limit_us = b->used_us + TASK_GRACE_US;
    t->deadline_us = INT64_MAX;
    b->limit_us = t->cpu_limit_us;
    b->deadline_us = t->deadline_us;
}

void task_raise_kill(lua_State *L, struct task *t)
{
    if (!t->last_words)
        start_grace(t);
    if (t->hard)
        budget_tighten(&t->vm->budget, L);
    raise_push(L, kill_kinds[t->kill], "%s", kill_words[t->kill]);
    raise_flag(L, "retryable", true);
    lua_error(L);
    __builtin_unreachable();
}

/* The count hook. The first time the error is raised once, so that pending __close run; when
 * the grace is used up it is raised at every instruction, so that no pcall holds it. */
static void on_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct vm *vm = vm_of(L);
    struct task *t = vm->current;
    if (!t)
        return;
    enum budget_over over = budget_over(&vm->budget);
    if (t->kill == KILL_NONE) {
        if (over == BUDGET_LEFT) {
            budget_relax(&vm->budget, L);
            return;
        }
        t->kill = over == BUDGET_CPU ? KILL_CPU : KILL_TIME;
    }
    if (!t->last_words) {
        budget_relax(&vm->budget, L);
    } else if (over != BUDGET_LEFT || t->hard) {
        t->hard = true;
        budget_tighten(&vm->budget, L);
    } else {
        return;
    }
    task_raise_kill(L, t);
}

void task_kill(struct task *t, enum task_kill why)
{
    if (t->state == TASK_IDLE || t->kill != KILL_NONE)
        return;
    t->kill = why;
    if (t->cancel)
        t->cancel(t->cancel_data);
    t->cancel = NULL;
    if (t->state != TASK_RUNNING && list_empty(&t->node))
        list_append(&t->vm->ready, &t->node);
}

void (*task_hook(void))(lua_State *, lua_Debug *)
{
    return on_hook;
}
