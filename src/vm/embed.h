/* The Lua files that are part of the binary (scripts/embed). Read only, any thread. */
#ifndef VM_EMBED_H
#define VM_EMBED_H

#include <stddef.h>

/* `name` as it is below lua/: "host/keycloak.lua". NULL: there is none. Not NUL-terminated:
 * `len` counts the bytes. */
const char *embed_find(const char *name, size_t *len);

#endif
