#include "vm/vm.h"

#include "base/log.h"
#include "net/fetch.h"
#include "vm/bundle.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ev.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vm *vm_new(const struct vm_options *options, const struct vm_ports *ports, struct err *e)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        err_set(e, 0, "no memory for a Lua state");
        return NULL;
    }
    vm->options = *options;
    vm->ports = *ports;
    list_init(&vm->ready);
    list_init(&vm->queued);
    list_init(&vm->released);
    vm->handle_ref = vm->init_ref = vm->selftest_ref = vm->answer_ref = LUA_NOREF;
    vm->init_state = VM_INIT_RUNNING;
    if (options->keycloak_url)
        fetch_origin(options->keycloak_url, vm->keycloak_origin, sizeof vm->keycloak_origin);
    if (ports->cache)
        cache_port_open(&vm->cache, ports->cache, ports->loop);
    budget_init(&vm->budget, options->limit_cpu_s, task_hook());
    vm->bundle = options->bundle ? bundle_ref(options->bundle)
                                 : bundle_new(options->handler_path, "{}", options->generation);
    if (!vm->bundle || mem_init(&vm->mem, options->limit_memory_bytes, options->slots + 1) != 0) {
        err_set(e, 0, "no memory for a Lua state");
        goto fail;
    }
    if (ports->metrics)
        metrics_join(ports->metrics, &vm->metrics, vm_serial(vm));
    if (counts_open(&vm->counts, ports->metrics, ports->writer, e) != 0 || state_open(vm, e) != 0)
        goto fail;
    vm->tasks = calloc((size_t)options->slots + 1, sizeof *vm->tasks);
    for (; vm->tasks && vm->task_count <= options->slots; vm->task_count++) {
        if (task_init(&vm->tasks[vm->task_count], vm, vm->task_count + 1) != 0)
            break;
    }
    if (vm->task_count == options->slots + 1)
        return vm;
    err_set(e, 0, "no memory for %d slots: limits.memory is %zu bytes", options->slots,
            options->limit_memory_bytes);
fail:
    vm_free(vm);
    return NULL;
}

static void release(struct vm *vm, struct job *job)
{
    list_remove(&job->node);
    job->outcome = OUTCOME_RELEASE;
    job->ran = false;
    vm->open--;
    vm->ports.verdict(vm->ports.arg, job);
}

static void release_all(struct vm *vm, struct list *jobs)
{
    while (!list_empty(jobs))
        release(vm, list_entry(list_first(jobs), struct job, node));
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    release_all(vm, &vm->released);
    release_all(vm, &vm->queued);
    for (int i = 0; i < vm->task_count; i++) {
        struct task *t = &vm->tasks[i];
        if (t->state == TASK_IDLE)
            continue;
        task_kill(t, KILL_CANCELLED);
        task_run(t);
    }
    for (int i = 0; i < vm->task_count; i++)
        task_free(&vm->tasks[i]);
    if (vm->L)
        lua_close(vm->L);
    if (vm->ports.metrics)
        metrics_leave(vm->ports.metrics, &vm->metrics);
    cache_port_close(&vm->cache);
    bind_token_free(vm);
    budget_free(&vm->budget);
    mem_free(&vm->mem);
    bundle_unref(vm->bundle);
    free(vm->tasks);
    free(vm);
}

/* ---- load and init: on the task that no message uses -------------------------------------- */

static struct task *own_task(struct vm *vm)
{
    return &vm->tasks[vm->task_count - 1];
}

int vm_load(struct vm *vm, struct err *e)
{
    task_begin(own_task(vm), WORK_LOAD, NULL);
    task_run(own_task(vm));
    if (vm->phase == PHASE_LOADED)
        return 0;
    /* Lua names the file by its base name: here the whole path helps. */
    const char *path = vm->options.handler_path;
    size_t base_len = strlen(state_base_name(path));
    const char *text = vm->load_error.text;
    bool named = strncmp(text, state_base_name(path), base_len) == 0 && text[base_len] == ':';
    return err_set(e, 0, "%s%s%s", path, named ? "" : ": ", named ? text + base_len : text);
}

