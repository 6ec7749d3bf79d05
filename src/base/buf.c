#include "base/buf.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What `data` points at before the first allocation: an empty string nobody writes to. */
static char nothing[1];

void buf_init(struct buf *b)
{
    *b = (struct buf){.data = nothing};
}

void buf_free(struct buf *b)
{
    if (b->data != nothing)
        free(b->data);
    buf_init(b);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->cap)
        b->data[0] = '\0';
}

bool buf_reserve(struct buf *b, size_t extra)
{
    if (b->failed)
        return false;
    if (extra < b->cap && b->len < b->cap - extra)
        return true;
    size_t need = b->len + extra + 1;
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need && cap <= (size_t)-1 / 4)
        cap *= 2;
    char *data = cap < need ? NULL : realloc(b->cap ? b->data : NULL, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0 || !buf_reserve(b, len))
        return;
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    if (b->failed)
        return;
    /* Into the room that is there; a second time only if that was too small. */
    size_t room = b->cap - b->len;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(b->cap ? b->data + b->len : NULL, room, format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < room) {
        b->len += (size_t)len;
        return;
    }
    if (b->cap)
        b->data[b->len] = '\0'; /* what did not fit is no part of it */
    if (len < 0 || !buf_reserve(b, (size_t)len)) {
        b->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

char *buf_take(struct buf *b, size_t *len)
{
    if (b->failed || !buf_reserve(b, 0)) {
        buf_free(b);
        return NULL;
    }
    char *data = b->data;
    if (len)
        *len = b->len;
    buf_init(b);
    return data;
}

static void json_escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        buf_str(b, "\\\"");
        break;
    case '\\':
        buf_str(b, "\\\\");
        break;
    case '\n':
        buf_str(b, "\\n");
        break;
    case '\r':
        buf_str(b, "\\r");
        break;
    case '\t':
        buf_str(b, "\\t");
        break;
    default:
        buf_printf(b, "\\u%04x", c);
    }
}

void buf_json(struct buf *b, const char *text, size_t len)
{
    size_t plain = 0; /* start of the run that needs no escape and was not copied yet */
    buf_char(b, '"');
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = c < 0x80 ? 1 : utf8_length(text + i, len - i);
        if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i += n;
            continue;
        }
        buf_add(b, text + plain, i - plain);
        if (n == 0)
            buf_str(b, "\xef\xbf\xbd");
        else
            json_escape(b, c);
        plain = ++i;
    }
    buf_add(b, text + plain, len - plain);
    buf_char(b, '"');
}
