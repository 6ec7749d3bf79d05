/* The item of a key in the shared table: requests that change it under a condition, and what the
 * item says that did not meet one. Pure but for allocations; inside aws/ only.
 *
 *   key           S   SCOPE/key:KEY, or SCOPE/sha256:HEX of a longer key (1024 bytes in all)
 *   token, until  S,N who has claimed it, and until when (ms); absent: nobody
 *   done_HEX      N   a body's SHA-256 that was acked, and until when it is remembered (ms)
 *   expires       N   the table's TTL attribute (s): later than all of these. DynamoDB deletes days
 *                     late, so it decides nothing but when the space is given back
 *
 * Every request is one UpdateItem on one key, so the table's atomicity is all that is needed, and
 * a policy that allows UpdateItem. */
#ifndef AWS_CLAIM_ITEM_H
#define AWS_CLAIM_ITEM_H

#include "base/buf.h"
#include "seam.h"

struct json_object;

enum {
    CLAIM_ITEM_HASH_BYTES = 65,      /* SHA-256 in hex, and a NUL */
    CLAIM_ITEM_KEY_MAX_BYTES = 1024, /* DynamoDB takes 2048; a longer item costs more */
    CLAIM_ITEM_BODIES_MAX = 8,       /* acked bodies that are remembered under one key */
};

/* SHA-256 in hex. False: no memory. */
bool claim_item_hash(const char *bytes, size_t len, char out[CLAIM_ITEM_HASH_BYTES]);

/* Appends the partition key's value as a JSON string. False: no memory. */
bool claim_item_add_key(struct buf *b, const char *scope, const char *key);

struct claim_item {
    const char *table;
    const char *key_json; /* of claim_item_add_key */
    const char *token;
    const char *hash; /* of the body */
    /* All by the store's clock, epoch. */
    int64_t now_ms;   /* what ended before this is over */
    int64_t until_ms; /* of the claim, or of the memory of the body */
    int64_t expires_s;
};

/* The bodies of UpdateItem, appended.
 * claim: unless somebody else's claim or the memory of this body lasts beyond now_ms. */
void claim_item_write_claim(struct buf *b, const struct claim_item *i);
/* done: the body is remembered; if `ours`, on the condition that the claim is the token's, which
 * ends; else whoever has it. */
void claim_item_write_done(struct buf *b, const struct claim_item *i, bool ours);
/* free: the token's claim ends, on the condition that it is its. */
void claim_item_write_free(struct buf *b, const struct claim_item *i);

/* What an item says that refused a claim: SHARED_ACKED, or SHARED_HELD with `left_ms` (from
 * now_ms); SHARED_FAULT if the answer does not tell (it has no Item, or one that refuses nothing).
 */
enum shared_answer claim_item_read_refusal(struct json_object *answer, const struct claim_item *i,
                                           int64_t *left_ms);

/* After a done (its answer has Attributes): if more than CLAIM_ITEM_BODIES_MAX bodies are
 * remembered, appends the UpdateItem that forgets the ones that end first, and returns true. */
bool claim_item_write_trim(struct buf *b, const struct claim_item *i, struct json_object *answer);

#endif
