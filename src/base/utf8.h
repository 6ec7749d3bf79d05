/* UTF-8 as Unicode 15 table 3-7 defines it: no overlong forms, no surrogates. Any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length in bytes (1-4) of the character at `text`, 0 if the bytes there are no UTF-8. */
size_t utf8_length(const char *text, size_t len);

/* How much of `text` fits into `most` bytes without the beginning of a character at its end. */
size_t utf8_cut(const char *text, size_t len, size_t most);

#endif