void vm_begin_init(struct vm *vm)
{
    if (vm->init_ref != LUA_NOREF)
        task_begin(own_task(vm), WORK_INIT, NULL);
    else if (vm->options.selftest && vm->selftest_ref != LUA_NOREF)
        task_begin(own_task(vm), WORK_SELFTEST, NULL);
    else
        vm->init_state = VM_INIT_READY;
}

/* Not from inside the task that has just ended: it is the one that runs next. */
static void go_on_with_selftest(struct vm *vm)
{
    if (!vm->selftest_due)
        return;
    vm->selftest_due = false;
    task_begin(own_task(vm), WORK_SELFTEST, NULL);
}

enum vm_init vm_init_state(struct vm *vm, struct err *e)
{
    if (vm->init_state == VM_INIT_FAILED)
        err_set(e, 0, "%s: %s: %s", vm->options.handler_path,
                own_task(vm)->work == WORK_SELFTEST ? "selftest" : "init", vm->load_error.text);
    return vm->init_state;
}

/* ---- messages ----------------------------------------------------------------------------- */

void vm_run(struct vm *vm, struct job *job)
{
    vm->open++;
    list_append(&vm->queued, &job->node);
}

static struct task *task_of(struct vm *vm, const struct job *job)
{
    for (int i = 0; i < vm->task_count; i++) {
        if (vm->tasks[i].state != TASK_IDLE && vm->tasks[i].job == job)
            return &vm->tasks[i];
    }
    return NULL;
}

static bool is_in(const struct list *jobs, const struct job *job)
{
    list_for_each (node, jobs) {
        if (node == &job->node)
            return true;
    }
    return false;
}

void vm_cancel(struct vm *vm, struct job *job)
{
    struct task *t = task_of(vm, job);
    if (!t) {
        if (is_in(&vm->queued, job)) {
            list_remove(&job->node);
            list_append(&vm->released, &job->node);
        }
        return;
    }
    t->cancel_wanted = true;
    int64_t wire = atomic_load(&job->wire_until_ms);
    /* On the wire: the answer is worth waiting for, then the task goes as far as it gets
     * without waiting again. */
    if (wire == WIRE_NEVER || wire == WIRE_ANSWERED)
        task_kill(t, KILL_CANCELLED);
}

static struct task *idle_task(struct vm *vm)
{
    for (int i = 0; i < vm->task_count - 1; i++) {
        if (vm->tasks[i].state == TASK_IDLE)
            return &vm->tasks[i];
    }
    return NULL;
}

static void start_queued(struct vm *vm)
{
    struct task *t;
    while (!list_empty(&vm->queued) && (t = idle_task(vm)) != NULL) {
        struct job *job = list_entry(list_pop(&vm->queued), struct job, node);
        task_begin(t, WORK_JOB, job);
    }
}

/* After the limit was reached: collects, and ends the one who holds most if that was not
 * enough. The others went on on the reserve. */
static void relieve(struct vm *vm)
{
    struct mem *m = &vm->mem;
    m->pressed = false;
    lua_gc(vm->L, LUA_GCCOLLECT);
    if (m->used_bytes <= m->limit_bytes - m->limit_bytes / 16)
        return;
    int largest = mem_largest(m);
    if (largest && m->holders[largest].bytes > m->limit_bytes / 8) {
        task_kill(&vm->tasks[largest - 1], KILL_MEMORY);
        return;
    }
    static _Thread_local struct log_gate gate;
    int64_t held_back;
    if (log_gate_open(&gate, 60000, &held_back))
        log_with(LOG_ERROR, "the handler keeps too much memory outside of its messages",
                 LF_TEXT("handler", vm->options.handler_path),
                 LF_INT("used_bytes", (int64_t)m->used_bytes),
                 LF_INT("limit_bytes", (int64_t)m->limit_bytes));
}

void vm_turn(struct vm *vm)
{
    release_all(vm, &vm->released);
    start_queued(vm);
    while (!list_empty(&vm->ready)) {
        task_run(list_entry(list_first(&vm->ready), struct task, node));
        go_on_with_selftest(vm);
        if (vm->mem.pressed)
            relieve(vm);
        start_queued(vm);
    }
}

int vm_tasks(const struct vm *vm)
{
    return vm->open;
}

uint32_t vm_serial(const struct vm *vm)
{
    return bundle_serial(vm->bundle);
}

size_t vm_memory_bytes(const struct vm *vm)
{
    return vm->mem.used_bytes;
}
