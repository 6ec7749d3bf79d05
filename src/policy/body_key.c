#include "policy/body_key.h"

#include <json-c/json.h>
#include <limits.h>
#include <string.h>

/* As deep as any body that is worth a key; json-c's parser calls itself for each level. */
enum { DEPTH_MAX = 200 };

static struct json_object *parse(const char *body, size_t len, const char **why)
{
    struct json_tokener *t = len < INT_MAX ? json_tokener_new_ex(DEPTH_MAX) : NULL;
    if (!t) {
        *why = "no memory to read the body";
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

static char *text_of(struct json_object *v, const char **why)
{
    switch (json_object_get_type(v)) {
    case json_type_null:
        *why = "null stands there";
        return NULL;
    case json_type_boolean:
        *why = "a boolean stands there";
        return NULL;
    case json_type_object:
        *why = "an object stands there";
        return NULL;
    case json_type_array:
        *why = "an array stands there";
        return NULL;
    case json_type_string:
    case json_type_int:
    case json_type_double:
        break;
    }
    const char *text = json_object_get_string(v);
    /* A key with a NUL in it is escaped, so that it is not another's key. */
    if (json_object_is_type(v, json_type_string) &&
        strlen(text) != (size_t)json_object_get_string_len(v))
        text = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
    if (text && !*text) {
        *why = "an empty string stands there";
        return NULL;
    }
    char *key = text ? strdup(text) : NULL;
    *why = key ? NULL : "no memory for the key";
    return key;
}

char *body_key(const char *body, size_t len, const char *pointer, const char **why)
{
    struct json_object *found, *o = parse(body, len, why);
    if (!o)
        return NULL;
    char *key = NULL;
    if (json_pointer_get(o, pointer, &found) != 0)
        *why = "nothing stands there";
    else
        key = text_of(found, why);
    json_object_put(o);
    return key;
}
