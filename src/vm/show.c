#include "vm/show.h"

#include "base/utf8.h"

#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LOOKED_AT = 64, SHOWN = 8, WORD_BYTES = 48, STACK = 4 };

struct member {
    bool named; /* else by `index`, or by something that has no words */
    lua_Number index;
    char key[WORD_BYTES];
    char value[WORD_BYTES + 8];
};

/* Parts of names, whatever their case. */
static const char *const hidden[] = {"password",   "secret",     "token",    "authorization",
                                     "credential", "cookie",     "email",    "phone",
                                     "firstname",  "first_name", "lastname", "last_name"};

static bool is_hidden(const char *name)
{
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (strcasestr(name, hidden[i]))
            return true;
    return false;
}

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t len = strlen(text);
    return len > 0 && strchr(letters, *text) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == len;
}

static void word_of(lua_State *L, int index, char *out, size_t size)
{
    size_t len;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: /* not a number, which lua_tolstring would change in its place */
        text = lua_tolstring(L, index, &len);
        snprintf(out, size, "\"%.*s%s\"", (int)utf8_cut(text, len, WORD_BYTES - 8), text,
                 len > WORD_BYTES - 8 ? "…" : "");
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            snprintf(out, size, "%lld", (long long)lua_tointeger(L, index));
        else
            snprintf(out, size, "%.14g", lua_tonumber(L, index));
        break;
    case LUA_TBOOLEAN:
        snprintf(out, size, "%s", lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TTABLE:
        snprintf(out, size, "{...}");
        break;
    default:
        snprintf(out, size, "%s", lua_typename(L, lua_type(L, index)));
    }
}

/* Of the pair at the top of the stack. */
static void read_member(lua_State *L, struct member *m)
{
    *m = (struct member){.named = lua_type(L, -2) != LUA_TNUMBER};
    m->index = m->named ? 0 : lua_tonumber(L, -2);
    if (lua_type(L, -2) == LUA_TSTRING)
        snprintf(m->key, sizeof m->key, "%s", lua_tostring(L, -2));
    if (!is_name(m->key)) {
        char word[sizeof m->key - 2];
        word_of(L, -2, word, sizeof word);
        snprintf(m->key, sizeof m->key, "[%s]", word);
    }
    if (m->named && is_hidden(m->key))
        snprintf(m->value, sizeof m->value, "***");
    else
        word_of(L, -1, m->value, sizeof m->value);
}

static int in_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->named != y->named)
        return x->named ? 1 : -1;
    if (!x->named && x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return strcmp(x->key, y->key);
}

void show_table(lua_State *L, int index, struct buf *out)
{
    struct member members[LOOKED_AT];
    int count = 0, top = lua_gettop(L);
    bool more = false;
    index = lua_absindex(L, index);
    if (!lua_checkstack(L, STACK)) {
        buf_str(out, "{...}");
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
        more = count == LOOKED_AT;
        if (more)
            break;
        read_member(L, &members[count++]);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    qsort(members, (size_t)count, sizeof *members, in_order);
    buf_char(out, '{');
    for (int i = 0; i < count && i < SHOWN; i++) {
        const struct member *m = &members[i];
        bool next = !m->named && m->index == i + 1; /* as it would be written: without its index */
        buf_printf(out, "%s%s%s%s", i ? ", " : "", next ? "" : m->key, next ? "" : " = ", m->value);
    }
    buf_str(out, more || count > SHOWN ? ", ...}" : "}");
}
