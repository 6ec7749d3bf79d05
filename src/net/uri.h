/* Percent-decoding of a request's path and query. Any thread. */
#ifndef NET_URI_H
#define NET_URI_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the decoded bytes to `out`; `plus`: '+' is a blank (queries, forms). False: an
 * escape that is none, or one of NUL, which would cut the text for C. */
bool uri_decode(struct buf *out, const char *text, size_t len, bool plus);

/* Walks "a=1&b=2": *at starts at 0; gives name and value still encoded. A piece without '='
 * has an empty value; empty pieces are passed over. */
struct uri_pair {
    const char *name, *value;
    size_t name_len, value_len;
};
bool uri_next(const char *query, size_t *at, struct uri_pair *pair);

#endif
