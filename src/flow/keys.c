/* Which message has a key (contract 5.2): messages with one key run one at a time, whatever their
 * bodies are; the others wait parked until it is let go, and are looked at again then. After an ack
 * the same body is deleted unrun; another body is another event.
 *
 * A message takes its key when nothing else is in its way, so that whoever has one can run: a key
 * is never what two messages wait for in a circle. */
#include "flow/state.h"

#include "policy/body_key.h"

#include <stdlib.h>
#include <string.h>

enum { GATE_MS = 10000 };

static struct key *find(struct flow *f, const char *text)
{
    struct table_node *n = table_find(&f->keys.by_text, text);
    return n ? table_entry(n, struct key, by_text) : NULL;
}

static struct key *get(struct flow *f, const char *text)
{
    struct key *k = find(f, text);
    if (k)
        return k;
    size_t len = strlen(text);
    k = calloc(1, sizeof *k + len + 1);
    if (!k)
        return NULL;
    memcpy(k->text, text, len + 1);
    list_init(&k->waiting);
    table_add(&f->keys.by_text, &k->by_text, k->text);
    return k;
}

static void keyless(struct flow *f, const struct message *m, const char *why)
{
    int64_t held_back;
    f->counts.keyless++;
    if (log_gate_open(&f->keys.gate, GATE_MS, &held_back))
        log_with(LOG_WARN, "no key in this message: it goes by its message id",
                 LF_TEXT("id", m->job->id), LF_TEXT("key", f->options.key), LF_TEXT("reason", why),
                 held_back ? LF_INT("repeated", held_back) : LF_TEXT("repeated", NULL));
}

/* The record of the message's key; NULL with `*by_id`: it goes by its id, which no other has.
 * NULL without: no memory. */
static struct key *key_of(struct flow *f, const struct message *m, bool *by_id)
{
    const struct job *job = m->job;
    const char *text = job->id, *why = NULL;
    char *found = NULL;
    *by_id = false;
    if (f->keys.by == KEY_DEDUPLICATION_ID) {
        text = job->deduplication_id;
        why = "it has no MessageDeduplicationId: the queue is not a FIFO queue";
    } else if (f->keys.by == KEY_POINTER) {
        text = found = body_key(job->body, job->body_len, f->options.key, &why);
        if (!text && !why)
            return NULL;
    }
    if (!text) {
        keyless(f, m, why);
        text = job->id;
    }
    *by_id = text == job->id && !f->seam.shared.ops;
    struct key *k = *by_id ? NULL : get(f, text);
    free(found);
    return k;
}

void keys_place_free(struct flow *f, struct message *m)
{
    const struct store *store = &f->seam.store;
    if (m->claimed)
        store->ops->free(store->self, m->job);
    m->claimed = false;
}

static void no_memory(struct flow *f, struct message *m)
{
    settle_message(f, m, SETTLE_RELEASE, RELEASE_LATER_S);
}

static void go_on(struct flow *f, struct key *k, struct message *m)
{
    if (!f->seam.shared.ops) {
        dispatch_buffer(f, m, false);
    } else if (claims_take(f, k) != 0) {
        keys_place_free(f, m);
        k->holder = NULL;
        m->key = NULL;
        no_memory(f, m);
    }
}

/* The key is the message's, or nobody's again. */
static void take(struct flow *f, struct key *k, struct message *m)
{
    const struct store *store = &f->seam.store;
    const char *text = k ? k->text : m->job->id;
    switch (store->ops->claim(store->self, m->job, text, m->body_hash)) {
    case CLAIM_NEW:
        m->claimed = true;
        m->key = k;
        if (k)
            k->holder = m;
        go_on(f, k, m);
        return;
    case CLAIM_DONE:
        f->counts.duplicates++;
        f->counts.acked_before++;
        settle_message(f, m, SETTLE_DUPLICATE, 0);
        return;
    case CLAIM_NO_MEMORY:
        no_memory(f, m);
        return;
    }
}

