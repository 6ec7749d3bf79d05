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

/* The record of the message's key; NULL with `*by_id`: it goes by its id, which no other has. */
static struct key *key_of(struct flow *f, const struct message *m, bool *by_id)
{
    const struct job *job = m->job;
    const char *text = job->id, *why = NULL;
    char *found = NULL;
    if (f->keys.by == KEY_DEDUPLICATION_ID) {
        text = job->deduplication_id;
        why = "it has no MessageDeduplicationId: the queue is not a FIFO queue";
    } else if (f->keys.by == KEY_POINTER) {
        text = found = body_key(job->body, job->body_len, f->options.key, &why);
    }
    *by_id = f->keys.by == KEY_MESSAGE_ID || !text;
    if (!text)
        keyless(f, m, why);
    struct key *k = *by_id ? NULL : get(f, text);
    free(found);
    return k;
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
        dispatch_buffer(f, m, false);
        return;
    case CLAIM_DONE:
        f->counts.duplicates++;
        f->counts.acked_before++;
        settle_message(f, m, SETTLE_DUPLICATE, 0);
        return;
    case CLAIM_NO_MEMORY:
        settle_message(f, m, SETTLE_RELEASE, RELEASE_LATER_S);
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
             LF_TEXT("key", k->text), LF_TEXT("holder", k->holder->job->id));
}

/* Looks again at those who wait for a key that nobody has. */
static void hand_on(struct flow *f, struct key *k)
{
    struct list *node;
    while (!k->holder && (node = list_first(&k->waiting))) {
        struct message *m = list_entry(node, struct message, node);
        keys_leave(f, m);
        take(f, k, m);
    }
    if (k->holder)
        return;
    table_remove(&f->keys.by_text, &k->by_text);
    free(k);
}

static void let_go(struct flow *f, struct message *m)
{
    struct key *k = m->key;
    m->claimed = false;
    m->key = NULL;
    if (!k)
        return;
    k->holder = NULL;
    hand_on(f, k);
}

void keys_admit(struct flow *f, struct message *m)
{
    bool by_id;
    struct key *k = key_of(f, m, &by_id);
    if (!k && !by_id) {
        settle_message(f, m, SETTLE_RELEASE, RELEASE_LATER_S); /* no memory */
    } else if (k && k->holder) {
        wait_for(f, k, m);
    } else {
        take(f, k, m);
        if (k)
            hand_on(f, k);
    }
}

void keys_acked(struct flow *f, struct message *m)
{
    const struct store *store = &f->seam.store;
    if (!m->claimed)
        return;
    store->ops->done(store->self, m->job, m->key ? m->key->text : m->job->id, m->body_hash);
    let_go(f, m);
}

void keys_free(struct flow *f, struct message *m)
{
    const struct store *store = &f->seam.store;
    if (!m->claimed)
        return;
    store->ops->free(store->self, m->job);
    let_go(f, m);
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
        table_remove(&f->keys.by_text, n);
        free(table_entry(n, struct key, by_text));
    }
    table_free(&f->keys.by_text);
}
