#include "conf/value.h"

#include "base/exit.h"
#include "conf/handler_block.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOUND_MAX_BYTES = 60 };

void *conf_field(const struct conf *c, const struct conf_key *key)
{
    return (char *)c + key->offset;
}

bool conf_is_text(const struct conf_key *key)
{
    return key->type <= KEY_BLOCK;
}

struct conf_value conf_words(const char *text)
{
    return (struct conf_value){.kind = VALUE_WORDS, .text = text, .len = strlen(text)};
}

/* ---- words for errors ---- */

static void put_size(struct buf *b, double bytes)
{
    static const char units[] = "\0KMG";
    int unit = 0;
    while (unit < 3 && bytes >= 1024 && fmod(bytes, 1024) == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_printf(b, "%.0f%.1s", bytes, units + unit);
}

static void put_expected(struct buf *b, const struct conf_key *key)
{
    switch (key->type) {
    case KEY_INT:
        buf_printf(b, "a whole number from %.0f to %.0f", key->min, key->max);
        break;
    case KEY_SECONDS:
        buf_printf(b, "a number of seconds from %.15g to %.15g", key->min, key->max);
        break;
    case KEY_NUMBER:
        buf_printf(b, "a number from %.15g to %.15g", key->min, key->max);
        break;
    case KEY_SIZE:
        buf_str(b, "a number of bytes, or text like \"64M\", from ");
        put_size(b, key->min);
        buf_str(b, " to ");
        put_size(b, key->max);
        break;
    case KEY_SHARE:
        buf_str(b, "\"all\", \"errors\" or a number from 0 to 1");
        break;
    case KEY_ENUM:
        for (int i = 0; key->names[i]; i++)
            buf_printf(b, "%s\"%s\"", !i ? "" : key->names[i + 1] ? ", " : " or ", key->names[i]);
        break;
    case KEY_URL:
        buf_str(b, "an http or https URL without user name, query and fragment");
        break;
    case KEY_NAME:
        buf_str(b, "a name of letters, digits, - _ and .");
        break;
    case KEY_ADDRESS:
        buf_str(b, "an address like \"127.0.0.1:9180\", or \"off\"");
        break;
    case KEY_LIST:
        buf_str(b, "a list of strings");
        break;
    case KEY_BLOCK:
        buf_str(b, "a table of settings (in the variable: a JSON object)");
        break;
    case KEY_STRING:
    case KEY_PATH:
        buf_str(b, "a string, not empty and without control characters");
    }
}

static void put_quoted(struct buf *b, const char *text, size_t len)
{
    size_t shown = len < FOUND_MAX_BYTES ? len : FOUND_MAX_BYTES;
    buf_char(b, '"');
    for (size_t i = 0; i < shown; i++)
        buf_char(b, iscntrl((unsigned char)text[i]) ? '?' : text[i]);
    buf_str(b, shown < len ? "...\"" : "\"");
}

static void put_found(struct buf *b, const struct conf_key *key, const struct conf_value *v)
{
    bool hidden = key->marks & KEY_SECRET || key->type == KEY_BLOCK ||
                  (key->type == KEY_URL && v->text && strchr(v->text, '@'));
    if (v->kind == VALUE_INTEGER) {
        buf_printf(b, "%lld", v->integer);
    } else if (v->kind == VALUE_NUMBER) {
        buf_printf(b, "%.15g", v->number);
    } else if (v->kind == VALUE_OTHER) {
        buf_str(b, v->text);
    } else if (hidden) {
        buf_str(b, "something else (not shown here)");
    } else {
        buf_str(b, v->kind == VALUE_STRING ? "the string " : "");
        put_quoted(b, v->text, v->len);
    }
}

static int wrong(const struct conf_key *key, const struct conf_value *v, const char *who,
                 struct err *e)
{
    struct buf b;
    buf_init(&b);
    put_expected(&b, key);
    buf_str(&b, ", found ");
    put_found(&b, key, v);
    err_set(e, EXIT_CONFIG, "%s must be %s", who, b.data);
    buf_free(&b);
    return -1;
}

/* ---- numbers ---- */

static bool parse_number(const char *text, size_t len, double *out)
{
    char *end;
    if (!len || strspn(text, "0123456789.eE+-") != len)
        return false;
    *out = strtod(text, &end);
    return end == text + len && isfinite(*out);
}

static bool parse_size(const char *text, size_t len, double *out)
{
    static const char units[] = "KMG";
    double factor = 1;
    const char *unit = len ? strchr(units, toupper((unsigned char)text[len - 1])) : NULL;
    if (unit && *unit) {
        for (const char *u = units; u <= unit; u++)
            factor *= 1024;
        len--;
    }
    if (!len || len > 15 || strspn(text, "0123456789") < len)
        return false;
    *out = (double)strtoll(text, NULL, 10) * factor;
    return true;
}

static bool number_of(const struct conf_key *key, const struct conf_value *v, double *out)
{
    bool text = v->kind == VALUE_WORDS || v->kind == VALUE_STRING;
    if (text && key->type == KEY_SIZE)
        return parse_size(v->text, v->len, out);
    if (text && key->type == KEY_SHARE && strcmp(v->text, "all") == 0) {
        *out = 1;
        return true;
    }
    if (text && key->type == KEY_SHARE && strcmp(v->text, "errors") == 0) {
        *out = 0;
        return true;
    }
    if (v->kind == VALUE_WORDS)
        return parse_number(v->text, v->len, out);
    *out = v->kind == VALUE_INTEGER ? (double)v->integer : v->number;
    return v->kind == VALUE_INTEGER || v->kind == VALUE_NUMBER;
}

static bool set_number(struct conf *c, const struct conf_key *key, const struct conf_value *v)
{
    void *field = conf_field(c, key);
    double low = key->min, high = key->type == KEY_SHARE ? 1 : key->max, number;
    if (!number_of(key, v, &number) || !(number >= low && number <= high))
        return false;
    if ((key->type == KEY_INT || key->type == KEY_SIZE) && number != floor(number))
        return false;
    if (key->type == KEY_INT)
        *(int *)field = (int)number;
    else if (key->type == KEY_SIZE)
        *(size_t *)field = (size_t)number;
    else
        *(double *)field = number;
    return true;
}

static bool set_choice(struct conf *c, const struct conf_key *key, const struct conf_value *v)
{
    if (v->kind != VALUE_WORDS && v->kind != VALUE_STRING)
        return false;
    for (int i = 0; key->names[i]; i++) {
        if (strcmp(key->names[i], v->text) == 0) {
            *(int *)conf_field(c, key) = i;
            return true;
        }
    }
    return false;
}

/* ---- text ---- */

static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return len > 0;
}

