#include "vm/task.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STRAY_YIELDS_MAX = 100,     /* of a killed task, before it is reset by force */
    EXTEND_MAX_S = 12 * 60 * 60 /* no lease lasts longer */
};

/* ---- what runs inside the coroutine ------------------------------------------------------- */

static int message_handler(lua_State *L)
{
    struct task *t = vm_of(L)->current;
    const char *message = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    if (t->kill != KILL_YIELD) /* its place was noted when it yielded */
        verdict_note_place(L, &t->verdict, message);
    return 1;
}

static int finish(lua_State *L, int status, lua_KContext context)
{
    struct task *t = (struct task *)context;
    if (t->kill != KILL_NONE)
        return 0; /* whatever it made of that: the kill decides */
    if (status == LUA_OK || status == LUA_YIELD) {
        verdict_of_results(L, lua_gettop(L) - 1, &t->built, &t->verdict);
        if (*t->verdict.kind && t->work == WORK_JOB)
            verdict_note_handler(L, &t->verdict);
        return 0;
    }
    if (status == LUA_ERRMEM)
        verdict_set(&t->verdict, OUTCOME_RETRY, "memory",
                    "not enough memory: limits.memory (%zu bytes per worker) was reached, by what "
                    "the handler keeps or by calls of a function by itself without end",
                    t->vm->options.limit_memory_bytes);
    else
        verdict_of_error(L, &t->verdict);
    return 0;
}

/* The body of every task's coroutine: everything that can raise happens in here. */
static int task_main(lua_State *L)
{
    struct task *t = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushcfunction(L, message_handler);
    int arguments = 0;
    switch (t->work) {
    case WORK_LOAD:
        lua_pushcfunction(L, load_main);
        break;
    case WORK_INIT:
    case WORK_SELFTEST:
        lua_rawgeti(L, LUA_REGISTRYINDEX,
                    t->work == WORK_INIT ? t->vm->init_ref : t->vm->selftest_ref);
        break;
    case WORK_JOB:
        lua_rawgeti(L, LUA_REGISTRYINDEX, t->vm->handle_ref);
        msg_push(L, t);
        arguments = 1;
    }
    int status = lua_pcallk(L, arguments, LUA_MULTRET, 1, (lua_KContext)t, finish);
    return finish(L, status, (lua_KContext)t);
}

/* ---- the wall clock ----------------------------------------------------------------------- */

static void on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct task *t = w->data;
    /* Not if its completion has come already: it may make use of that. */
    if (t->state == TASK_SUSPENDED && list_empty(&t->node))
        task_kill(t, KILL_TIME);
}

static void start_deadline(struct task *t)
{
    struct ev_loop *loop = t->vm->ports.loop;
    double left = (double)(t->deadline_us - clock_mono_us()) / 1e6;
    ev_timer_stop(loop, &t->deadline);
    ev_now_update(loop);
    ev_timer_set(&t->deadline, left > 0 ? left : 0, 0);
    ev_timer_start(loop, &t->deadline);
}

/* ---- life --------------------------------------------------------------------------------- */

static int new_thread(lua_State *L)
{
    struct task *t = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_unref(L, LUA_REGISTRYINDEX, t->co_ref);
    t->co = co;
    t->co_ref = ref;
    return 0;
}

/* A coroutine of its own for the task; the one it had, if any, is dropped. */
static int give_thread(struct task *t)
{
    lua_State *L = t->vm->L;
    lua_pushcfunction(L, new_thread);
    lua_pushlightuserdata(L, t);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK)
        lua_settop(L, 0);
    return status == LUA_OK ? 0 : -1;
}

int task_init(struct task *t, struct vm *vm, int holder)
{
    memset(t, 0, sizeof *t);
    list_init(&t->node);
    t->vm = vm;
    t->holder = holder;
    t->co_ref = LUA_NOREF;
    ev_init(&t->deadline, on_deadline);
    ev_set_priority(&t->deadline, EV_MINPRI); /* answers that have come count first */
    t->deadline.data = t;
    if (vm->ports.waited && !(t->note = calloc(1, sizeof *t->note)))
        return -1;
    return give_thread(t);
}

