/* A growable byte buffer. Any thread, one at a time.
 *
 * Failure is sticky: after an allocation that failed, appends do nothing and `failed` is set,
 * so that a writer of twenty pieces checks once at the end. The bytes are always followed by
 * a NUL that `len` does not count, so `data` can be read as a string (never NULL). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
    bool failed;
};

void buf_init(struct buf *b);
void buf_free(struct buf *b);  /* also makes it usable again, empty */
void buf_clear(struct buf *b); /* empty, memory kept, `failed` reset */

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `extra` more bytes; false (and `failed`) when there is no memory. */
bool buf_reserve(struct buf *b, size_t extra);

/* JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *text, size_t len);

/* Hands the bytes over (caller frees with free()) and leaves `b` empty; NULL if `failed`. */
char *buf_take(struct buf *b, size_t *len);

#endif
