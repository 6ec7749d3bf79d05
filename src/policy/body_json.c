#include "policy/body_json.h"

#include <json-c/json.h>
#include <limits.h>

/* As deep as any body that is worth reading; json-c's parser calls itself for each level. */
enum { DEPTH_MAX = 200 };

struct json_object *body_json(const char *body, size_t len, const char **why)
{
    struct json_tokener *t = len < INT_MAX ? json_tokener_new_ex(DEPTH_MAX) : NULL;
    if (!t) {
        *why = NULL;
        return NULL;
    }
    json_tokener_set_flags(t, JSON_TOKENER_STRICT);
    /* with its NUL: a number at the very end is complete only then */
    struct json_object *o = json_tokener_parse_ex(t, body, (int)len + 1);
    if (json_tokener_get_error(t) != json_tokener_success || json_tokener_get_parse_end(t) < len) {
        json_object_put(o);
        o = NULL;
        *why = "the body is not JSON";
    } else if (!o) {
        *why = "the body is null";
    }
    json_tokener_free(t);
    return o;
}
