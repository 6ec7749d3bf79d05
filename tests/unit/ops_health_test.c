#include "ops/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* A host that receives, and got its last answer a second ago. */
static const struct health_facts well = {.flow = true,
                                         .answered = true,
                                         .usable = true,
                                         .silent_ms = 1000,
                                         .receive_max_ms = 30000,
                                         .turn_ms = 5,
                                         .turn_max_ms = 61000};

static void expect(const struct health_facts *f, const char *dead, const char *unready)
{
    const char *words = health_dead(f);
    if (dead)
        assert_non_null(strstr(words ? words : "well", dead));
    else
        assert_null(words);
    words = health_unready(f);
    if (unready)
        assert_non_null(strstr(words ? words : "ready", unready));
    else
        assert_null(words);
}

static void a_host_that_receives_is_well(void **state)
{
    (void)state;
    struct health_facts f = well;
    expect(&f, NULL, NULL);
    f.silent_ms = 90000; /* three long polls: late, not stuck */
    expect(&f, NULL, NULL);
}

static void receiving_that_stands_still_is_not_alive(void **state)
{
    (void)state;
    struct health_facts f = well;
    f.silent_ms = 90001;
    expect(&f, "stands still", NULL);
}

static void who_leaves_for_stuck_workers_is_alive_and_not_ready(void **state)
{
    (void)state;
    struct health_facts f = well;
    f.stuck = f.stopping = true;
    expect(&f, NULL, "stuck in C code");
}

static void a_worker_that_is_stuck_is_not_alive(void **state)
{
    (void)state;
    struct health_facts f = well;
    f.turn_ms = 61001;
    expect(&f, "worker is stuck", NULL);
    f.stopping = true;
    expect(&f, "worker is stuck", "stopping");
}

/* A restart would bring back neither the queue nor Keycloak, and requeue what is in hand. */
static void an_outage_elsewhere_never_is(void **state)
{
    (void)state;
    struct health_facts f = well;
    f.held = true;
    f.silent_ms = 12 * 3600000;
    expect(&f, NULL, NULL); /* a target down, a pause: ready to go on */
    f.usable = false;
    expect(&f, NULL, "cannot be received from");
    f.answered = false;
    expect(&f, NULL, "not answered yet");
}

static void starting_and_stopping_are_alive_and_not_ready(void **state)
{
    (void)state;
    struct health_facts f = {.receive_max_ms = 30000, .turn_max_ms = 61000};
    expect(&f, NULL, "starting");
    f.stopping = true;
    expect(&f, NULL, "stopping");
    f = well;
    f.stopping = true;
    f.silent_ms = 600000;
    expect(&f, NULL, "stopping");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_receives_is_well),
        cmocka_unit_test(receiving_that_stands_still_is_not_alive),
        cmocka_unit_test(a_worker_that_is_stuck_is_not_alive),
        cmocka_unit_test(who_leaves_for_stuck_workers_is_alive_and_not_ready),
        cmocka_unit_test(an_outage_elsewhere_never_is),
        cmocka_unit_test(starting_and_stopping_are_alive_and_not_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
