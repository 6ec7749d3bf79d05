/* One value of one key: from what a source said to the typed field, and back to text.
 * For conf/ only. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/keys.h"

#include <stdbool.h>
#include <stddef.h>

struct conf_value {
    enum {
        VALUE_WORDS,  /* a flag, a variable, a default: text that may denote any type */
        VALUE_STRING, /* from the config file from here on */
        VALUE_INTEGER,
        VALUE_NUMBER,
        VALUE_MADE,  /* text in the field's own form, checked by who made it */
        VALUE_OTHER, /* `text` says what it is: "a table" */
    } kind;
    const char *text;
    size_t len;
    long long integer;
    double number;
    const char *folder; /* relative KEY_PATHs begin here; NULL: left as they are */
};

/* Sets the field. -1: "WHO must be a whole number from 1 to 10, found 11"; the code is
 * EXIT_CONFIG. An old value of the field is freed. */
int conf_set(struct conf *c, const struct conf_key *key, const struct conf_value *v,
             const char *who, struct err *e);

struct conf_value conf_words(const char *text);

/* The default, which is right by construction: -1 is no memory. */
int conf_set_default(struct conf *c, const struct conf_key *key, struct err *e);

/* Appends the field's value as Lua would write it; secrets masked. */
void conf_format(const struct conf *c, const struct conf_key *key, struct buf *out);

/* True if the field of that key holds a char *. */
bool conf_is_text(const struct conf_key *key);
void *conf_field(const struct conf *c, const struct conf_key *key);

#endif
