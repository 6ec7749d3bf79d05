/* The store that several hosts share, behind the seam's `shared`: claims and acked bodies in one
 * DynamoDB table. Core thread only. What the table holds is in claim_item.h.
 *
 * One request a call. BatchWriteItem knows no conditions. TransactWriteItems does, but one refusal
 * cancels all of it, two transactions on one key conflict, and each write costs two. PartiQL's
 * batches keep entries apart, but an UPDATE there makes no item that is not there yet: a claim
 * would be an INSERT and, refused without a word by what, an UPDATE, two requests where there is
 * one now, with two permissions more (and moto 5.2 answers such a batch with 500). A call costs
 * less than 0.1 ms of the core thread; at most OPEN_MAX are on the wire, on kept connections.
 *
 * Tries. A call whose answer was lost, that was throttled or failed with 5xx is tried again after
 * 50 ms, doubled, full jitter, within CLAIM_TABLE_TIMEOUT_MS; then it is SHARED_AWAY. A claim that
 * took effect although its answer was lost knows its own token.
 *
 * Clocks. Times are counted by the endpoint's clock, as each answer's Date tells it, not by this
 * machine's (dynamodb_time), so hosts whose clocks differ by minutes agree to within about a
 * second and half a round trip. A claim is taken over CLAIM_TABLE_GRACE_MS after its end, so that
 * it has ended for its owner before, whichever of the two errs. A claim must be much longer than
 * that. Before the endpoint's first answer it is asked for its time (DescribeTable; a refusal has a
 * Date, too). Where answers have none, it is this machine's clock. */
#ifndef AWS_CLAIM_TABLE_H
#define AWS_CLAIM_TABLE_H

#include "aws/dynamodb.h"
#include "seam.h"

struct claim_table;

enum { CLAIM_TABLE_TIMEOUT_MS = 5000, CLAIM_TABLE_GRACE_MS = 2000 };

struct claim_table_options {
    /* What keeps the keys of different queues in one table apart, the same on every host: region
     * and path of the queue's URL, "eu-west-1/1234/registrations". */
    const char *scope;
    int64_t remember_ms; /* the longest `for_ms` of a SHARED_DONE: items live as long */
};

/* The table must outlive it. NULL: no memory. */
struct claim_table *claim_table_new(const struct claim_table_options *options,
                                    struct dynamodb *table, const struct timers *timers,
                                    const struct random *random);
/* Forgets the open calls: their `done` will not come. NULL is fine. */
void claim_table_free(struct claim_table *c);

struct shared claim_table_seam(struct claim_table *c);

#endif
