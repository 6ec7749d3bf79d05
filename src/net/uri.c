#include "net/uri.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uri_decode(struct buf *out, const char *text, size_t len, bool plus)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text[i + 2]);
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        buf_char(out, c);
    }
    return !out->failed;
}

bool uri_next(const char *query, size_t *at, struct uri_pair *pair)
{
    const char *p = query + *at;
    p += strspn(p, "&");
    if (!*p)
        return false;
    size_t len = strcspn(p, "&");
    const char *equals = memchr(p, '=', len);
    pair->name = p;
    pair->name_len = equals ? (size_t)(equals - p) : len;
    pair->value = equals ? equals + 1 : p + len;
    pair->value_len = (size_t)(p + len - pair->value);
    *at = (size_t)(p + len - query);
    return true;
}
