/* Requests to DynamoDB's table and what its answers mean, without a network. What the store does
 * with them is asked of real servers in tests/e2e/test_claims.py. */
#include "aws/claim_item.h"
#include "aws/dynamodb_answer.h"
#include "aws/place.h"

#include "base/exit.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- requests ------------------------------------------------------------------------------ */

static const struct claim_item item = {.table = "claims",
                                       .key_json = "\"e/0/q/key:k\"",
                                       .token = "0123",
                                       .hash = "ab",
                                       .now_ms = 1000,
                                       .until_ms = 31000,
                                       .expires_s = 3700};

/* The member at a path of names, as text. */
static const char *at(struct json_object *o, const char *a, const char *b, const char *c)
{
    const char *names[] = {a, b, c};
    for (int i = 0; i < 3 && names[i]; i++)
        if (!o || !json_object_object_get_ex(o, names[i], &o))
            return "(none)";
    return json_object_get_string(o);
}

static struct json_object *parsed(struct buf *b)
{
    assert_false(b->failed);
    struct json_object *o = json_tokener_parse(b->data);
    if (!o)
        fail_msg("no JSON: %s", b->data);
    buf_free(b);
    return o;
}

static void a_claim_is_conditional(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    claim_item_write_claim(&b, &item);
    struct json_object *o = parsed(&b);
    assert_string_equal(at(o, "TableName", NULL, NULL), "claims");
    assert_string_equal(at(o, "Key", "key", "S"), "e/0/q/key:k");
    assert_string_equal(at(o, "UpdateExpression", NULL, NULL), "SET #t=:t,#u=:u,#e=:e");
    assert_string_equal(at(o, "ConditionExpression", NULL, NULL),
                        "(attribute_not_exists(#t) OR #t=:t OR #u<=:n) AND "
                        "(attribute_not_exists(#d) OR #d<=:n)");
    assert_string_equal(at(o, "ReturnValuesOnConditionCheckFailure", NULL, NULL), "ALL_OLD");
    assert_string_equal(at(o, "ExpressionAttributeNames", "#t", NULL), "token");
    assert_string_equal(at(o, "ExpressionAttributeNames", "#d", NULL), "done_ab");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":t", "S"), "0123");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":n", "N"), "1000");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":u", "N"), "31000");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":e", "N"), "3700");
    json_object_put(o);
}

static void done_with_and_without_the_claim(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    claim_item_write_done(&b, &item, true);
    struct json_object *o = parsed(&b);
    assert_string_equal(at(o, "UpdateExpression", NULL, NULL), "SET #d=:x,#e=:e REMOVE #t,#u");
    assert_string_equal(at(o, "ConditionExpression", NULL, NULL), "#t=:t");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":x", "N"), "31000");
    json_object_put(o);
    claim_item_write_done(&b, &item, false);
    o = parsed(&b);
    assert_string_equal(at(o, "UpdateExpression", NULL, NULL), "SET #d=:x,#e=:e");
    assert_string_equal(at(o, "ConditionExpression", NULL, NULL), "(none)");
    /* DynamoDB refuses names and values that no expression uses. */
    assert_string_equal(at(o, "ExpressionAttributeNames", "#t", NULL), "(none)");
    assert_string_equal(at(o, "ExpressionAttributeValues", ":t", NULL), "(none)");
    json_object_put(o);
}

static void free_is_the_tokens(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    claim_item_write_free(&b, &item);
    struct json_object *o = parsed(&b);
    assert_string_equal(at(o, "UpdateExpression", NULL, NULL), "REMOVE #t,#u");
    assert_string_equal(at(o, "ConditionExpression", NULL, NULL), "#t=:t");
    json_object_put(o);
}

