#include "policy/dedupe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void ack(struct dedupe *d, const char *key, uint64_t body, int64_t now_ms)
{
    assert_int_equal(dedupe_claim(d, key, body, now_ms), DEDUPE_NEW);
    dedupe_done(d, key, body, now_ms);
}

static void same_key_and_body_is_done(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    ack(d, "a", 7, 0);
    assert_int_equal(dedupe_claim(d, "a", 7, 3), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "b", 7, 3), DEDUPE_NEW);
    dedupe_free(d);
}

/* Both bodies of a key stay remembered: a late delivery of the first is still a duplicate. */
static void other_body_is_another_event(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    ack(d, "a", 7, 0);
    ack(d, "a", 8, 1);
    assert_int_equal(dedupe_claim(d, "a", 7, 2), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "a", 8, 2), DEDUPE_DONE);
    assert_int_equal(dedupe_count(d), 2);
    dedupe_free(d);
}

/* The original consumer never freed a failed id: the message was never tried again. */
static void failure_leaves_nothing(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    assert_int_equal(dedupe_claimed(d), 1);
    dedupe_forget(d);
    assert_int_equal(dedupe_claimed(d), 0);
    assert_int_equal(dedupe_count(d), 0);
    assert_int_equal(dedupe_claim(d, "a", 7, 1), DEDUPE_NEW);
    dedupe_free(d);
}

static void ttl_counts_from_done(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    dedupe_done(d, "a", 7, 500);
    assert_int_equal(dedupe_claim(d, "a", 7, 1499), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "a", 7, 1500), DEDUPE_NEW);
    dedupe_free(d);
}

/* Two runs of the same, which a lost claim can bring about: the later ack counts. */
static void an_ack_after_the_ttl_is_another(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    assert_int_equal(dedupe_claim(d, "a", 7, 0), DEDUPE_NEW);
    dedupe_done(d, "a", 7, 0);
    dedupe_done(d, "a", 7, 1500);
    assert_int_equal(dedupe_claim(d, "a", 7, 2499), DEDUPE_DONE);
    dedupe_free(d);
}

/* Half the clock is kept of each ack: it must not come round, not even after a year of silence. */
static void clock_does_not_come_round(void **state)
{
    (void)state;
    int64_t turn_ms = INT64_C(1) << 32, start_ms = turn_ms - 10;
    struct dedupe *d = dedupe_new(1000, 10);
    ack(d, "a", 7, start_ms);
    assert_int_equal(dedupe_claim(d, "a", 7, start_ms + 999), DEDUPE_DONE);
    assert_int_equal(dedupe_claim(d, "a", 7, start_ms + turn_ms), DEDUPE_NEW);
    dedupe_free(d);
}

static void oldest_goes_and_the_ring_goes_round(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000000, 100);
    char key[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ack(d, key, 1, i);
        assert_in_range(dedupe_count(d), 1, 100);
        for (int old = i - 110; old <= i; old += 7) {
            snprintf(key, sizeof key, "k%d", old);
            enum dedupe_answer wanted = old >= 0 && old > i - 100 ? DEDUPE_DONE : DEDUPE_NEW;
            assert_int_equal(dedupe_claim(d, key, 1, i), wanted);
            if (wanted == DEDUPE_NEW)
                dedupe_forget(d);
        }
    }
    assert_int_equal(dedupe_capacity(d), 100);
    dedupe_free(d);
}

/* Whatever is claimed has a place, however many there are. */
static void many_claims_all_become_done(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct dedupe *d = dedupe_new(1000000, MANY);
    char key[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dedupe_claim(d, key, (uint64_t)i, i), DEDUPE_NEW);
    }
    assert_int_equal(dedupe_claimed(d), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        dedupe_done(d, key, (uint64_t)i, MANY + i);
    }
    assert_int_equal(dedupe_claimed(d), 0);
    assert_int_equal(dedupe_count(d), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dedupe_claim(d, key, (uint64_t)i, 2 * MANY), DEDUPE_DONE);
        assert_int_equal(dedupe_claim(d, key, (uint64_t)i + 1, 2 * MANY), DEDUPE_NEW);
        dedupe_forget(d);
    }
    dedupe_free(d);
}

/* Expiry empties places in the middle of runs in the index: what stands behind is still found. */
static void found_after_others_went(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(50, 3000);
    char key[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ack(d, key, 9, i);
        for (int old = i; old >= 0 && old > i - 60; old -= 9) {
            snprintf(key, sizeof key, "k%d", old);
            enum dedupe_answer answer = dedupe_claim(d, key, 9, i);
            assert_int_equal(answer, i - old < 50 ? DEDUPE_DONE : DEDUPE_NEW);
            if (answer == DEDUPE_NEW)
                dedupe_forget(d);
        }
    }
    dedupe_free(d);
}

/* Memory is taken as there is need for it. */
static void room_grows_with_the_need(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 100);
    assert_int_equal(dedupe_capacity(d), 0);
    for (uint64_t i = 1; i <= 48; i++) {
        assert_int_equal(dedupe_claim(d, "a", i, 0), DEDUPE_NEW);
        assert_int_equal(dedupe_capacity(d), 48);
    }
    assert_int_equal(dedupe_claim(d, "a", 49, 0), DEDUPE_NEW);
    assert_int_equal(dedupe_capacity(d), 96);
    dedupe_free(d);
    dedupe_free(NULL);
}

static void unknown_keys_are_ignored(void **state)
{
    (void)state;
    struct dedupe *d = dedupe_new(1000, 10);
    dedupe_done(d, "nobody", 1, 1);
    dedupe_forget(d);
    assert_int_equal(dedupe_count(d), 0);
    assert_int_equal(dedupe_claimed(d), 0);
    dedupe_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_key_and_body_is_done),
        cmocka_unit_test(other_body_is_another_event),
        cmocka_unit_test(failure_leaves_nothing),
        cmocka_unit_test(ttl_counts_from_done),
        cmocka_unit_test(an_ack_after_the_ttl_is_another),
        cmocka_unit_test(clock_does_not_come_round),
        cmocka_unit_test(oldest_goes_and_the_ring_goes_round),
        cmocka_unit_test(many_claims_all_become_done),
        cmocka_unit_test(found_after_others_went),
        cmocka_unit_test(room_grows_with_the_need),
        cmocka_unit_test(unknown_keys_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
