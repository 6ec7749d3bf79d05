#include "base/trace.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { PARENT_LEN = 55, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, STATE_MEMBERS_MAX = 32 };

static const char hex[] = "0123456789abcdef";

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, hex) >= len;
}

static bool is_zero(const char *text, size_t len)
{
    return strspn(text, "0") >= len;
}

static bool write_parent(char out[TRACE_BYTES], const char *trace, const char *span, int flags)
{
    if (is_zero(trace, 32) || is_zero(span, 16))
        return false;
    snprintf(out, TRACE_BYTES, "00-%.32s-%.16s-%02x", trace, span, (unsigned)flags);
    return true;
}

/* A later version may have more behind; then a dash comes first. */
bool trace_of_parent(const char *t, char out[TRACE_BYTES])
{
    size_t len = strlen(t);
    out[0] = '\0';
    if (len < PARENT_LEN || !is_hex(t, 2) || t[2] != '-' || !is_hex(t + TRACE_AT, 32) ||
        t[35] != '-' || !is_hex(t + SPAN_AT, 16) || t[52] != '-' || !is_hex(t + FLAGS_AT, 2))
        return false;
    bool first = memcmp(t, "00", 2) == 0;
    if (memcmp(t, "ff", 2) == 0 || (first && len > PARENT_LEN) ||
        (len > PARENT_LEN && t[PARENT_LEN] != '-'))
        return false;
    int flags = (int)(strchr(hex, t[FLAGS_AT + 1]) - hex) & 3;
    return write_parent(out, t + TRACE_AT, t + SPAN_AT, flags);
}

/* The value of a key in "A=1;B=2", or NULL. */
static const char *value_of(const char *header, const char *key)
{
    size_t len = strlen(key);
    for (const char *at = header; *at; at += strcspn(at, ";"), at += *at == ';') {
        at += strspn(at, " ");
        if (strncmp(at, key, len) == 0 && at[len] == '=')
            return at + len + 1;
    }
    return NULL;
}

bool trace_of_xray(const char *header, char out[TRACE_BYTES])
{
    const char *root = value_of(header, "Root"), *parent = value_of(header, "Parent");
    const char *sampled = value_of(header, "Sampled");
    char trace[33];
    out[0] = '\0';
    if (!root || !parent || strncmp(root, "1-", 2) != 0 || !is_hex(root + 2, 8) ||
        root[10] != '-' || !is_hex(root + 11, 24) || !is_hex(parent, 16))
        return false;
    snprintf(trace, sizeof trace, "%.8s%.24s", root + 2, root + 11);
    return write_parent(out, trace, parent, sampled && *sampled == '1');
}

bool trace_is_state(const char *state)
{
    int members = 1;
    size_t len = strlen(state);
    if (len == 0 || len > TRACESTATE_MAX_BYTES)
        return false;
    for (; *state; state++) {
        if (*state < ' ' || *state > '~')
            return false;
        members += *state == ',';
    }
    return members <= STATE_MEMBERS_MAX;
}
