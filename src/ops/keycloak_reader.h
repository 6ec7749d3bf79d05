/* Reads from the configured Keycloak, for dry runs: GET requests, one after the other, each waited
 * for. A loop, a client and a token of its own, so that a handler's run may wait for it in the
 * middle of a request of its own. */
#ifndef OPS_KEYCLOAK_READER_H
#define OPS_KEYCLOAK_READER_H

#include "base/err.h"

#include <stddef.h>

struct conf;
struct keycloak_reader;

/* NULL with `e`: no memory, no usable URL. The configuration must outlive it. */
struct keycloak_reader *keycloak_reader_new(const struct conf *conf, struct err *e);
void keycloak_reader_free(struct keycloak_reader *r); /* NULL is fine */

/* The HTTP status, with the body in *text; -1: no token or no answer, *text says why. The text
 * stays until the next read. */
int keycloak_read(struct keycloak_reader *r, const char *url, const char **text, size_t *len);

/* The token of the last read, which nobody may print. NULL: there was none. */
const char *keycloak_reader_token(const struct keycloak_reader *r);

#endif
