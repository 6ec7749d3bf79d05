/* A worker's Lua side: one closed-down Lua state that runs `handle(msg)` as a coroutine per
 * message, up to `slots` at once. Belongs to one thread and one loop; no function here calls
 * back except through the ports, and the ports' functions are called from vm_turn, vm_load or
 * vm_free only.
 *
 * Life: vm_new, vm_load (compiles, runs the load phase), vm_begin_init (M.init as a task of
 * its own), vm_turn until vm_init_state says ready; then vm_run as jobs come, vm_turn after
 * each turn of the loop, vm_free. */
#ifndef VM_VM_H
#define VM_VM_H

#include "base/err.h"
#include "base/list.h"
#include "job.h"
#include "token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board;
struct bundle;
struct ev_loop;
struct fetch;
struct cache;
struct metrics;
struct vm;

struct vm_options {
    const char *handler_path; /* shown in messages; `require` looks beside it */
    struct bundle *bundle;    /* its files; NULL: read from the disk, each when it is needed */
    const char *source;       /* the handler's text, if it is in no file. NULL: of the bundle */
    size_t source_len;
    uint32_t generation;
    const char *queue_name;   /* msg.queue */
    const char *handler_json; /* the configuration's `handler` block as JSON, "{}" if none */
    double limit_time_s;
    double limit_cpu_s;
    size_t limit_memory_bytes;
    int slots;
    int http_timeout_ms;
    int http_connect_timeout_ms;
    size_t http_max_body_bytes;
    int64_t retry_after_max_ms; /* of a server's Retry-After */
    struct board *board;        /* which targets are open; NULL: none ever is */
    const char *http_allow;     /* comma-separated hosts that host.http may call; NULL: all */
    const char *keycloak_url;   /* NULL: not configured */
    const char *keycloak_realm;
    const char *keycloak_auth_realm; /* NULL: the realm */
    bool selftest;                   /* M.selftest runs after M.init, as a part of it */
    /* Tests and dry runs: host.sleep takes no time, the message's clock moves instead. */
    bool sleeps_at_once;
    const struct vm_stage *stage; /* of what runs handlers itself: tests, `invoke`. Or NULL */
};

/* What tests and tools in Lua (host.stage) ask of whoever runs them. Called from the vm's thread,
 * while its Lua code runs. */
struct vm_stage {
    void *arg;
    /* stage.read(url): what Keycloak answers to a GET. The HTTP status with the body, or -1 with
     * words; the text stays until the next one. NULL: there is no Keycloak to ask. */
    int (*read)(void *arg, const char *url, const char **text, size_t *len);
    const char *(*timeline)(void *arg);         /* stage.timeline(): JSON; NULL: none is kept */
    void (*found)(void *arg, const char *name); /* a case, while the file loads */
    void (*say)(void *arg, const char *words);  /* lines; in tests: why the case that runs fails */
    /* Runs `job` through a handler, a file beside the tests, until its verdict stands in the job,
     * which stays the caller's. -1: the handler does not load; `e` says why. */
    int (*run)(void *arg, const char *handler, struct job *job, struct err *e);
};

/* A wait of a task that has ended, for `host invoke --trace`. Times since the run's start. */
struct vm_wait {
    const char *call;   /* "host.http", "host.sleep" … */
    const char *what;   /* "GET https://…", "2 s"; "" if the name says it all */
    const char *result; /* "200", "timeout"; "" if there is nothing to say */
    int64_t began_us;
    int64_t took_us;
};

struct vm_ports {
    struct ev_loop *loop;
    struct fetch *fetch;
    struct cache *cache;     /* the process's (vm/cache.h); NULL: host.cache cannot be used */
    struct metrics *metrics; /* NULL: nothing is counted */
    int writer;              /* of its metrics */
    void *arg;
    void (*verdict)(void *arg, struct job *job);             /* ownership goes home */
    void (*ask_token)(void *arg, struct token_request *req); /* answered by vm_token_answer */
    void (*waited)(void *arg, const struct vm_wait *wait);   /* NULL: nobody wants to know */
};

/* The options' strings must outlive the vm. It takes a reference of the bundle. */
struct vm *vm_new(const struct vm_options *options, const struct vm_ports *ports, struct err *e);
/* All tasks are ended first: each job's verdict comes as RELEASE if it sent nothing, RETRY
 * otherwise. */
void vm_free(struct vm *vm);

/* -1: the handler does not compile, raised while loading, or has no `handle`; the text names
 * file and line. */
int vm_load(struct vm *vm, struct err *e);

void vm_begin_init(struct vm *vm);
enum vm_init { VM_INIT_RUNNING, VM_INIT_READY, VM_INIT_FAILED };
enum vm_init vm_init_state(struct vm *vm, struct err *e);

/* Queues the job; it starts at the next vm_turn. The caller never has more than `slots` open. */
void vm_run(struct vm *vm, struct job *job);

/* Ends the job's task at the next vm_turn, if it has not ended by itself: the verdict says
 * RELEASE if nothing was sent; a task that has sent goes on if its request is on the wire and
 * ends when the answer has come (its fence keeps it from sending again). */
void vm_cancel(struct vm *vm, struct job *job);

/* Runs every task that can run. The only place from which Lua code is entered after loading. */
void vm_turn(struct vm *vm);

/* The core's answer to ask_token; may come for a task that is dead: then it is dropped. */
void vm_token_answer(struct vm *vm, struct token_request *req);

/* While a vm with a stage is inside stage->run: lets its tests answer a request of the handler's.
 */
struct fetch_request;
struct fetch_played;
void vm_answer(struct vm *vm, const struct fetch_request *request, struct fetch_played *answer);

int vm_tasks(const struct vm *vm); /* open */
uint32_t vm_serial(const struct vm *vm);
size_t vm_memory_bytes(const struct vm *vm);

#endif
