/* Allocations of flow/ that fail: what the message waits for then, and that nothing hangs. In a
 * sanitizer's build the allocator is the sanitizer's, and this has nothing to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "flow_world.h"

#include <cmocka.h>

#include "failing_memory.h"

static struct world w;

static void begin(void)
{
    struct flow_options o = world_options();
    world_begin(&w, &o, 1, 4);
    w.random_set = true;
    w.random = 0;
}

/* A settlement: as if its call had failed. */
static void for_the_call(void **state)
{
    (void)state;
    begin();
    world_bring(&w, 1, 2);
    world_verdict(&w, "m1", OUTCOME_ACK);
    world_verdict(&w, "m2", OUTCOME_ACK);
    left = 0;
    world_pass(&w, 5);
    left = -1;
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 49);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    assert_int_equal(w.batches[0]->count, 2);
    world_answer_all(&w);
    assert_int_equal(flow_counts(w.flow)->acked, 2);
    assert_int_equal(flow_counts(w.flow)->entries_failed, 0);
    world_end(&w);
}

/* An extension: again after a second, and the lease's end is noticed all the same. */
static void for_the_extension(void **state)
{
    (void)state;
    begin();
    world_bring(&w, 1, 1);
    left = 0;
    world_pass(&w, 15000);
    left = -1;
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 999);
    assert_int_equal(w.batch_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.batch_count, 1);
    world_answer_all(&w);
    for (int i = 0; i < 40; i++) {
        left = 0;
        world_pass(&w, 1000);
    }
    left = -1;
    assert_int_equal(flow_counts(w.flow)->lease_lost, 1);
    world_end(&w);
}

/* A dead letter's copy: as if it had failed. */
static void for_the_copy(void **state)
{
    (void)state;
    struct flow_options o = world_options();
    o.dead_letters = true;
    world_begin(&w, &o, 1, 4);
    w.random_set = true;
    world_bring(&w, 1, 1);
    left = 0;
    world_verdict(&w, "m1", OUTCOME_REJECT);
    left = -1;
    assert_int_equal(w.copy_count, 0);
    world_pass(&w, 99);
    assert_int_equal(w.copy_count, 0);
    world_pass(&w, 1);
    assert_int_equal(w.copy_count, 1);
    world_copied(&w, QUEUE_OK);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_JSON, (enum log_level)(LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_the_call),
        cmocka_unit_test(for_the_extension),
        cmocka_unit_test(for_the_copy),
    };
    return OWN_ALLOCATOR ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
