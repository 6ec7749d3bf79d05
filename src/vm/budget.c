#include "vm/budget.h"

#include "base/clock.h"

#include <lua.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TICK_MAX_US = 10000,
    TICK_MIN_US = 1000,
    HOOK_COUNT = 10000, /* instructions between two looks at the clock, without a timer */
};

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The budget whose task runs on this thread. The handler reads nothing else, so that a signal
 * that comes late, after budget_free, finds nothing to touch. */
static _Thread_local struct budget *volatile active;

static int tick_signal(void)
{
    return SIGRTMIN + 3;
}

/* Async-signal-safe: volatile fields of this thread, clock_gettime, lua_sethook. */
static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    struct budget *b = active;
    if (!b || info->si_value.sival_ptr != b)
        return;
    b->used_us += b->tick_us * (1 + info->si_overrun);
    lua_State *L = b->running;
    if (L && budget_over(b) != BUDGET_LEFT)
        lua_sethook(L, b->hook, LUA_MASKCOUNT, 1);
}

static pthread_once_t handler_once = PTHREAD_ONCE_INIT;
static bool handler_set;

static void set_handler(void)
{
#if !defined(__SANITIZE_THREAD__)
    struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    handler_set = sigaction(tick_signal(), &action, NULL) == 0;
#else
    (void)on_tick;
#endif
}

/* The timer counts the CPU of the thread that makes it, so it is made where the state runs. */
static void start_timer(struct budget *b)
{
    b->thread = (unsigned long)pthread_self();
    b->by_hook = true;
    pthread_once(&handler_once, set_handler);
    if (!handler_set)
        return;
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = tick_signal();
    event.sigev_value.sival_ptr = b;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    struct itimerspec every = {.it_interval.tv_nsec = b->tick_us * 1000,
                               .it_value.tv_nsec = b->tick_us * 1000};
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &b->id) != 0)
        return;
    if (timer_settime(b->id, 0, &every, NULL) != 0) {
        timer_delete(b->id);
        return;
    }
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, tick_signal());
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    b->timer = true;
    b->by_hook = false;
}

void budget_init(struct budget *b, double limit_s, void (*hook)(lua_State *, lua_Debug *))
{
    memset(b, 0, sizeof *b);
    b->hook = hook;
    double tick = limit_s * 1e6 / 16;
    b->tick_us = tick < TICK_MIN_US   ? TICK_MIN_US
                 : tick > TICK_MAX_US ? TICK_MAX_US
                                      : (int64_t)tick;
}

void budget_free(struct budget *b)
{
    if (b->timer)
        timer_delete(b->id);
    b->timer = false;
}

void budget_enter(struct budget *b, lua_State *L, int64_t used_us, int64_t limit_us,
                  int64_t deadline_us)
{
    if (b->thread != (unsigned long)pthread_self()) {
        budget_free(b);
        start_timer(b);
    }
    b->used_us = used_us;
    b->limit_us = limit_us;
    b->deadline_us = deadline_us;
    if (b->by_hook)
        b->slice_start_us = clock_thread_cpu_us();
    budget_relax(b, L);
    b->running = L;
    b->outer = active; /* a test's, that runs a handler */
    active = b;
}

static void charge_slice(struct budget *b)
{
    int64_t now = clock_thread_cpu_us();
    b->used_us += now - b->slice_start_us;
    b->slice_start_us = now;
}

int64_t budget_leave(struct budget *b)
{
    active = b->outer;
    b->running = NULL;
    if (b->by_hook)
        charge_slice(b);
    return b->used_us;
}

void budget_switch(struct budget *b, lua_State *L)
{
    b->running = L;
}

enum budget_over budget_over(struct budget *b)
{
    if (b->by_hook)
        charge_slice(b);
    if (b->used_us >= b->limit_us)
        return BUDGET_CPU;
    if (b->deadline_us != INT64_MAX && clock_mono_us() >= b->deadline_us)
        return BUDGET_WALL;
    return BUDGET_LEFT;
}

void budget_relax(struct budget *b, lua_State *L)
{
    if (b->by_hook)
        lua_sethook(L, b->hook, LUA_MASKCOUNT, HOOK_COUNT);
    else if (lua_gethookmask(L))
        lua_sethook(L, NULL, 0, 0);
}

void budget_tighten(struct budget *b, lua_State *L)
{
    lua_sethook(L, b->hook, LUA_MASKCOUNT, 1);
}
