#include "flow/state.h"

#include <stdlib.h>
#include <string.h>

struct message *message_new(struct flow *f, struct job *job, int64_t first_byte_ms)
{
    struct message *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    list_init(&m->node);
    list_init(&m->lease);
    m->job = job;
    if (group_join(f, m) != 0) {
        free(m);
        return NULL;
    }
    m->state = BUFFERED;
    m->handle = job->handle;
    m->receive_count = job->receive_count;
    m->body_hash = hash_bytes(job->body, job->body_len);
    job->home = m;
    table_add(&f->in_hand, &m->by_id, job->id);
    lease_begin(f, m, first_byte_ms);
    return m;
}

int message_new_receipt(struct message *m, const char *handle)
{
    size_t len = strlen(handle);
    struct receipt *r = malloc(sizeof *r + len + 1);
    if (!r)
        return -1;
    memcpy(r->text, handle, len + 1);
    r->older = m->receipts;
    m->receipts = r;
    m->handle = r->text;
    return 0;
}

static void release_memory(struct message *m)
{
    while (m->receipts) {
        struct receipt *r = m->receipts;
        m->receipts = r->older;
        free(r);
    }
    free(m);
}

void message_drop(struct flow *f, struct message *m)
{
    if (!m->dropped) {
        group_leave(f, m);
        table_remove(&f->in_hand, &m->by_id);
        list_remove(&m->node);
        lease_end(f, m);
        if (m->out)
            m->job->home = NULL; /* freed when its verdict comes home */
        else
            job_free(m->job);
        m->job = NULL;
        m->dropped = true;
    }
    if (!m->extending)
        release_memory(m);
}
