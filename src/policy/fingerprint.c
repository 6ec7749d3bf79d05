#include "policy/fingerprint.h"

#include "policy/storm.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* FNV-1a, 64 bits. */
static uint64_t add(uint64_t hash, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || (unsigned char)c >= 0x80;
}

/* The length of what is quoted from here on, quotes included. 0: nothing is; an apostrophe inside
 * a word ("can't") begins nothing. */
static size_t quoted(const char *start, const char *p)
{
    if ((*p != '\'' && *p != '"') || (p > start && in_word(p[-1])))
        return 0;
    const char *end = strchr(p + 1, *p);
    return end ? (size_t)(end - p) + 1 : 0;
}

uint64_t fingerprint(const char *kind, const char *at, const char *reason)
{
    uint64_t hash = storm_fingerprint(kind, at, NULL);
    for (const char *p = reason ? reason : ""; *p;) {
        size_t n = quoted(reason, p);
        bool differs = n > 0;
        if (n == 0) {
            while (in_word(p[n]))
                differs |= isdigit((unsigned char)p[n++]) != 0;
            n += n == 0;
        }
        hash = differs ? add(hash, "#", 1) : add(hash, p, n);
        p += n;
    }
    return hash ? hash : 1;
}
