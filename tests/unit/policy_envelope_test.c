#include "policy/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    SNS = UNWRAP_SNS,
    BRIDGE = UNWRAP_EVENTBRIDGE,
    AUTO = UNWRAP_SNS | UNWRAP_EVENTBRIDGE | UNWRAP_ELSE_BARE,
};

struct sample {
    unsigned unwrap;
    const char *body;
    const char *event;       /* NULL: refused, with the words of `why` */
    enum envelope_kind kind; /* of one that is not refused */
    const char *why;
};

#define NOTE(message)                                                                              \
    "{\"Type\" : \"Notification\", \"MessageId\" : \"i\", \"TopicArn\" : \"arn:t\", \"Message\" "  \
    ": " message "}"
#define BRIDGED(detail)                                                                            \
    "{\"version\":\"0\",\"id\":\"i\",\"detail-type\":\"made\",\"source\":\"shop\","                \
    "\"detail\":" detail "}"
#define CONFIRM                                                                                    \
    "{\"Type\":\"SubscriptionConfirmation\",\"TopicArn\":\"arn:t\",\"SubscribeURL\":\"https://"    \
    "x\"}"
#define POINTER                                                                                    \
    "[\"software.amazon.payloadoffloading.PayloadS3Pointer\",{\"s3BucketName\":\"b\",\"s3Key\":"   \
    "\"k\"}]"
#define OLD_POINTER                                                                                \
    " [ "                                                                                          \
    "\"com.amazon.sqs.javamessaging.MessageS3Pointer\",{\"s3BucketName\":\"b\",\"s3Key\":\"k\"}]"
#define POINTER_TEXT                                                                               \
    "\"[\\\"software.amazon.payloadoffloading.PayloadS3Pointer\\\",{\\\"s3Key\\\":\\\"k\\\"}]\""

