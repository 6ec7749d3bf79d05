/* What fetch says of an answer: its header lines, and in words why there is none. */
#include "net/fetch.h"

#include "base/clock.h"
#include "net/fetch_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { RETRY_AFTER_MAX_S = 24 * 3600 };

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

bool fetch_next_header(const struct fetch_response *r, size_t *at, const char **name,
                       size_t *name_len, const char **value, size_t *value_len)
{
    const char *text = r->head->data, *end = text + r->head->len;
    while (*at < r->head->len) {
        const char *line = text + *at;
        const char *nl = memchr(line, '\n', (size_t)(end - line));
        const char *stop = nl ? nl : end;
        *at = (size_t)((nl ? nl + 1 : end) - text);
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        /* The status line, a folded line (RFC 9112, 5.2: obsolete), no header at all. */
        if (!colon || colon == line || blank(*line) || memchr(line, ' ', (size_t)(colon - line)))
            continue;
        const char *v = colon + 1;
        while (v < stop && blank(*v))
            v++;
        while (stop > v && (blank(stop[-1]) || stop[-1] == '\r'))
            stop--;
        *name = line;
        *name_len = (size_t)(colon - line);
        *value = v;
        *value_len = (size_t)(stop - v);
        return true;
    }
    return false;
}

bool fetch_header(const struct fetch_response *r, const char *name, char *out, size_t size)
{
    size_t at = 0, wanted = strlen(name), name_len, value_len;
    const char *found, *value;
    while (fetch_next_header(r, &at, &found, &name_len, &value, &value_len)) {
        if (name_len != wanted || strncasecmp(found, name, wanted) != 0)
            continue;
        if (value_len >= size)
            return false;
        memcpy(out, value, value_len);
        out[value_len] = '\0';
        return true;
    }
    return false;
}

/* Seconds since 1970; -1: no date in one of HTTP's three forms. */
static time_t date_of(const struct fetch_response *r, const char *name)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    char text[64];
    if (!fetch_header(r, name, text, sizeof text))
        return -1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm t = {0};
        const char *end = strptime(text, forms[i], &t);
        if (end && !*end)
            return timegm(&t);
    }
    return -1;
}

int64_t fetch_retry_after_ms(const struct fetch_response *r)
{
    char text[64], *end;
    if (!fetch_header(r, "Retry-After", text, sizeof text))
        return -1;
    long long wait_s = strtoll(text, &end, 10);
    if (end == text || *end) {
        time_t then = date_of(r, "Retry-After"), now = date_of(r, "Date");
        if (then < 0)
            return -1;
        wait_s = then - (now >= 0 ? now : (time_t)(clock_wall_ms() / 1000));
    }
    if (wait_s <= 0)
        return -1;
    return (wait_s < RETRY_AFTER_MAX_S ? wait_s : RETRY_AFTER_MAX_S) * INT64_C(1000);
}

void fetch_explain(struct fetch_response *r, const struct fetch_story *s, char *out, size_t size)
{
    char origin[300];
    r->error = out;
    out[0] = '\0';
    if (r->result == FETCH_OK)
        return;
    if (fetch_origin(s->url, origin, sizeof origin) != 0)
        snprintf(origin, sizeof origin, "the server");
    switch (r->result) {
    case FETCH_OK:
        break;
    case FETCH_NO_CONNECTION:
        snprintf(out, size, "no connection to %s: %s", origin, s->detail);
        break;
    case FETCH_TIMEOUT:
        snprintf(out, size, "no whole answer from %s within %d ms (%s)", origin, s->timeout_ms,
                 s->detail);
        break;
    case FETCH_CUT:
        snprintf(out, size, "the connection to %s was lost before its answer was whole (%s)",
                 origin, s->detail);
        break;
    case FETCH_TOO_BIG:
        snprintf(out, size, "the answer of %s is over %zu bytes", origin, s->max_body_bytes);
        break;
    case FETCH_FAILED:
        snprintf(out, size, "the request to %s failed: %s", origin, s->detail);
    }
}
