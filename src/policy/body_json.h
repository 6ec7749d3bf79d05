/* A body read as JSON by the core, which needs little of it: a key, an envelope. */
#ifndef POLICY_BODY_JSON_H
#define POLICY_BODY_JSON_H

#include <stddef.h>

struct json_object;

/* Strictly; the whole of it. `body` ends with a NUL at `len`. NULL with `why`, a literal: "… is not
 * JSON", "… is null"; without one there is no memory, which says nothing of the body. */
struct json_object *body_json(const char *body, size_t len, const char **why);

#endif