static void wait_for(struct flow *f, struct key *k, struct message *m)
{
    m->state = PARKED;
    m->awaits = k;
    list_append(&k->waiting, &m->node);
    f->keys.waiting++;
    log_with(LOG_INFO, "parked: its key is in hand", LF_TEXT("id", m->job->id),
             LF_TEXT("key", k->text), LF_TEXT("holder", k->holder ? k->holder->job->id : NULL));
}

static bool in_hand(const struct key *k)
{
    return k->holder || k->claim;
}

/* Looks again at those who wait for a key that nobody has. */
void keys_hand_on(struct flow *f, struct key *k)
{
    struct list *node;
    while (!in_hand(k) && (node = list_first(&k->waiting))) {
        struct message *m = list_entry(node, struct message, node);
        keys_leave(f, m);
        take(f, k, m);
    }
    if (in_hand(k))
        return;
    table_remove(&f->keys.by_text, &k->by_text);
    free(k);
}

static void let_go(struct flow *f, struct message *m,
                   void (*claim)(struct flow *, struct shared_claim *))
{
    struct key *k = m->key;
    m->key = NULL;
    if (!k)
        return;
    k->holder = NULL;
    if (k->claim)
        claim(f, k->claim);
    else
        keys_hand_on(f, k);
}

void keys_admit(struct flow *f, struct message *m)
{
    bool by_id;
    struct key *k = key_of(f, m, &by_id);
    if (!k && !by_id) {
        no_memory(f, m);
    } else if (k && in_hand(k)) {
        wait_for(f, k, m);
    } else {
        take(f, k, m);
        if (k)
            keys_hand_on(f, k);
    }
}

bool keys_acked(struct flow *f, struct message *m)
{
    const struct store *store = &f->seam.store;
    store->ops->done(store->self, m->job, m->key ? m->key->text : m->job->id, m->body_hash);
    m->claimed = false;
    if (m->key && m->key->claim) {
        claims_acked(f, m);
        return false;
    }
    let_go(f, m, NULL);
    return true;
}

void keys_free(struct flow *f, struct message *m)
{
    keys_place_free(f, m);
    let_go(f, m, claims_free);
}

void keys_abandon(struct flow *f, struct message *m)
{
    keys_place_free(f, m);
    let_go(f, m, claims_abandon);
}

bool keys_leave(struct flow *f, struct message *m)
{
    if (!m->awaits)
        return false;
    list_remove(&m->node);
    m->awaits = NULL;
    f->keys.waiting--;
    return true;
}

/* Where keys are, the waiting ones are: a key without a holder is let go of at once. */
void keys_unpark_all(struct flow *f, void (*put)(struct flow *, struct message *))
{
    for (size_t i = 0; i <= f->keys.by_text.mask; i++)
        for (struct table_node *n = f->keys.by_text.buckets[i]; n; n = n->next) {
            struct key *k = table_entry(n, struct key, by_text);
            struct list *node;
            while ((node = list_first(&k->waiting))) {
                struct message *m = list_entry(node, struct message, node);
                keys_leave(f, m);
                put(f, m);
            }
        }
}

int keys_init(struct flow *f)
{
    const char *key = f->options.key;
    f->keys.by = !key || strcmp(key, "message_id") == 0 ? KEY_MESSAGE_ID
                 : strcmp(key, "deduplication_id") == 0 ? KEY_DEDUPLICATION_ID
                                                        : KEY_POINTER;
    return table_init(&f->keys.by_text);
}

void keys_end(struct flow *f)
{
    struct table_node *n;
    while ((n = table_any(&f->keys.by_text))) {
        struct key *k = table_entry(n, struct key, by_text);
        table_remove(&f->keys.by_text, n);
        free(k->claim);
        free(k);
    }
    table_free(&f->keys.by_text);
}
