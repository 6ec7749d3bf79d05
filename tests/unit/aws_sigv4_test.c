/* The signer against published vectors: two of AWS's suite (aws-c-auth), and one shaped like an
 * SQS call that two other signers agree on. Each step is compared, not only the result. */
#include "aws/sigv4.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define ID "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TIME "20150830T123600Z"

static const char receive_body[] =
    "{\"QueueUrl\":\"https://sqs.us-east-1.amazonaws.com/123456789012/q\","
    "\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":20}";

static const struct sigv4_header receive_headers[] = {
    {"content-type", "application/x-amz-json-1.0"},
    {"host", "sqs.us-east-1.amazonaws.com"},
    {"x-amz-date", TIME},
    {"x-amz-target", "AmazonSQS.ReceiveMessage"},
};

static const struct sigv4_request receive = {.method = "POST",
                                             .path = "/",
                                             .headers = receive_headers,
                                             .header_count = 4,
                                             .body = receive_body,
                                             .body_len = sizeof receive_body - 1,
                                             .time = TIME};

static void hex_sha256(const void *bytes, size_t len, char out[65])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(bytes, len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void an_sqs_call_step_by_step(void **state)
{
    (void)state;
    char hash[65];
    struct sigv4 s;
    struct buf b;
    buf_init(&b);
    sigv4_init(&s, "us-east-1", "sqs");
    assert_int_equal(receive.body_len, 111);
    assert_int_equal(sigv4_canonical(&s, &receive, &b), 0);
    assert_string_equal(b.data, "POST\n/\n\n"
                                "content-type:application/x-amz-json-1.0\n"
                                "host:sqs.us-east-1.amazonaws.com\n"
                                "x-amz-date:20150830T123600Z\n"
                                "x-amz-target:AmazonSQS.ReceiveMessage\n"
                                "\n"
                                "content-type;host;x-amz-date;x-amz-target\n"
                                "c7092b5cef7d6a40522bd74b7bc272961e7b639c5d6c8e08e50115839530fdae");
    hex_sha256(b.data, b.len, hash);
    assert_string_equal(hash, "e9a543b89da40086695ea4ea2c5ce3c644e84bd0ecdf6a085817a25c93038185");
    buf_clear(&b);
    assert_int_equal(sigv4_string_to_sign(&s, &receive, &b), 0);
    assert_string_equal(b.data, "AWS4-HMAC-SHA256\n20150830T123600Z\n"
                                "20150830/us-east-1/sqs/aws4_request\n"
                                "e9a543b89da40086695ea4ea2c5ce3c644e84bd0ecdf6a085817a25c93038185");
    buf_clear(&b);
    buf_str(&b, "Authorization: ");
    assert_int_equal(sigv4_sign(&s, ID, SECRET, &receive, &b), 0);
    assert_string_equal(
        b.data, "Authorization: AWS4-HMAC-SHA256 "
                "Credential=AKIDEXAMPLE/20150830/us-east-1/sqs/aws4_request, "
                "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
                "Signature=ebedc2684e14271e2772210c60969ef177851dab5c79a1ce5e2ad0dde365fb4d");
    buf_free(&b);
    sigv4_wipe(&s);
}

static void assert_signature(struct sigv4 *s, const char *secret, const struct sigv4_request *r,
                             const char *signature, bool same)
{
    struct buf b;
    buf_init(&b);
    assert_int_equal(sigv4_sign(s, ID, secret, r, &b), 0);
    const char *got = strstr(b.data, "Signature=") + 10;
    if (same)
        assert_string_equal(got, signature);
    else
        assert_string_not_equal(got, signature);
    buf_free(&b);
}

static void the_suites_post_vanilla(void **state)
{
    (void)state;
    static const struct sigv4_header headers[] = {{"host", "example.amazonaws.com"},
                                                  {"x-amz-date", TIME}};
    static const struct sigv4_request r = {
        .method = "POST", .path = "/", .headers = headers, .header_count = 2, .time = TIME};
    struct sigv4 s;
    sigv4_init(&s, "us-east-1", "service");
    assert_signature(&s, SECRET, &r,
                     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", true);
    sigv4_wipe(&s);
}

static void the_suites_sts_header_before(void **state)
{
    (void)state;
    static const char token[] =
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxf"
        "pSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPk"
        "yQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBA"
        "z+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    static const struct sigv4_header headers[] = {
        {"host", "example.amazonaws.com"}, {"x-amz-date", TIME}, {"x-amz-security-token", token}};
    static const struct sigv4_request r = {
        .method = "POST", .path = "/", .headers = headers, .header_count = 3, .time = TIME};
    struct sigv4 s;
    sigv4_init(&s, "us-east-1", "service");
    assert_signature(&s, SECRET, &r,
                     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead", true);
    sigv4_wipe(&s);
}

/* The derived key is kept: it must follow the secret, the date and nothing else. */
static void the_kept_key_follows_its_inputs(void **state)
{
    (void)state;
    static const char good[] = "ebedc2684e14271e2772210c60969ef177851dab5c79a1ce5e2ad0dde365fb4d";
    struct sigv4 s, dynamo;
    struct sigv4_request tomorrow = receive;
    tomorrow.time = "20150831T123600Z";
    sigv4_init(&s, "us-east-1", "sqs");
    sigv4_init(&dynamo, "us-east-1", "dynamodb");
    for (int i = 0; i < 3; i++) {
        assert_signature(&s, SECRET, &receive, good, true);
        assert_signature(&s, SECRET, &receive, good, true);
        assert_signature(&s, SECRET, &tomorrow, good, false);
        assert_signature(&s, SECRET, &receive, good, true);
        assert_signature(&s, "another", &receive, good, false);
        assert_signature(&dynamo, SECRET, &receive, good, false);
    }
    sigv4_wipe(&s);
    sigv4_wipe(&dynamo);
}

static void a_secret_that_is_too_long(void **state)
{
    (void)state;
    char secret[SIGV4_SECRET_MAX + 2];
    struct sigv4 s;
    struct buf b;
    buf_init(&b);
    memset(secret, 'a', sizeof secret);
    secret[SIGV4_SECRET_MAX + 1] = '\0';
    sigv4_init(&s, "us-east-1", "sqs");
    assert_int_equal(sigv4_sign(&s, ID, secret, &receive, &b), -1);
    secret[SIGV4_SECRET_MAX] = '\0';
    buf_clear(&b);
    assert_int_equal(sigv4_sign(&s, ID, secret, &receive, &b), 0);
    buf_free(&b);
    sigv4_wipe(&s);
    for (size_t i = 0; i < sizeof s; i++)
        assert_int_equal(((unsigned char *)&s)[i], 0);
}

static void times(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "19700101T000000Z"},
        {1440938160999, TIME},
        {1456704000000, "20160229T000000Z"},
        {253402300799000, "99991231T235959Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SIGV4_TIME_BYTES];
        sigv4_time(cases[i].wall_ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_sqs_call_step_by_step),
        cmocka_unit_test(the_suites_post_vanilla),
        cmocka_unit_test(the_suites_sts_header_before),
        cmocka_unit_test(the_kept_key_follows_its_inputs),
        cmocka_unit_test(a_secret_that_is_too_long),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