void task_free(struct task *t)
{
    free(t->note);
    ev_timer_stop(t->vm->ports.loop, &t->deadline);
    verdict_clear(&t->verdict);
}

void task_begin(struct task *t, enum task_work work, struct job *job)
{
    const struct vm_options *o = &t->vm->options;
    t->state = TASK_FRESH;
    t->work = work;
    t->job = job;
    t->generation++;
    t->kill = KILL_NONE;
    t->last_words = t->hard = t->cancel_wanted = t->waiting = false;
    t->built = (struct built){0};
    t->cancel = NULL;
    t->chain_length = 0;
    t->started_us = clock_mono_us();
    t->cpu_used_us = 0;
    t->cpu_limit_us = work == WORK_JOB ? (int64_t)(o->limit_cpu_s * 1e6) : TASK_LOAD_CPU_US;
    verdict_clear(&t->verdict);
    mem_open(&t->vm->mem, t->holder);
    list_append(&t->vm->ready, &t->node);
}

/* Its time runs from here, not from task_begin: a neighbour may have run in between. */
static void start_clock(struct task *t)
{
    t->started_us = clock_mono_us();
    t->deadline_us = t->started_us + (int64_t)(t->vm->options.limit_time_s * 1e6);
    start_deadline(t);
}

static void set_at_work(struct task *t, bool at_work)
{
    if (t->job)
        atomic_store_explicit(&t->job->at_work, at_work, memory_order_relaxed);
}

static void give_verdict(struct task *t)
{
    struct vm *vm = t->vm;
    struct job *job = t->job;
    set_at_work(t, false);
    t->job = NULL;
    verdict_give(&t->verdict, job);
    job->generation = vm->options.generation;
    job->started_us = t->started_us;
    job->duration_us = clock_mono_us() - t->started_us;
    counts_run(&vm->counts, job);
    vm->open--;
    vm->ports.verdict(vm->ports.arg, job);
}

/* The end of load and init. */
static void give_state(struct task *t)
{
    struct vm *vm = t->vm;
    const struct verdict *v = &t->verdict;
    const char *source = v->source ? v->source : "";
    bool good = v->outcome == OUTCOME_ACK;
    if (t->work == WORK_INIT && good && vm->options.selftest && vm->selftest_ref != LUA_NOREF)
        vm->selftest_due = true;
    else if (t->work != WORK_LOAD)
        vm->init_state = good ? VM_INIT_READY : VM_INIT_FAILED;
    if (good)
        vm->load_error.text[0] = '\0';
    else if (*v->at && v->reason && strncmp(v->reason, v->at, strlen(v->at)) != 0)
        err_set(&vm->load_error, 0, "%s: %s%s%s", v->at, v->reason, *source ? "\n" : "", source);
    else
        err_set(&vm->load_error, 0, "%s%s%s", v->reason ? v->reason : "no memory",
                *source ? "\n" : "", source);
    verdict_clear(&t->verdict);
}

static void end(struct task *t)
{
    if (t->kill != KILL_NONE)
        task_kill_verdict(t);
    ev_timer_stop(t->vm->ports.loop, &t->deadline);
    list_remove(&t->node);
    mem_close(&t->vm->mem, t->holder);
    t->state = TASK_IDLE;
    t->chain_length = 0;
    t->generation++;
    if (t->work == WORK_JOB)
        give_verdict(t);
    else
        give_state(t);
}

/* Its coroutine ended in a way that it cannot be used again: a memory error before the handler
 * was entered, or it would not end. Lua up to 5.4.7 keeps the message handler and the ban on
 * hooks of such a coroutine, so it is replaced; with no memory for that it is used as it is. */
