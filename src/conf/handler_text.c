/* The `handler` block when it is JSON already: is it, and what of it may be shown. */
#include "conf/handler_block.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- is it JSON ---- */

/* Each skip_* moves past what it is named after; false: that is not what stands there. The
 * text ends in a NUL, which nothing here moves past. */

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t\r\n");
}

static bool skip_word(const char **p, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

static bool skip_escape(const char **p)
{
    if (**p == 'u') {
        ++*p;
        for (int i = 0; i < 4; i++, ++*p)
            if (!isxdigit((unsigned char)**p))
                return false;
        return true;
    }
    if (!**p || !strchr("\"\\/bfnrt", **p))
        return false;
    ++*p;
    return true;
}

static bool skip_string(const char **p)
{
    if (!skip_word(p, "\""))
        return false;
    while (**p != '"') {
        size_t n = utf8_length(*p, strnlen(*p, 4));
        if (!n || (unsigned char)**p < ' ')
            return false;
        bool escape = **p == '\\';
        *p += n;
        if (escape && !skip_escape(p))
            return false;
    }
    ++*p;
    return true;
}

static bool skip_digits(const char **p)
{
    size_t n = strspn(*p, "0123456789");
    *p += n;
    return n > 0;
}

/* A whole number must fit the 64 bits that Lua has for it. */
static bool skip_number(const char **p)
{
    const char *start = *p;
    skip_word(p, "-");
    if (!skip_word(p, "0") && !skip_digits(p))
        return false;
    bool whole = **p != '.' && **p != 'e' && **p != 'E';
    if (skip_word(p, ".") && !skip_digits(p))
        return false;
    if (**p == 'e' || **p == 'E') {
        ++*p;
        *p += **p == '+' || **p == '-';
        if (!skip_digits(p))
            return false;
    }
    errno = 0;
    if (whole)
        strtoll(start, NULL, 10);
    return errno == 0;
}

static bool skip_value(const char **p, int depth);

/* What stands between brackets; `named`: each value has its name before it. */
static bool skip_members(const char **p, const char *end, bool named, int depth)
{
    ++*p;
    skip_space(p);
    if (skip_word(p, end))
        return true;
    do {
        skip_space(p);
        if (named && !skip_string(p))
            return false;
        skip_space(p);
        if (named && !skip_word(p, ":"))
            return false;
        if (!skip_value(p, depth))
            return false;
    } while (skip_word(p, ","));
    return skip_word(p, end);
}

static bool skip_value(const char **p, int depth)
{
    bool right;
    skip_space(p);
    if (**p == '{' || **p == '[')
        right = depth < CONF_BLOCK_DEPTH &&
                skip_members(p, **p == '{' ? "}" : "]", **p == '{', depth + 1);
    else if (**p == '"')
        right = skip_string(p);
    else
        right =
            skip_word(p, "true") || skip_word(p, "false") || skip_word(p, "null") || skip_number(p);
    skip_space(p);
    return right;
}

bool conf_block_is_json(const char *text, size_t len)
{
    const char *p = text;
    return text[strspn(text, " \t\r\n")] == '{' && skip_value(&p, 0) && p == text + len;
}

/* ---- what may be shown ---- */

static bool names_a_secret(const char *name, size_t len)
{
    static const char *const words[] = {"secret",     "password", "passwd", "token",
                                        "credential", "api_key",  "apikey", "private"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t n = strlen(words[w]);
        for (size_t i = 0; i + n <= len; i++)
            if (strncasecmp(name + i, words[w], n) == 0)
                return true;
    }
    return false;
}

/* Length of the JSON string that begins at `text`, its quotes included. */
static size_t string_length(const char *text)
{
    size_t n = 1;
    while (text[n] && text[n] != '"')
        n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return text[n] ? n + 1 : n;
}

void conf_block_show(const char *json, struct buf *out)
{
    int depth = 0, secret = 0; /* depth of the member that is secret; 0: none */
    while (*json) {
        if (*json != '"') {
            depth += (*json == '{') - (*json == '}');
            if (depth < secret)
                secret = 0;
            buf_char(out, isspace((unsigned char)*json) ? ' ' : *json);
            json++;
            continue;
        }
        size_t n = string_length(json);
        const char *after = json + n + strspn(json + n, " \t\r\n");
        if (*after == ':' && (!secret || depth <= secret)) {
            secret = names_a_secret(json, n) ? depth : 0;
            buf_add(out, json, n);
        } else if (secret && *after != ':') {
            buf_str(out, "\"********\"");
        } else {
            buf_add(out, json, n);
        }
        json += n;
    }
}