static const struct sample samples[] = {
    /* bodies that are taken as they are */
    {0, "{\"a\":1}", "{\"a\":1}", ENVELOPE_ABSENT, NULL},
    {0, NOTE("\"x\""), NOTE("\"x\""), ENVELOPE_ABSENT, NULL},
    {0, "no json", "no json", ENVELOPE_ABSENT, NULL},
    {AUTO, "{\"a\":1}", "{\"a\":1}", ENVELOPE_ABSENT, NULL},
    {AUTO, "no json", "no json", ENVELOPE_ABSENT, NULL},
    {AUTO, "", "", ENVELOPE_ABSENT, NULL},
    {AUTO, "[1]", "[1]", ENVELOPE_ABSENT, NULL},
    {AUTO, "{\"Type\":\"Notification\"}", "{\"Type\":\"Notification\"}", ENVELOPE_ABSENT, NULL},
    {AUTO, "{\"Type\":\"Order\",\"TopicArn\":\"t\"}", "{\"Type\":\"Order\",\"TopicArn\":\"t\"}",
     ENVELOPE_ABSENT, NULL},
    {AUTO, BRIDGED("[1]"), BRIDGED("[1]"), ENVELOPE_ABSENT, NULL},
    /* SNS */
    {SNS, NOTE("\"{\\\"a\\\":1}\""), "{\"a\":1}", ENVELOPE_IS_SNS, NULL},
    {AUTO, NOTE("\"{\\\"a\\\":1}\""), "{\"a\":1}", ENVELOPE_IS_SNS, NULL},
    {SNS, NOTE("\"plain text\""), "plain text", ENVELOPE_IS_SNS, NULL},
    {SNS, NOTE("\"\""), "", ENVELOPE_IS_SNS, NULL},
    {AUTO, NOTE("\"z\\u00fcrich\""), "z\xc3\xbcrich", ENVELOPE_IS_SNS, NULL},
    {SNS, NOTE("{\"a\":1}"), NULL, ENVELOPE_ABSENT, "no text named Message"},
    {AUTO, NOTE("null"), NULL, ENVELOPE_ABSENT, "no text named Message"},
    {SNS, "{\"a\":1}", NULL, ENVELOPE_ABSENT, "TopicArn"},
    {SNS, "{\"a\":1}", NULL, ENVELOPE_ABSENT, "raw message delivery"},
    {SNS, "hello", NULL, ENVELOPE_ABSENT, "no JSON object"},
    {SNS, "", NULL, ENVELOPE_ABSENT, "no JSON object"},
    {SNS, "[1]", NULL, ENVELOPE_ABSENT, "no JSON object"},
    {SNS, "null", NULL, ENVELOPE_ABSENT, "no SNS notification"},
    {SNS, NOTE("\"x\"") "}", NULL, ENVELOPE_ABSENT, "no JSON object"},
    {SNS, CONFIRM, NULL, ENVELOPE_ABSENT, "SubscribeURL"},
    {AUTO, CONFIRM, NULL, ENVELOPE_ABSENT, "SubscriptionConfirmation for arn:t"},
    /* EventBridge: the detail as its sender wrote it, to the letter */
    {BRIDGE, BRIDGED("{\"n\":123456789012345678901234567890}"),
     "{\"n\":123456789012345678901234567890}", ENVELOPE_IS_EVENTBRIDGE, NULL},
    {AUTO, BRIDGED(" { \"a\" : 1.50, \"b\":[{},\"}\\\"],\"] } \n"),
     "{ \"a\" : 1.50, \"b\":[{},\"}\\\"],\"] } \n", ENVELOPE_IS_EVENTBRIDGE, NULL},
    {AUTO, "{\"detail\":{\"a\":1},\"source\":\"s\",\"x\":{\"detail\":{}},\"detail-type\":\"t\"}",
     "{\"a\":1}", ENVELOPE_IS_EVENTBRIDGE, NULL},
    {AUTO, "{\"detail\":{\"a\":1},\"source\":\"s\",\"detail-type\":\"t\",\"detail\":{\"a\":2}}",
     "{\"a\":2}", ENVELOPE_IS_EVENTBRIDGE, NULL},
    {BRIDGE, "{\"d\\u0065tail\":{},\"source\":\"s\",\"detail-type\":\"t\"}", NULL, ENVELOPE_ABSENT,
     "no object named detail"},
    {BRIDGE, BRIDGED("\"x\""), NULL, ENVELOPE_ABSENT, "no object named detail"},
    {BRIDGE, "{\"detail\":{},\"source\":\"s\"}", NULL, ENVELOPE_ABSENT, "named detail-type"},
    {BRIDGE, "{\"detail\":{},\"detail-type\":\"s\"}", NULL, ENVELOPE_ABSENT, "named source"},
    {BRIDGE, NOTE("\"x\""), NULL, ENVELOPE_ABSENT, "transformer"},
    {BRIDGE, "{}", NULL, ENVELOPE_ABSENT, "detail-type"},
    {BRIDGE, "{\"a\":", NULL, ENVELOPE_ABSENT, "no JSON object"},
    /* pointers of the extended client, whatever was expected */
    {0, POINTER, NULL, ENVELOPE_ABSENT, "S3"},
    {AUTO, POINTER, NULL, ENVELOPE_ABSENT, "unsupported"},
    {SNS, OLD_POINTER, NULL, ENVELOPE_ABSENT, "S3"},
    {AUTO, NOTE(POINTER_TEXT), NULL, ENVELOPE_ABSENT, "S3"},
    {0, "[\"software.amazon.payloadoffloading\"]", "[\"software.amazon.payloadoffloading\"]",
     ENVELOPE_ABSENT, NULL},
};

static void events_of_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        struct envelope e;
        size_t len = strlen(s->body);
        char *body = malloc(len + 1); /* of its own size, for the address sanitizer */
        assert_non_null(body);
        memcpy(body, s->body, len + 1);
        assert_int_equal(envelope_open(s->unwrap, body, len, &e), 0);
        if (s->event) {
            assert_null(e.refused);
            assert_int_equal(e.event_len, strlen(s->event));
            assert_memory_equal(e.event, s->event, e.event_len);
            assert_int_equal(e.kind, s->kind);
            assert_true((e.outer != NULL) == (s->kind != ENVELOPE_ABSENT));
        } else {
            assert_non_null(e.refused);
            if (!strstr(e.refused, s->why))
                fail_msg("%s: %s", s->body, e.refused);
            assert_ptr_equal(e.event, body); /* the message is as it came */
            assert_int_equal(e.event_len, len);
            assert_null(e.outer);
        }
        envelope_close(&e);
        free(body);
    }
}

/* A body that is cut anywhere is refused, or taken as it is; the scanner never runs past it. */
static void cut_bodies(void **state)
{
    (void)state;
    static const char whole[] = BRIDGED("{\"a\":[1,\"\\\"\"]}");
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *body = malloc(len + 1);
        struct envelope e;
        assert_non_null(body);
        memcpy(body, whole, len);
        body[len] = '\0';
        assert_int_equal(envelope_open(BRIDGE, body, len, &e), 0);
        assert_non_null(e.refused);
        envelope_close(&e);
        assert_int_equal(envelope_open(AUTO, body, len, &e), 0);
        assert_null(e.refused);
        assert_int_equal(e.event_len, len);
        envelope_close(&e);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(events_of_bodies),
                                       cmocka_unit_test(cut_bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
