/* The key that a message's body carries, where a JSON pointer (RFC 6901) finds it. Pure but for
 * its allocations. */
#ifndef POLICY_BODY_KEY_H
#define POLICY_BODY_KEY_H

#include <stddef.h>

/* A string's text, or a number as the body writes it: "42" and 42 are one key. The caller frees
 * it. NULL: there is none, and `why` (static) says what was found instead; without it there is no
 * memory, and whether there is a key is not known. */
char *body_key(const char *body, size_t len, const char *pointer, const char **why);

#endif