static bool is_name(const char *text, size_t len)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return len > 0 && strspn(text, allowed) == len;
}

static bool is_url(const char *text, size_t len)
{
    size_t skip = strncasecmp(text, "http://", 7) == 0    ? 7
                  : strncasecmp(text, "https://", 8) == 0 ? 8
                                                          : 0;
    const char *host = text + skip;
    return skip && is_plain(text, len) && *host && !strchr("/:", *host) &&
           strcspn(text, " \"<>\\^`{|}@?#") == len;
}

static bool is_address(const char *text, size_t len)
{
    const char *colon = strrchr(text, ':');
    double port;
    if (strcmp(text, "off") == 0)
        return true;
    return colon && colon > text && is_plain(text, len) && !strchr(text, ' ') &&
           strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
           parse_number(colon + 1, strlen(colon + 1), &port) && port <= 65535;
}

/* Items with no white space around them, none empty. "" is the empty list. */
static bool is_list(const char *text, size_t len)
{
    if (!len)
        return true;
    if (!is_plain(text, len))
        return false;
    for (const char *item = text;; item++) {
        size_t n = strcspn(item, ",");
        if (!n || item[0] == ' ' || item[n - 1] == ' ')
            return false;
        item += n;
        if (!*item)
            return true;
    }
}

static bool text_is_right(const struct conf_key *key, const struct conf_value *v)
{
    bool words = v->kind == VALUE_WORDS;
    if (v->kind == VALUE_MADE)
        return true;
    if ((!words && v->kind != VALUE_STRING) || strlen(v->text) != v->len)
        return false;
    switch (key->type) {
    case KEY_NAME:
        return is_name(v->text, v->len);
    case KEY_URL:
        return is_url(v->text, v->len);
    case KEY_ADDRESS:
        return is_address(v->text, v->len);
    case KEY_LIST:
        return words && is_list(v->text, v->len);
    case KEY_BLOCK:
        return words && conf_block_is_json(v->text, v->len);
    default:
        return is_plain(v->text, v->len);
    }
}

