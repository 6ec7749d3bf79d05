/* UTF-8 as Unicode 15 table 3-7 defines it: no overlong forms, no surrogates. Any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length in bytes (1-4) of the character at `text`, 0 if the bytes there are no UTF-8. */
size_t utf8_length(const char *text, size_t len);

#endif
