/* The `handler` block: any data, kept as JSON, because each worker's Lua state makes its own
 * table of it. For conf/ only. */
#ifndef CONF_HANDLER_BLOCK_H
#define CONF_HANDLER_BLOCK_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

enum { CONF_BLOCK_DEPTH = 32 };

/* Appends the table at the top of the stack as JSON: integers exact, keys sorted, a table with
 * the keys 1 to n an array, an empty one an object. -1: something in it has no JSON form; the
 * text is "KEY must ..." with the key's path. `path` is the block's own name; it is used for
 * scratch and left as it was. May raise (no memory); owns nothing that a raise would leak. */
int conf_block_make(struct lua_State *L, struct buf *path, struct buf *out, struct err *e);

/* True for a JSON object (RFC 8259) in UTF-8 with nothing after it, whose whole numbers fit 64
 * bits. A NUL follows the text. */
bool conf_block_is_json(const char *text, size_t len);

/* Appends `json` (which must be JSON) with the strings masked whose member's name says that
 * they are secret. */
void conf_block_show(const char *json, struct buf *out);

#endif
