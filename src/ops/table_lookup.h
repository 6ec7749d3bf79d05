/* What the host must know of the shared store's table before it claims anything in it: that it is
 * there, can be written to, and has the keys that claims need (aws/claim_item.h); so that a wrong
 * one ends the program at once and not at the first message. DescribeTable, then
 * DescribeTimeToLive. Core thread.
 *
 * A table that may not be described, or does not answer for `patience_ms`, is no reason to leave:
 * the first claim will tell, and dedupe.fail decides what becomes of messages meanwhile. */
#ifndef OPS_TABLE_LOOKUP_H
#define OPS_TABLE_LOOKUP_H

#include "aws/dynamodb.h"
#include "base/err.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* The table's partition key, a string, and its TTL attribute. */
#define TABLE_KEY "key"
#define TABLE_TTL "expires"

struct table_lookup {
    struct ev_loop *loop;
    struct dynamodb *table;
    int64_t give_up_ms; /* CLOCK_BOOTTIME */
    ev_timer again;
    bool ended;       /* then `error.code` is 0, or it tells why not */
    struct err error; /* EXIT_CONFIG */
    char doubt[700];  /* what a person should know although it goes on; "" */
};

void table_lookup_start(struct table_lookup *l, struct ev_loop *loop, struct dynamodb *table,
                        int64_t patience_ms);
/* A question on the wire must be cancelled with its table before `l` goes away. */
void table_lookup_stop(struct table_lookup *l);

#endif
