#include "policy/body_key.h"

#include "policy/body_json.h"

#include <json-c/json.h>
#include <string.h>

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
    *why = NULL;
    return key;
}

char *body_key(const char *body, size_t len, const char *pointer, const char **why)
{
    struct json_object *found, *o = body_json(body, len, why);
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
