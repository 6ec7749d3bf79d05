#include "policy/storm.h"

#include <ctype.h>
#include <string.h>

enum { LOOMS_MESSAGES = 3 };

void storm_init(struct storm *s, int window)
{
    memset(s, 0, sizeof *s);
    s->window = window < STORM_WINDOW_MAX ? window : STORM_WINDOW_MAX;
}

void storm_forget(struct storm *s)
{
    s->next = s->known = 0;
}

/* FNV-1a, 64 bits. */
static uint64_t add(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)c) * 1099511628211u;
}

static uint64_t add_text(uint64_t hash, const char *text, bool numbers)
{
    for (; text && *text; text++)
        if (numbers || !isdigit((unsigned char)*text))
            hash = add(hash, *text);
    return add(hash, '\0');
}

uint64_t storm_fingerprint(const char *kind, const char *at, const char *reason)
{
    uint64_t hash = add_text(14695981039346656037u, kind, true);
    if (at && *at)
        hash = add_text(hash, at, true);
    else
        hash = add_text(hash, reason, false);
    return hash ? hash : 1;
}

void storm_result(struct storm *s, uint64_t fingerprint, uint64_t message)
{
    if (s->window <= 0)
        return;
    s->runs[s->next].fingerprint = fingerprint;
    s->runs[s->next].message = message;
    s->next = (s->next + 1) % s->window;
    if (s->known < s->window)
        s->known++;
}

bool storm_rages(const struct storm *s, uint64_t fingerprint)
{
    int alike = 0;
    for (int i = 0; i < s->known; i++)
        alike += s->runs[i].fingerprint == fingerprint;
    return s->window > 0 && s->known == s->window && alike * 10 >= s->window * 9;
}

bool storm_looms(const struct storm *s, uint64_t fingerprint)
{
    uint64_t seen[LOOMS_MESSAGES];
    int messages = 0;
    for (int i = 0; i < s->known; i++) {
        if (s->runs[i].fingerprint == 0)
            return false;
        if (s->runs[i].fingerprint != fingerprint)
            continue;
        int k = 0;
        while (k < messages && seen[k] != s->runs[i].message)
            k++;
        if (k == messages && messages < LOOMS_MESSAGES)
            seen[messages++] = s->runs[i].message;
    }
    return messages >= LOOMS_MESSAGES;
}