static void reset(struct task *t)
{
    budget_enter(&t->vm->budget, t->co, 0, TASK_GRACE_US, INT64_MAX);
    lua_resetthread(t->co);
    budget_leave(&t->vm->budget);
    lua_settop(t->co, 0);
    give_thread(t);
}

int task_resume(struct vm *vm, lua_State *co, lua_State *from, int nargs, int *results)
{
    struct entry entry = {co, vm->entry};
    vm->entry = &entry;
    budget_switch(&vm->budget, co);
    int status = lua_resume(co, from, nargs, results);
    vm->entry = entry.up;
    budget_switch(&vm->budget, from);
    return status;
}

static int slice(struct task *t)
{
    struct vm *vm = t->vm;
    int nargs = 0;
    int results = 0;
    if (t->state == TASK_FRESH) {
        lua_pushcfunction(t->co, task_main); /* neither push allocates */
        lua_pushlightuserdata(t->co, t);
        nargs = 1;
    }
    t->state = TASK_RUNNING;
    vm->current = t;
    mem_charge(&vm->mem, t->holder);
    budget_enter(&vm->budget, t->co, t->cpu_used_us, t->cpu_limit_us, t->deadline_us);
    if (t->kill == KILL_YIELD || t->hard)
        budget_tighten(&vm->budget, t->co);
    int status = task_resume(vm, t->co, NULL, nargs, &results);
    t->cpu_used_us = budget_leave(&vm->budget);
    mem_charge(&vm->mem, 0);
    vm->current = NULL;
    if (status == LUA_YIELD)
        lua_pop(t->co, results);
    return status;
}

void task_run(struct task *t)
{
    list_remove(&t->node);
    if (t->state == TASK_FRESH && t->job && atomic_load(&t->job->fence))
        t->kill = KILL_CANCELLED;
    if (t->state == TASK_FRESH && t->kill != KILL_NONE) {
        end(t);
        return;
    }
    if (t->state == TASK_FRESH)
        start_clock(t);
    if (t->job)
        t->job->ran = true;
    set_at_work(t, true);
    if (t->state == TASK_FRESH && t->job && t->job->envelope.refused) {
        verdict_set(&t->verdict, OUTCOME_REJECT, "envelope", "%s", t->job->envelope.refused);
        end(t);
        return;
    }
    int strays = 0;
    for (;;) {
        int status = slice(t);
        switch (status) {
        case LUA_YIELD:
            if (t->waiting) {
                t->state = TASK_SUSPENDED;
                set_at_work(t, false);
                return;
            }
            if (t->kill != KILL_NONE) {
                t->hard = true;
            } else {
                t->kill = KILL_YIELD;
                verdict_note_place(t->co, &t->verdict, NULL);
            }
            if (++strays < STRAY_YIELDS_MAX)
                continue;
            reset(t);
            break;
        case LUA_OK:
            lua_settop(t->co, 0);
            break;
        default: /* LUA_ERRMEM; anything else is caught inside */
            verdict_set(&t->verdict, OUTCOME_RETRY, "memory",
                        "not enough memory to run the handler: limits.memory is %zu bytes",
                        t->vm->options.limit_memory_bytes);
            reset(t);
        }
        end(t);
        return;
    }
}

/* ---- for bindings ------------------------------------------------------------------------- */

void task_check_alive(lua_State *L)
{
    struct task *t = vm_of(L)->current;
    if (t && t->kill != KILL_NONE)
        task_raise_kill(L, t);
}

