/* Typed errors, as handlers see them: tables {kind, message, retryable, status, after, …}
 * whose tostring() is the message. Needs no struct vm: any Lua state may use it. */
#ifndef VM_RAISE_H
#define VM_RAISE_H

#include <stdbool.h>

struct lua_State;

/* Marks a function that may leave by longjmp: call it from protected Lua code only, with
 * nothing held that only a return would free. */
#define MAY_RAISE

/* Pushes a typed error; the caller adds fields and calls lua_error. */
MAY_RAISE void raise_push(struct lua_State *L, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fields of the error on top of the stack. */
MAY_RAISE void raise_flag(struct lua_State *L, const char *name, bool value);
MAY_RAISE void raise_text(struct lua_State *L, const char *name, const char *value);

/* A call that breaks the contract of the function: kind "contract". */
MAY_RAISE _Noreturn void raise_misuse(struct lua_State *L, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Gives the table at the top the metatable of typed errors. */
MAY_RAISE void raise_set_type(struct lua_State *L);
bool raise_is_typed(struct lua_State *L, int index);

#endif
