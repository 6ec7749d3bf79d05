#include "vm/calls.h"

#include "net/fetch.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 24, FAIR_CHANCE_MS = 1000 };

/* A word that a person gave to a kind of thing: no digits, no escapes, not long. */
static bool is_word(const char *segment, size_t len)
{
    if (len == 0 || len > WORD_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalpha((unsigned char)segment[i]) && !strchr("-_.", segment[i]) &&
            !(i > 0 && len <= 3 && isdigit((unsigned char)segment[i]))) /* v2 */
            return false;
    return true;
}

void calls_name(char name[CALL_NAME_BYTES], const char *method, const char *url)
{
    const char *authority = strstr(url, "://");
    const char *path = authority ? authority + 3 + strcspn(authority + 3, "/?#") : url;
    int n = snprintf(name, CALL_NAME_BYTES, "%.8s ", method);
    while (*path == '/' && n < CALL_NAME_BYTES - 1) {
        size_t len = strcspn(++path, "/?#");
        if (is_word(path, len) || len == 0)
            n += snprintf(name + n, (size_t)(CALL_NAME_BYTES - n), "/%.*s", (int)len, path);
        else
            n += snprintf(name + n, (size_t)(CALL_NAME_BYTES - n), "/*");
        path += len;
    }
}

static bool end_of(const struct call_note *note, const struct fetch_response *r, enum call_end *end)
{
    switch (r->result) {
    case FETCH_OK:
        if (r->status == 429 || (r->status == 503 && note->retry_after_ms >= 0))
            *end = CALL_REFUSED;
        else if (r->status >= 500 && !(r->status == 500 && note->own_500))
            *end = CALL_FAILED;
        else
            *end = CALL_ANSWERED;
        return true;
    case FETCH_TOO_BIG:
        *end = CALL_ANSWERED;
        return true;
    case FETCH_TIMEOUT:
        *end = CALL_TIMEOUT;
        return !note->no_fair_chance;
    case FETCH_NO_CONNECTION:
    case FETCH_CUT:
        *end = CALL_FAILED;
        return true;
    case FETCH_FAILED: /* nothing was sent, for reasons of our own */
        break;
    }
    return false;
}

static void add(struct job *job, const struct call_note *note, enum call_end end, int64_t rtt_us)
{
    struct target_call *c = job_add_call(job);
    if (!c)
        return;
    snprintf(c->target, sizeof c->target, "%s", note->target);
    snprintf(c->name, sizeof c->name, "%s", note->name);
    c->end = end;
    c->rtt_us = rtt_us;
    c->started_ms = note->started_ms;
    c->retry_after_ms = end == CALL_REFUSED ? note->retry_after_ms : -1;
}

void calls_note(struct job *job, const struct call_note *note, const struct fetch_response *r)
{
    enum call_end end;
    if (job && end_of(note, r, &end))
        add(job, note, end, r->elapsed_us);
}

void calls_note_given_up(struct job *job, const struct call_note *note, int64_t now_ms)
{
    int64_t took_ms = now_ms - note->started_ms;
    if (job && took_ms >= FAIR_CHANCE_MS)
        add(job, note, CALL_TIMEOUT, took_ms * 1000);
}