static char *make_text(const struct conf_key *key, const struct conf_value *v)
{
    struct buf b;
    buf_init(&b);
    if (key->type == KEY_PATH && v->folder && v->text[0] != '/' && strcmp(v->folder, ".") != 0)
        buf_printf(&b, "%s/", v->folder);
    size_t len = v->len;
    while (key->type == KEY_URL && len && v->text[len - 1] == '/')
        len--;
    buf_add(&b, v->text, len);
    char *made = buf_take(&b, NULL);
    buf_free(&b);
    return made;
}

int conf_set(struct conf *c, const struct conf_key *key, const struct conf_value *v,
             const char *who, struct err *e)
{
    if (!conf_is_text(key)) {
        bool right = key->type == KEY_ENUM ? set_choice(c, key, v) : set_number(c, key, v);
        return right ? 0 : wrong(key, v, who, e);
    }
    if (!text_is_right(key, v))
        return wrong(key, v, who, e);
    char *made = make_text(key, v), **field = conf_field(c, key);
    if (!made)
        return err_set(e, EXIT_FAILED, "no memory for the configuration");
    free(*field);
    *field = made;
    return 0;
}

int conf_set_default(struct conf *c, const struct conf_key *key, struct err *e)
{
    if (!key->def)
        return 0;
    struct conf_value v = conf_words(key->def);
    return conf_set(c, key, &v, key->path, e);
}

/* ---- back to text ---- */

static void put_list(struct buf *out, const char *text)
{
    if (!*text) {
        buf_str(out, "{}");
        return;
    }
    buf_str(out, "{ ");
    for (size_t n; *text; text += n + (text[n] == ',')) {
        n = strcspn(text, ",");
        put_quoted(out, text, n);
        buf_str(out, text[n] ? ", " : " }");
    }
}

static void put_text(struct buf *out, const struct conf_key *key, const char *text)
{
    if (!text)
        buf_str(out, "nil");
    else if (key->marks & KEY_SECRET)
        buf_str(out, "\"********\"");
    else if (key->type == KEY_LIST)
        put_list(out, text);
    else if (key->type == KEY_BLOCK)
        conf_block_show(text, out);
    else
        buf_json(out, text, strlen(text));
}

void conf_format(const struct conf *c, const struct conf_key *key, struct buf *out)
{
    const void *field = conf_field(c, key);
    if (conf_is_text(key)) {
        put_text(out, key, *(char *const *)field);
    } else if (key->type == KEY_ENUM) {
        buf_printf(out, "\"%s\"", key->names[*(const int *)field]);
    } else if (key->type == KEY_INT) {
        int number = *(const int *)field;
        buf_printf(out, !number && !key->def ? "nil" : "%d", number);
    } else if (key->type == KEY_SIZE) {
        struct buf size;
        buf_init(&size);
        put_size(&size, (double)*(const size_t *)field);
        bool unit = size.len && isalpha((unsigned char)size.data[size.len - 1]);
        buf_printf(out, unit ? "\"%s\"" : "%s", size.data);
        buf_free(&size);
    } else {
        double number = *(const double *)field;
        if (number == 0 && !key->def)
            buf_str(out, "nil");
        else if (key->type == KEY_SHARE && (number == 0 || number == 1))
            buf_str(out, number == 1 ? "\"all\"" : "\"errors\"");
        else
            buf_printf(out, "%.15g", number);
    }
}
