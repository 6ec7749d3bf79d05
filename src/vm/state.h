/* What the files of this room share: the inside of `struct vm`, and how its Lua state is
 * opened. Not for other rooms: they have vm.h. */
#ifndef VM_STATE_H
#define VM_STATE_H

#include "base/metric.h"
#include "vm/budget.h"
#include "vm/cache.h"
#include "vm/count.h"
#include "vm/mem.h"
#include "vm/raise.h"
#include "vm/vm.h"

#include <stdbool.h>
#include <stdint.h>

struct ev_loop;
struct lua_State;
struct task;
struct entry;
struct realm;

enum vm_phase { PHASE_NEW, PHASE_LOADING, PHASE_LOADED };

struct vm {
    struct vm_options options;
    struct vm_ports ports;
    struct bundle *bundle;
    struct lua_State *L;
    struct mem mem;
    struct budget budget;
    struct counts counts;
    struct metric_part metrics; /* of its generation's, if they are counted */
    int metrics_declared;       /* by the handler: bind_metrics.c */
    enum vm_phase phase;

    struct task *tasks; /* `slots` for messages, and one more for loading and init */
    int task_count;
    struct task *current; /* the one whose Lua code runs; NULL: none */
    struct entry *entry;  /* the innermost coroutine that runs, and those that resumed it */
    struct list ready;    /* tasks to resume, by task->node */
    struct list queued;   /* jobs that wait for a free task, by job->node */
    struct list released; /* jobs cancelled before they had a task, by job->node */
    int open;             /* jobs in tasks, `queued` and `released` */

    int handle_ref; /* in the registry; LUA_NOREF: none */
    int init_ref;
    int selftest_ref;
    int loaded_ref; /* require's table of modules */
    enum vm_init init_state;
    bool selftest_due;     /* M.init has ended well */
    struct err load_error; /* of the load phase, then of init */

    struct cache_port cache;    /* host.cache; its `cache` is NULL without one */
    int64_t ahead_us;           /* sleeps that took no time (options.sleeps_at_once) */
    struct lua_State *on_stage; /* bind_test.c: the coroutine inside stage->run; or NULL */
    int answer_ref;             /* bind_test.c: host.test's answer to requests; or LUA_NOREF */

    struct realm *realms;      /* bind_token.c: tokens, and who waits for them */
    char keycloak_origin[256]; /* "scheme://host:port", always allowed; or "" */
};

/* The vm of any coroutine of its state. */
struct vm *vm_of(struct lua_State *L);

/* Opens the closed-down state with the standard library, and the host's own modules as
 * `require` finds them. -1: no memory, or options that cannot be. */
int state_open(struct vm *vm, struct err *e);

/* stdlib.c: replaces what the contract closes or bounds. The libraries are open. */
MAY_RAISE void stdlib_close_down(struct lua_State *L);
/* colib.c: the coroutine library, whose coroutines may wait in bindings and can be killed. */
MAY_RAISE int colib_open(struct lua_State *L);
/* require.c */
MAY_RAISE void require_open(struct lua_State *L, struct vm *vm);
/* Reads the handler's own text, or takes it from the options; then compiles it: a function is
 * pushed, or an error raised. */
MAY_RAISE void require_compile_handler(struct lua_State *L, struct vm *vm);

/* The file's base name, which stands for it in messages. */
const char *state_base_name(const char *path);

/* msg.c: pushes `msg` for the running task's job. */
MAY_RAISE void msg_push(struct lua_State *L, struct task *t);

/* The host's modules in C; each pushes its table. */
MAY_RAISE int bind_cache_open(struct lua_State *L);
MAY_RAISE int bind_host_open(struct lua_State *L);
MAY_RAISE int bind_http_open(struct lua_State *L);
MAY_RAISE int bind_log_open(struct lua_State *L);
MAY_RAISE int bind_metrics_open(struct lua_State *L);
MAY_RAISE int bind_test_open(struct lua_State *L);
MAY_RAISE int bind_token_open(struct lua_State *L);
void bind_token_free(struct vm *vm);
MAY_RAISE int bind_log_print(struct lua_State *L);

/* What host.retry and host.reject return. */
extern const char outcome_type_name[]; /* their metatable in the registry */

#endif
