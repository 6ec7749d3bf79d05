/* JSON as handlers need it: integers exact, arrays stay arrays, errors with their place.
 * Needs no struct vm: any Lua state may use it. */
#ifndef VM_JSON_H
#define VM_JSON_H

#include "vm/raise.h"

#include <stddef.h>

struct lua_State;

enum json_flags {
    JSON_PLAIN = 1,      /* arrays without the metatable that keeps `[]` an array */
    JSON_DROP_NULLS = 2, /* members of objects that are null are left out */
    JSON_BIG_TEXT = 4,   /* integers beyond Lua's become strings instead of errors */
};

enum { JSON_DEPTH_MAX = 100 };

/* The module host.json: encode, decode, null, array, object. */
MAY_RAISE int bind_json_open(struct lua_State *L);

/* Pushes the value of a JSON text; raises a typed error of kind "json" with line and column. */
MAY_RAISE void json_push(struct lua_State *L, const char *text, size_t len, int flags);
MAY_RAISE void json_push_deep(struct lua_State *L, const char *text, size_t len, int flags,
                              int depth_max);

/* Replaces the value at the top by its JSON text. */
MAY_RAISE void json_encode(struct lua_State *L);

/* A finite number's shortest form that reads back as the same double, with a point or an exponent.
 */
enum { JSON_FLOAT_BYTES = 40 };
void json_float(char out[JSON_FLOAT_BYTES], double value);

/* The metatables' names in the registry. */
extern const char json_array_name[];
extern const char json_object_name[];

#endif
