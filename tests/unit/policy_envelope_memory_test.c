/* Allocations that fail: no answer is a wrong one, and nothing leaks. What a body is, or has for a
 * key, is not known then, and the message must be left for later. json-c does not survive a failed
 * allocation amid a text, so only what comes before and after one is tried here. In a sanitizer's
 * build the allocator is the sanitizer's, and nothing fails. */
#include "policy/body_key.h"
#include "policy/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static void open_and_close(void)
{
    static const char *const bodies[] = {
        "[1]", "{}", "not JSON", "{\"Type\":\"Notification\",\"TopicArn\":\"t\"}",
        "{\"Type\":\"Notification\",\"TopicArn\":\"t\",\"Message\":\"x\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (int bare = 0; bare < 2; bare++) {
            struct envelope e;
            unsigned unwrap = UNWRAP_SNS | (bare ? UNWRAP_ELSE_BARE : 0);
            assert_int_equal(envelope_open(unwrap, bodies[i], strlen(bodies[i]), &e), 0);
            envelope_close(&e);
        }
}

/* Whatever came in it, or did not. */
static void an_envelope_is_given_back(void **state)
{
    (void)state;
    open_and_close(); /* what libraries keep for later, they have from here on */
    long before = memory_held();
    open_and_close();
    assert_int_equal(memory_held(), before);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_cannot_be_read),
        cmocka_unit_test(a_refusal_without_words),
        cmocka_unit_test(an_envelope_is_given_back),
        cmocka_unit_test(a_key_that_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
