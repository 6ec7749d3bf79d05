/* Allocations that fail: no answer is a wrong one, and nothing leaks. What a body is, or has for a
 * key, is not known then, and the message must be left for later. json-c does not survive a failed
 * allocation amid a text, so only what comes before and after one is tried here. In a sanitizer's
 * build the allocator is the sanitizer's, and nothing fails. */
#include "policy/body_key.h"
#include "policy/dedupe.h"
#include "policy/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "failing_memory.h"

static void a_body_that_cannot_be_read(void **state)
{
    (void)state;
    static const char sns[] = "{\"Type\":\"Notification\",\"TopicArn\":\"t\",\"Message\":\"x\"}";
    static const unsigned unwraps[] = {UNWRAP_SNS, UNWRAP_EVENTBRIDGE,
                                       UNWRAP_SNS | UNWRAP_EVENTBRIDGE | UNWRAP_ELSE_BARE};
    long before = memory_held();
    for (size_t i = 0; i < sizeof unwraps / sizeof *unwraps; i++) {
        struct envelope e;
        left = 0;
        int rc = envelope_open(unwraps[i], sns, sizeof sns - 1, &e);
        left = -1;
        assert_int_equal(rc, OWN_ALLOCATOR ? -1 : 0);
        assert_true(!OWN_ALLOCATOR || !e.refused);
        envelope_close(&e);
    }
    assert_int_equal(memory_held(), before);
}

/* From the last allocation back to the one that its words need: libc can do without shrinking them.
 */
static void a_refusal_without_words(void **state)
{
    (void)state;
    static const char body[] = "not JSON";
    struct envelope e;
    long before = memory_held();
    int rc = OWN_ALLOCATOR ? 0 : -1;
    for (long n = 20; n >= 0 && rc == 0; n--) {
        left = n;
        rc = envelope_open(UNWRAP_SNS, body, sizeof body - 1, &e);
        left = -1;
        assert_true(rc == 0 ? strstr(e.refused, "no JSON") != NULL : e.refused == NULL);
        envelope_close(&e);
        assert_int_equal(memory_held(), before);
    }
    assert_int_equal(rc, -1);
}

static void a_key_that_cannot_be_had(void **state)
{
    (void)state;
    static const char body[] = "{\"id\":\"k\"}";
    const char *why = "untouched";
    long before = memory_held();
    left = 0;
    char *key = body_key(body, sizeof body - 1, "/id", &why);
    left = -1;
    assert_true(!OWN_ALLOCATOR || !key);
    free(key);
    assert_null(why);
    key = body_key(body, sizeof body - 1, "/id", &why);
    assert_string_equal(key, "k");
    free(key);
    assert_null(body_key("[]", 2, "/id", &why));
    assert_string_equal(why, "nothing stands there");
    assert_int_equal(memory_held(), before);
}

/* One place cannot be had; whoever has one keeps it, and nothing that was acked is forgotten. */
static int acks_with_one_failure(long at)
{
    enum { KEYS = 600 };
    int refused = 0;
    char key[16];
    struct dedupe *d = dedupe_new(3600000, 100000);
    left = at;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        enum dedupe_answer answer = dedupe_claim(d, key, 7, 1000);
        if (answer == DEDUPE_NO_MEMORY) {
            refused++;
            assert_int_equal(dedupe_claimed(d), 0);
            answer = dedupe_claim(d, key, 7, 1000);
        }
        assert_int_equal(answer, DEDUPE_NEW);
        dedupe_done(d, key, 7, 1000);
    }
    left = -1;
    assert_int_equal(dedupe_count(d), KEYS);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dedupe_claim(d, key, 7, 1000), DEDUPE_DONE);
    }
    dedupe_free(d);
    return refused;
}

static void a_place_that_cannot_be_had(void **state)
{
    (void)state;
    long before = memory_held(), at = 0;
    while (acks_with_one_failure(at) > 0) {
        assert_int_equal(memory_held(), before);
        at++;
    }
    assert_int_equal(memory_held(), before);
    assert_true(!OWN_ALLOCATOR || at >= 6); /* three for each size it grows to */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_cannot_be_read),
        cmocka_unit_test(a_refusal_without_words),
        cmocka_unit_test(a_key_that_cannot_be_had),
        cmocka_unit_test(a_place_that_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