static void keys(void **state)
{
    (void)state;
    char long_key[4000];
    memset(long_key, 'k', sizeof long_key);
    static const struct {
        const char *key, *json;
        size_t len; /* of `key`, cut; 0: all */
    } cases[] = {
        {"order-17", "\"e/0/q/key:order-17\"", 0},
        {"", "\"e/0/q/key:\"", 0},
        {"a\"b\\\n", "\"e/0/q/key:a\\\"b\\\\\\n\"", 0},
        {"sha256:00", "\"e/0/q/key:sha256:00\"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b);
        assert_true(claim_item_add_key(&b, "e/0/q", cases[i].key));
        assert_string_equal(b.data, cases[i].json);
        buf_free(&b);
    }
    for (size_t len = 1000; len < sizeof long_key; len++) {
        struct buf b;
        buf_init(&b);
        char was = long_key[len];
        long_key[len] = '\0';
        assert_true(claim_item_add_key(&b, "e/0/q", long_key));
        long_key[len] = was;
        bool hashed = strstr(b.data, "e/0/q/sha256:") != NULL;
        assert_int_equal(hashed, len + strlen("e/0/q/key:") > CLAIM_ITEM_KEY_MAX_BYTES);
        assert_true(b.len <= CLAIM_ITEM_KEY_MAX_BYTES + 2);
        buf_free(&b);
    }
}

static void a_bodys_hash(void **state)
{
    (void)state;
    char hash[CLAIM_ITEM_HASH_BYTES];
    assert_true(claim_item_hash("", 0, hash));
    assert_string_equal(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(claim_item_hash("a\0b", 3, hash));
    assert_string_equal(hash, "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138");
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum shared_answer means;
        int64_t left_ms;
    } cases[] = {
        {"{\"Item\":{\"token\":{\"S\":\"ff\"},\"until\":{\"N\":\"5000\"}}}", SHARED_HELD, 4000},
        {"{\"Item\":{\"done_ab\":{\"N\":\"2000\"}}}", SHARED_ACKED, 0},
        {"{\"Item\":{\"token\":{\"S\":\"ff\"},\"until\":{\"N\":\"5000\"},"
         "\"done_ab\":{\"N\":\"2000\"}}}",
         SHARED_ACKED, 0},
        /* another body was acked, or this one's memory is over */
        {"{\"Item\":{\"token\":{\"S\":\"ff\"},\"until\":{\"N\":\"5000\"},"
         "\"done_cd\":{\"N\":\"2000\"},\"done_ab\":{\"N\":\"1000\"}}}",
         SHARED_HELD, 4000},
        /* what cannot have refused anything */
        {"{\"message\":\"The conditional request failed\"}", SHARED_FAULT, 0},
        {"{\"Item\":{}}", SHARED_FAULT, 0},
        {"{\"Item\":[]}", SHARED_FAULT, 0},
        {"{\"Item\":{\"token\":{\"S\":\"0123\"},\"until\":{\"N\":\"5000\"}}}", SHARED_FAULT, 0},
        {"{\"Item\":{\"token\":{\"S\":\"ff\"},\"until\":{\"N\":\"900\"}}}", SHARED_FAULT, 0},
        {"{\"Item\":{\"token\":\"ff\",\"until\":5000,\"done_ab\":null}}", SHARED_FAULT, 0},
        {"{\"Item\":{\"token\":{\"S\":7},\"until\":{\"N\":\"x\"}}}", SHARED_FAULT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *o = json_tokener_parse(cases[i].answer);
        int64_t left_ms = 0;
        assert_non_null(o);
        if (claim_item_read_refusal(o, &item, &left_ms) != cases[i].means)
            fail_msg("case %zu", i);
        if (cases[i].means == SHARED_HELD)
            assert_int_equal(left_ms, cases[i].left_ms);
        json_object_put(o);
    }
    int64_t left_ms;
    assert_int_equal(claim_item_read_refusal(NULL, &item, &left_ms), SHARED_FAULT);
}

static struct json_object *item_with(int bodies)
{
    struct buf b;
    buf_init(&b);
    buf_str(&b, "{\"Attributes\":{\"key\":{\"S\":\"k\"},\"expires\":{\"N\":\"9\"}");
    for (int i = 0; i < bodies; i++) /* the first ones end last */
        buf_printf(&b, ",\"done_%02d\":{\"N\":\"%d\"}", i, 9000 - i);
    buf_str(&b, "}}");
    return parsed(&b);
}

static void the_bodies_that_end_first_are_forgotten(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    for (int n = 0; n <= CLAIM_ITEM_BODIES_MAX; n += CLAIM_ITEM_BODIES_MAX) {
        struct json_object *few = item_with(n);
        assert_false(claim_item_write_trim(&b, &item, few));
        assert_int_equal(b.len, 0);
        json_object_put(few);
    }
    assert_false(claim_item_write_trim(&b, &item, NULL));
    struct json_object *more = item_with(CLAIM_ITEM_BODIES_MAX + 2);
    assert_true(claim_item_write_trim(&b, &item, more));
    json_object_put(more);
    struct json_object *o = parsed(&b);
    assert_string_equal(at(o, "UpdateExpression", NULL, NULL), "REMOVE #d0,#d1");
    assert_string_equal(at(o, "ConditionExpression", NULL, NULL), "attribute_exists(#k)");
    assert_string_equal(at(o, "ExpressionAttributeNames", "#d0", NULL), "done_09");
    assert_string_equal(at(o, "ExpressionAttributeNames", "#d1", NULL), "done_08");
    json_object_put(o);
    more = item_with(500); /* one request does not have to do it all */
    assert_true(claim_item_write_trim(&b, &item, more));
    json_object_put(more);
    json_object_put(parsed(&b));
}

/* ---- errors -------------------------------------------------------------------------------- */

static struct json_object *read_it(int status, const char *body, struct dynamodb_result *result)
{
    static const struct dynamodb_context context = {"UpdateItem", "claims", "eu-west-1",
                                                    "http://127.0.0.1:8000/"};
    struct buf head;
    buf_init(&head);
    buf_printf(&head, "HTTP/1.1 %d X\r\n\r\n", status);
    struct fetch_response r = {.result = FETCH_OK,
                               .status = status,
                               .body = body,
                               .body_len = strlen(body),
                               .error = "",
                               .head = &head};
    struct json_object *o = dynamodb_read_answer(&r, &context, result);
    buf_free(&head);
    return o;
}

static void errors(void **state)
{
    (void)state;
#define V "com.amazonaws.dynamodb.v20120810#"
#define CORAL "com.amazon.coral."
    static const struct {
        int status;
        const char *type;
        enum dynamodb_status means;
        const char *words; /* in the text, beside table, region and endpoint */
    } cases[] = {
        {400, V "ConditionalCheckFailedException", DYNAMODB_CONDITION, NULL},
        {400, V "ResourceNotFoundException", DYNAMODB_MISSING, "--print-table"},
        {400, V "ProvisionedThroughputExceededException", DYNAMODB_BUSY, "write capacity"},
        {400, V "RequestLimitExceeded", DYNAMODB_BUSY, "write capacity"},
        {400, CORAL "availability#ThrottlingException", DYNAMODB_BUSY, "write capacity"},
        {400, V "TransactionConflictException", DYNAMODB_BUSY, "TransactionConflict"},
        {500, V "InternalServerError", DYNAMODB_BUSY, "InternalServerError"},
        {503, "SomethingNew", DYNAMODB_BUSY, "503"},
        {400, CORAL "service#AccessDeniedException", DYNAMODB_DENIED, "dynamodb:UpdateItem"},
        {400, CORAL "service#UnrecognizedClientException", DYNAMODB_DENIED, "AWS_ACCESS_KEY_ID"},
        {400, CORAL "service#ExpiredTokenException", DYNAMODB_DENIED, "session token"},
        {400, CORAL "service#InvalidSignatureException", DYNAMODB_DENIED, "the table is not in"},
        {400, CORAL "validate#ValidationException", DYNAMODB_FAULT, "no sort key"},
        {400, V "ItemCollectionSizeLimitExceededException", DYNAMODB_FAULT, "ItemCollection"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dynamodb_result result;
        char body[300];
        snprintf(body, sizeof body, "{\"__type\":\"%s\",\"Message\":\"in its own words\"}",
                 cases[i].type);
        struct json_object *o = read_it(cases[i].status, body, &result);
        if (result.status != cases[i].means)
            fail_msg("%s: %d", cases[i].type, result.status);
        if (cases[i].means == DYNAMODB_CONDITION)
            assert_true(o && !result.text[0]);
        else
            assert_null(o);
        const char *words[] = {cases[i].words, "claims", "eu-west-1", "http://127.0.0.1:8000/",
                               "in its own words"};
        for (size_t k = 0; cases[i].words && k < sizeof words / sizeof *words; k++)
            if (!strstr(result.text, words[k]))
                fail_msg("no \"%s\" in: %s", words[k], result.text);
        json_object_put(o);
    }
}

static void what_is_no_whole_object_may_have_happened(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "{\"Attributes\":{", "[]", "<html>"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct dynamodb_result result;
        assert_null(read_it(200, bodies[i], &result));
        assert_int_equal(result.status, DYNAMODB_UNREACHABLE);
        assert_non_null(strstr(result.text, "DynamoDB endpoint"));
    }
    struct dynamodb_result result;
    struct json_object *o = read_it(200, "{}", &result);
    assert_non_null(o);
    assert_int_equal(result.status, DYNAMODB_OK);
    json_object_put(o);
}

/* ---- places -------------------------------------------------------------------------------- */

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *region, *url, *host, *in;
    } cases[] = {
        {NULL, "eu-central-1", "https://dynamodb.eu-central-1.amazonaws.com:443/",
         "dynamodb.eu-central-1.amazonaws.com", "eu-central-1"},
        {NULL, "cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn:443/",
         "dynamodb.cn-north-1.amazonaws.com.cn", "cn-north-1"},
        {"https://dynamodb.eu-west-1.amazonaws.com", NULL,
         "https://dynamodb.eu-west-1.amazonaws.com:443/", "dynamodb.eu-west-1.amazonaws.com",
         "eu-west-1"},
        {"https://vpce-1.dynamodb.us-east-1.vpce.amazonaws.com", NULL,
         "https://vpce-1.dynamodb.us-east-1.vpce.amazonaws.com:443/",
         "vpce-1.dynamodb.us-east-1.vpce.amazonaws.com", "us-east-1"},
        {"http://127.0.0.1:8000", "eu-west-3", "http://127.0.0.1:8000/", "127.0.0.1:8000",
         "eu-west-3"},
        {"http://127.0.0.1:8000", NULL, "http://127.0.0.1:8000/", "127.0.0.1:8000", "us-east-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_place p;
        struct err e = {0};
        if (aws_find_place(&p, "dynamodb", cases[i].endpoint, cases[i].region, "dedupe", &e) != 0)
            fail_msg("case %zu: %s", i, e.text);
        assert_string_equal(p.url, cases[i].url);
        assert_string_equal(p.host, cases[i].host);
        assert_string_equal(p.region, cases[i].in);
    }
}

static void no_places(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *region, *words;
    } cases[] = {
        {NULL, NULL, "dedupe.region"},
        {NULL, "Eu West", "dedupe.region"},
        {"127.0.0.1:8000", "eu-west-1", "dedupe.endpoint"},
        {"https://something.amazonaws.com", NULL, "dedupe.region"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_place p;
        struct err e = {0};
        assert_int_equal(
            aws_find_place(&p, "dynamodb", cases[i].endpoint, cases[i].region, "dedupe", &e), -1);
        assert_int_equal(e.code, EXIT_CONFIG);
        assert_non_null(strstr(e.text, cases[i].words));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_is_conditional),
        cmocka_unit_test(done_with_and_without_the_claim),
        cmocka_unit_test(free_is_the_tokens),
        cmocka_unit_test(keys),
        cmocka_unit_test(a_bodys_hash),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_bodies_that_end_first_are_forgotten),
        cmocka_unit_test(errors),
        cmocka_unit_test(what_is_no_whole_object_may_have_happened),
        cmocka_unit_test(places),
        cmocka_unit_test(no_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