struct task *task_check_wait(lua_State *L, const char *function)
{
    struct vm *vm = vm_of(L);
    struct task *t = vm->current;
    task_check_alive(L);
    if (!t || t->work == WORK_LOAD)
        raise_misuse(L, "%s cannot be called while the handler loads: move it into init or handle",
                     function);
    int depth = 0;
    for (const struct entry *e = vm->entry; e; e = e->up, depth++) {
        if (!lua_isyieldable(e->L))
            raise_misuse(L,
                         "%s cannot wait here: it was called from inside a C function such as "
                         "string.gsub, table.sort or require",
                         function);
    }
    if (depth > TASK_CHAIN_MAX)
        raise_misuse(L, "%s cannot wait inside more than %d nested coroutines", function,
                     TASK_CHAIN_MAX - 1);
    if (t->cancel_wanted)
        t->kill = KILL_CANCELLED;
    else if (clock_mono_us() >= t->deadline_us)
        t->kill = KILL_TIME;
    task_check_alive(L);
    t->wait_call = function;
    t->wait_began_us = clock_mono_us();
    if (t->note)
        *t->note = (struct task_note){0};
    if (t->job && atomic_load(&t->job->lease_lost)) {
        raise_push(L, "lease_lost",
                   "%s: the message's lease has lapsed, others may have received it", function);
        raise_flag(L, "retryable", true);
        lua_error(L);
    }
    return t;
}

int task_wait(lua_State *L, struct task *t, void (*cancel)(void *), void *data, lua_KFunction k)
{
    t->waiting = true;
    t->wait_number++;
    t->cancel = cancel;
    t->cancel_data = data;
    t->chain_length = 0;
    for (const struct entry *e = t->vm->entry; e && e->up; e = e->up)
        t->chain[t->chain_length++] = e->L;
    return lua_yieldk(L, 0, (lua_KContext)t->wait_number, k);
}

struct task *task_back(lua_State *L, lua_KContext number)
{
    struct task *t = vm_of(L)->current;
    if (!t || !t->waiting || (lua_KContext)t->wait_number != number)
        raise_misuse(L, "a coroutine that waits in a binding was resumed by somebody else");
    t->waiting = false;
    t->chain_length = 0;
    task_note_end(t, clock_mono_us() - t->wait_began_us);
    task_check_alive(L);
    return t;
}

void task_note(struct task *t, const char *format, ...)
{
    if (!t->note)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(t->note->what, sizeof t->note->what, format, args);
    va_end(args);
}

void task_note_result(struct task *t, const char *format, ...)
{
    if (!t->note)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(t->note->result, sizeof t->note->result, format, args);
    va_end(args);
}

void task_note_end(struct task *t, int64_t took_us)
{
    if (!t->note || t->work != WORK_JOB)
        return;
    const struct vm_wait wait = {.call = t->wait_call,
                                 .what = t->note->what,
                                 .result = t->note->result,
                                 .began_us = t->wait_began_us - t->started_us,
                                 .took_us = took_us};
    t->vm->ports.waited(t->vm->ports.arg, &wait);
}

void task_ready(struct task *t)
{
    t->cancel = NULL;
    if (t->state == TASK_SUSPENDED && list_empty(&t->node))
        list_append(&t->vm->ready, &t->node);
}

void task_check_fence(lua_State *L, struct task *t)
{
    if (!t->cancel_wanted && !(t->job && atomic_load(&t->job->fence)))
        return;
    t->kill = KILL_CANCELLED;
    task_raise_kill(L, t);
}

bool task_owns(const struct vm *vm, const lua_State *co)
{
    for (int i = 0; i < vm->task_count; i++) {
        const struct task *t = &vm->tasks[i];
        if (t->co == co)
            return true;
        for (int c = 0; c < t->chain_length; c++) {
            if (t->chain[c] == co)
                return true;
        }
    }
    return false;
}

int64_t task_left_ms(const struct task *t)
{
    int64_t left = (t->deadline_us - clock_mono_us()) / 1000;
    return left > 0 ? left : 0;
}

void task_extend(struct task *t, double seconds)
{
    int64_t latest = t->started_us + (int64_t)EXTEND_MAX_S * 1000000;
    t->deadline_us += (int64_t)(fmin(seconds, EXTEND_MAX_S) * 1e6);
    if (t->deadline_us > latest)
        t->deadline_us = latest;
    t->vm->budget.deadline_us = t->deadline_us;
    start_deadline(t);
}
