#include "aws/claim_table.h"

#include "aws/claim_item.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPEN_MAX = 32,
    TRY_MS = 2000,
    TRY_LEAST_MS = 100, /* less time than this is not worth a try */
    TRIES_MAX = 5,
    BACKOFF_MS = 50,
    EXPIRES_SPARE_S = 60,
};

struct claim_table {
    struct dynamodb *table;
    char *scope;
    int64_t remember_ms;
    struct timers timers;
    struct random random;
    struct list waiting; /* for their turn, or for their next try; oldest first */
    struct list wire;
    int open; /* in `wire` */
    struct timer timer;
    struct list spare;
};

enum step {
    STEP_CLOCK, /* nothing is known of the endpoint's clock yet: it is asked for */
    STEP_FIRST,
    STEP_NOT_OURS, /* done once more: the claim is not the token's any more */
    STEP_TRIM,
};

/* A call's way through its tries. */
struct change {
    struct list node;
    struct claim_table *claims;
    struct shared_call *call;
    struct dynamodb_call *wire;
    enum step step;
    int tries;
    int64_t give_up_ms;
    int64_t due_ms;
    struct claim_item item;
    char hash[CLAIM_ITEM_HASH_BYTES];
    struct buf key;  /* as JSON */
    struct buf body; /* of the request */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- beginning and end of a call ---- */

static struct change *change_new(struct claim_table *c, struct shared_call *call)
{
    struct list *node = list_pop(&c->spare);
    struct change *k = node ? list_entry(node, struct change, node) : calloc(1, sizeof *k);
    if (!k)
        return NULL;
    if (!node) {
        buf_init(&k->key);
        buf_init(&k->body);
    }
    list_init(&k->node);
    k->claims = c;
    k->call = call;
    k->wire = NULL;
    k->step = STEP_FIRST;
    k->tries = 0;
    k->due_ms = clock_boot_ms();
    k->give_up_ms = k->due_ms + CLAIM_TABLE_TIMEOUT_MS;
    buf_clear(&k->key);
    if (claim_item_add_key(&k->key, c->scope, call->key) &&
        (call->op == SHARED_FREE || claim_item_hash(call->body, call->body_len, k->hash)))
        return k;
    list_prepend(&c->spare, &k->node);
    return NULL;
}

static void put_back(struct change *k)
{
    list_remove(&k->node);
    list_prepend(&k->claims->spare, &k->node);
}

static void finish(struct change *k, enum shared_answer answer)
{
    struct shared_call *call = k->call;
    put_back(k);
    call->call = NULL;
    call->answer = answer;
    call->done(call);
}

/* ---- one try ---- */

/* Any answer to it tells the time, also that it is not allowed. */
static void write_question(struct change *k)
{
    const char *table = dynamodb_table(k->claims->table);
    buf_clear(&k->body);
    buf_str(&k->body, "{\"TableName\":");
    buf_json(&k->body, table, strlen(table));
    buf_char(&k->body, '}');
}

static void write_body(struct change *k)
{
    struct claim_table *c = k->claims;
    const struct shared_call *call = k->call;
    int64_t now_ms = dynamodb_time(c->table, clock_boot_ms());
    int64_t lives_ms = call->for_ms > c->remember_ms ? call->for_ms : c->remember_ms;
    k->item = (struct claim_item){.table = dynamodb_table(c->table),
                                  .key_json = k->key.data,
                                  .token = call->token,
                                  .hash = k->hash,
                                  .now_ms = now_ms - CLAIM_TABLE_GRACE_MS,
                                  .until_ms = dynamodb_time(c->table, call->sent_ms) + call->for_ms,
                                  .expires_s = (now_ms + lives_ms) / 1000 + EXPIRES_SPARE_S};
    buf_clear(&k->body);
    if (call->op == SHARED_CLAIM)
        claim_item_write_claim(&k->body, &k->item);
    else if (call->op == SHARED_DONE)
        claim_item_write_done(&k->body, &k->item, k->step == STEP_FIRST);
    else
        claim_item_write_free(&k->body, &k->item);
}

static void answered(void *arg, const struct dynamodb_result *result, struct json_object *answer);

/* -1: it could not be started. */
static int send(struct change *k, struct err *e)
{
    struct claim_table *c = k->claims;
    int64_t left_ms = k->give_up_ms - clock_boot_ms();
    if (k->body.failed)
        return err_set(e, 0, "no memory");
    k->wire = dynamodb_ask(c->table, k->step == STEP_CLOCK ? "DescribeTable" : "UpdateItem",
                           k->body.data, (int)least(left_ms, TRY_MS), answered, k, e);
    if (!k->wire)
        return -1;
    k->tries++;
    list_remove(&k->node);
    list_append(&c->wire, &k->node);
    c->open++;
    return 0;
}

/* What counts from the sending counts from the first one: whichever of the tries takes effect, the
 * claim lasts at least as long as its owner believes. */
static int try_it(struct change *k, struct err *e)
{
    if (k->step == STEP_FIRST && !dynamodb_knows_time(k->claims->table))
        k->step = STEP_CLOCK;
    if (k->tries == 0)
        k->call->sent_ms = clock_boot_ms();
    if (k->step == STEP_CLOCK)
        write_question(k);
    else
        write_body(k);
    return send(k, e);
}

/* ---- turns ---- */

/* The first one asks for the time. */
static bool is_full(const struct claim_table *c)
{
    return c->open >= (dynamodb_knows_time(c->table) ? OPEN_MAX : 1);
}

static bool has_time(const struct change *k, int64_t now_ms)
{
    return k->give_up_ms - now_ms >= TRY_LEAST_MS;
}

static void fail_text(struct shared_call *call, const char *text)
{
    call->wait_ms = -1;
    snprintf(call->text, sizeof call->text, "%.319s", text);
}

/* Sends what may go, and answers what has waited too long. */
static void pump(struct claim_table *c)
{
    struct list over;
    struct err e;
    int64_t now_ms = clock_boot_ms(), next_ms = INT64_MAX;
    list_init(&over);
    list_for_each (node, &c->waiting) {
        struct change *k = list_entry(node, struct change, node);
        if (has_time(k, now_ms) && (k->due_ms > now_ms || is_full(c))) {
            next_ms = least(next_ms, k->due_ms > now_ms ? k->due_ms : k->give_up_ms - TRY_LEAST_MS);
            continue;
        }
        if (has_time(k, now_ms) && try_it(k, &e) == 0)
            continue;
        if (has_time(k, now_ms))
            fail_text(k->call, e.text);
        else if (!k->call->text[0])
            fail_text(k->call, "DynamoDB UpdateItem: too many calls before this one for its time");
        list_remove(&k->node);
        list_append(&over, &k->node);
    }
    if (next_ms < INT64_MAX)
        c->timers.ops->arm(c->timers.self, &c->timer, next_ms > now_ms ? next_ms - now_ms : 1);
    struct list *node;
    while ((node = list_pop(&over)))
        finish(list_entry(node, struct change, node), SHARED_AWAY);
}

static void on_timer(struct timer *t)
{
    pump((struct claim_table *)((char *)t - offsetof(struct claim_table, timer)));
}

/* False: it has been tried enough. */
static bool try_later(struct change *k, int64_t wish_ms)
{
    struct claim_table *c = k->claims;
    int64_t now_ms = clock_boot_ms(), longest = (int64_t)BACKOFF_MS << (k->tries - 1);
    int64_t wait_ms = (int64_t)(c->random.ops->next(c->random.self) % (uint64_t)(longest + 1));
    k->due_ms = now_ms + (wish_ms > wait_ms ? wish_ms : wait_ms);
    if (k->tries >= TRIES_MAX || k->due_ms + TRY_LEAST_MS > k->give_up_ms)
        return false;
    list_append(&c->waiting, &k->node);
    return true;
}

/* ---- answers ---- */

static void refused(struct change *k, struct json_object *answer)
{
    int64_t left_ms;
    enum shared_answer what = claim_item_read_refusal(answer, &k->item, &left_ms);
    if (what == SHARED_HELD)
        k->call->wait_ms = left_ms;
    if (what == SHARED_FAULT)
        snprintf(k->call->text, sizeof k->call->text,
                 "DynamoDB UpdateItem, table %.60s (%.90s): a claim was refused, and the answer "
                 "does not "
                 "say by what: the server must know ReturnValuesOnConditionCheckFailure",
                 dynamodb_table(k->claims->table), dynamodb_endpoint(k->claims->table));
    finish(k, what);
}

/* True: the call goes on with another request. */
static bool next_step(struct change *k, enum step step)
{
    struct err e;
    k->step = step;
    k->tries = 0;
    if (step != STEP_TRIM) {
        k->due_ms = clock_boot_ms();
        list_prepend(&k->claims->waiting, &k->node);
        return true;
    }
    return send(k, &e) == 0; /* if it cannot be, the next done does it */
}

static void condition_failed(struct change *k, struct json_object *answer)
{
    if (k->call->op == SHARED_CLAIM)
        refused(k, answer);
    else if (k->call->op == SHARED_DONE && k->step == STEP_FIRST)
        next_step(k, STEP_NOT_OURS);
    else
        finish(k, SHARED_OK);
}

static void done(struct change *k, struct json_object *answer)
{
    buf_clear(&k->body);
    if (k->call->op == SHARED_DONE && k->step != STEP_TRIM && has_time(k, clock_boot_ms()) &&
        claim_item_write_trim(&k->body, &k->item, answer) && next_step(k, STEP_TRIM))
        return;
    finish(k, SHARED_OK);
}

static void failed(struct change *k, const struct dynamodb_result *result)
{
    bool away = result->status == DYNAMODB_UNREACHABLE || result->status == DYNAMODB_BUSY;
    if (k->step == STEP_TRIM) {
        finish(k, SHARED_OK);
        return;
    }
    fail_text(k->call, result->text);
    k->call->wait_ms = away ? result->retry_after_ms : -1;
    if (!away || !try_later(k, result->retry_after_ms))
        finish(k, away ? SHARED_AWAY : SHARED_FAULT);
}

static void answered(void *arg, const struct dynamodb_result *result, struct json_object *answer)
{
    struct change *k = arg;
    struct claim_table *c = k->claims;
    k->wire = NULL;
    list_remove(&k->node);
    c->open--;
    if (k->step == STEP_CLOCK && dynamodb_knows_time(c->table))
        next_step(k, STEP_FIRST);
    else if (result->status == DYNAMODB_OK)
        done(k, answer);
    else if (result->status == DYNAMODB_CONDITION)
        condition_failed(k, answer);
    else
        failed(k, result);
    pump(c);
}

/* ---- the seam ---- */

static void start(void *self, struct list *calls)
{
    struct claim_table *c = self;
    list_for_each (node, calls) {
        struct shared_call *call = list_entry(node, struct shared_call, node);
        struct change *k = change_new(c, call);
        struct err e = {.text = "no memory"};
        call->text[0] = '\0';
        call->wait_ms = -1;
        bool waits = k && is_full(c);
        if (waits)
            list_append(&c->waiting, &k->node);
        if (!k || (!waits && try_it(k, &e) != 0)) {
            call->answer = SHARED_AWAY;
            fail_text(call, e.text);
            if (k)
                put_back(k);
            continue;
        }
        call->call = k;
        list_remove(&call->node);
    }
    if (!list_empty(&c->waiting)) /* their turn comes from the loop, as every `done` does */
        c->timers.ops->arm(c->timers.self, &c->timer, 0);
}

struct shared claim_table_seam(struct claim_table *c)
{
    static const struct shared_ops ops = {.start = start};
    return (struct shared){.ops = &ops, .self = c, .timeout_ms = CLAIM_TABLE_TIMEOUT_MS};
}

/* ---- making one ---- */

struct claim_table *claim_table_new(const struct claim_table_options *o, struct dynamodb *table,
                                    const struct timers *timers, const struct random *random)
{
    struct claim_table *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->table = table;
    c->remember_ms = o->remember_ms;
    c->timers = *timers;
    c->random = *random;
    c->timer.fire = on_timer;
    list_init(&c->waiting);
    list_init(&c->wire);
    list_init(&c->spare);
    c->scope = strdup(o->scope);
    if (c->scope)
        return c;
    free(c);
    return NULL;
}

static void free_all(struct list *changes)
{
    struct list *node;
    while ((node = list_pop(changes))) {
        struct change *k = list_entry(node, struct change, node);
        buf_free(&k->key);
        buf_free(&k->body);
        free(k);
    }
}

void claim_table_free(struct claim_table *c)
{
    if (!c)
        return;
    list_for_each (node, &c->wire)
        dynamodb_cancel(list_entry(node, struct change, node)->wire);
    c->timers.ops->stop(c->timers.self, &c->timer);
    free_all(&c->wire);
    free_all(&c->waiting);
    free_all(&c->spare);
    free(c->scope);
    free(c);
}
