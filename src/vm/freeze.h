/* Read-only tables: the standard library, the host's modules, host.config and, after the load
 * phase, the globals. All tasks of a worker share one state; what one of them could change
 * would change every other message. Needs no struct vm.
 *
 * A frozen table is emptied into a hidden one that its metatable's __index leads to; so reads
 * cost one step more, and writes (rawset is replaced too) are errors. */
#ifndef VM_FREEZE_H
#define VM_FREEZE_H

#include "vm/raise.h"

#include <stdbool.h>

struct lua_State;

/* Freezes the table at `index`. `name` is for the error of whoever assigns a field. A table
 * that has a metatable already is left alone. */
MAY_RAISE void freeze_table(struct lua_State *L, int index, const char *name);

/* The same with every table that is reachable through fields. */
MAY_RAISE void freeze_deep(struct lua_State *L, int index, const char *name);

/* If the table at `index` is frozen, pushes what it hides and returns true. */
bool freeze_hidden(struct lua_State *L, int index);

#endif
