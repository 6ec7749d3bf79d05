/* What a table holds, in one line for people: { code = 3, "x" } is shown as {"x", code = 3}. The
 * state's thread. */
#ifndef VM_SHOW_H
#define VM_SHOW_H

#include "base/buf.h"

struct lua_State;

/* Adds what the table at `index` holds: a few members, numbers first, names in order, short texts,
 * tables inside it as {...}; "***" for fields that are named as secrets and personal data are,
 * since errors go into logs and dead letters. Runs nothing of the author's, raises nothing,
 * allocates nothing in Lua, and looks at no more than a few dozen members. */
void show_table(struct lua_State *L, int index, struct buf *out);

#endif
