#include "aws/claim_item.h"

#include "aws/answer.h"

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_PREFIX "done_"

enum { TRIM_MAX = 32 }; /* bodies forgotten by one request; the next done goes on */

/* ---- keys ---- */

bool claim_item_hash(const char *bytes, size_t len, char out[CLAIM_ITEM_HASH_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (EVP_Digest(bytes, len, digest, &size, EVP_sha256(), NULL) != 1)
        return false;
    for (unsigned int i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return true;
}

/* The words before it keep a key that looks like a hash apart from the hash of a key. */
bool claim_item_add_key(struct buf *b, const char *scope, const char *key)
{
    char hash[CLAIM_ITEM_HASH_BYTES];
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "%s/key:", scope);
    size_t len = strlen(key);
    if (text.len + len > CLAIM_ITEM_KEY_MAX_BYTES) {
        buf_clear(&text);
        if (!claim_item_hash(key, len, hash))
            text.failed = true;
        buf_printf(&text, "%s/sha256:%s", scope, hash);
    } else {
        buf_str(&text, key);
    }
    buf_json(b, text.data, text.len);
    bool ok = !text.failed && !b->failed;
    buf_free(&text);
    return ok;
}

/* ---- requests ---- */

static void begin(struct buf *b, const struct claim_item *i, const char *update)
{
    buf_str(b, "{\"TableName\":");
    buf_json(b, i->table, strlen(i->table));
    buf_printf(b, ",\"Key\":{\"key\":{\"S\":%s}},\"UpdateExpression\":\"%s\"", i->key_json, update);
}

static void add_token(struct buf *b, const struct claim_item *i)
{
    buf_str(b, "\":t\":{\"S\":");
    buf_json(b, i->token, strlen(i->token));
    buf_char(b, '}');
}

static void add_number(struct buf *b, const char *name, int64_t number)
{
    buf_printf(b, ",\"%s\":{\"N\":\"%lld\"}", name, (long long)number);
}

void claim_item_write_claim(struct buf *b, const struct claim_item *i)
{
    begin(b, i, "SET #t=:t,#u=:u,#e=:e");
    buf_printf(b,
               ",\"ConditionExpression\":\"(attribute_not_exists(#t) OR #t=:t OR #u<=:n) AND "
               "(attribute_not_exists(#d) OR #d<=:n)\",\"ExpressionAttributeNames\":{\"#t\":"
               "\"token\",\"#u\":\"until\",\"#e\":\"expires\",\"#d\":\"" BODY_PREFIX "%s\"},"
               "\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\","
               "\"ExpressionAttributeValues\":{",
               i->hash);
    add_token(b, i);
    add_number(b, ":u", i->until_ms);
    add_number(b, ":e", i->expires_s);
    add_number(b, ":n", i->now_ms);
    buf_str(b, "}}");
}

void claim_item_write_done(struct buf *b, const struct claim_item *i, bool ours)
{
    begin(b, i, ours ? "SET #d=:x,#e=:e REMOVE #t,#u" : "SET #d=:x,#e=:e");
    buf_printf(b,
               "%s,\"ExpressionAttributeNames\":{%s\"#e\":\"expires\",\"#d\":\"" BODY_PREFIX
               "%s\"},\"ReturnValues\":\"ALL_NEW\",\"ExpressionAttributeValues\":{",
               ours ? ",\"ConditionExpression\":\"#t=:t\"" : "",
               ours ? "\"#t\":\"token\",\"#u\":\"until\"," : "", i->hash);
    if (ours) {
        add_token(b, i);
        buf_char(b, ',');
    }
    buf_printf(b, "\":x\":{\"N\":\"%lld\"}", (long long)i->until_ms);
    add_number(b, ":e", i->expires_s);
    buf_str(b, "}}");
}

void claim_item_write_free(struct buf *b, const struct claim_item *i)
{
    begin(b, i, "REMOVE #t,#u");
    buf_str(b, ",\"ConditionExpression\":\"#t=:t\",\"ExpressionAttributeNames\":{\"#t\":\"token\","
               "\"#u\":\"until\"},\"ExpressionAttributeValues\":{");
    add_token(b, i);
    buf_str(b, "}}");
}

/* ---- answers ---- */

static struct json_object *object_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_object)
               ? v
               : NULL;
}

/* 0 if it is not there, which no time of the store's is. */
static int64_t number_of(struct json_object *value)
{
    const char *text = aws_string(value, "N");
    return text ? strtoll(text, NULL, 10) : 0;
}

enum shared_answer claim_item_read_refusal(struct json_object *answer, const struct claim_item *i,
                                           int64_t *left_ms)
{
    struct json_object *item = object_of(answer, "Item");
    char name[sizeof BODY_PREFIX + CLAIM_ITEM_HASH_BYTES];
    snprintf(name, sizeof name, BODY_PREFIX "%s", i->hash);
    if (item && number_of(object_of(item, name)) > i->now_ms)
        return SHARED_ACKED;
    const char *token = aws_string(object_of(item, "token"), "S");
    *left_ms = number_of(object_of(item, "until")) - i->now_ms;
    return token && strcmp(token, i->token) != 0 && *left_ms > 0 ? SHARED_HELD : SHARED_FAULT;
}

struct body {
    const char *name;
    int64_t until_ms;
};

static int by_end(const void *a, const void *b)
{
    const struct body *one = a, *other = b;
    return (one->until_ms > other->until_ms) - (one->until_ms < other->until_ms);
}

/* The remembered bodies of an item, those that end first first. */
static size_t collect(struct json_object *item, struct body *bodies, size_t max)
{
    size_t n = 0;
    json_object_object_foreach(item, name, value)
    {
        if (strncmp(name, BODY_PREFIX, sizeof BODY_PREFIX - 1) == 0 && n < max)
            bodies[n++] = (struct body){name, number_of(value)};
    }
    qsort(bodies, n, sizeof *bodies, by_end);
    return n;
}

bool claim_item_write_trim(struct buf *b, const struct claim_item *i, struct json_object *answer)
{
    struct json_object *item = object_of(answer, "Attributes");
    struct body bodies[CLAIM_ITEM_BODIES_MAX + TRIM_MAX];
    size_t n = item ? collect(item, bodies, sizeof bodies / sizeof *bodies) : 0;
    if (n <= CLAIM_ITEM_BODIES_MAX)
        return false;
    begin(b, i, "REMOVE ");
    b->len--; /* the text goes on */
    for (size_t k = 0; k < n - CLAIM_ITEM_BODIES_MAX; k++)
        buf_printf(b, "%s#d%zu", k > 0 ? "," : "", k);
    buf_str(b, "\",\"ConditionExpression\":\"attribute_exists(#k)\","
               "\"ExpressionAttributeNames\":{\"#k\":\"key\"");
    for (size_t k = 0; k < n - CLAIM_ITEM_BODIES_MAX; k++) {
        buf_printf(b, ",\"#d%zu\":", k);
        buf_json(b, bodies[k].name, strlen(bodies[k].name));
    }
    buf_str(b, "}}");
    return !b->failed;
}
