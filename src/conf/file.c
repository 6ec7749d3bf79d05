#include "conf/file.h"

#include "base/exit.h"
#include "conf/handler_block.h"
#include "conf/keys.h"
#include "conf/lua_state.h"
#include "conf/value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 1 << 20,
    PATH_MAX_BYTES = 128,
    WHO_MAX_BYTES = 512,
    LINE_LOOK_BYTES = 400,
    FAULTS_MAX = 8,
};

/* Lua cuts long file names in its messages, so it is told this one, and the path is put in its
 * place. */
#define CHUNK "(conf)"

/* Something that is wrong in the file's table. */
struct fault {
    int line; /* INT_MAX: not known */
    char text[sizeof((struct err *)0)->text];
};

/* What one reading of a file owns; Lua may leave by an error at any place, so that nothing of
 * it stands in a C local. */
struct reading {
    struct conf *c;
    const char *path;
    char *folder;
    struct buf source;
    struct buf made; /* a list or block under construction */
    struct buf name; /* path of the key inside the block */
    struct err *e;
    bool failed; /* `e` is filled */
    struct fault faults[FAULTS_MAX];
    int fault_count; /* also those that there was no room for */
};

/* ---- the file's bytes ---- */

static int read_source(struct reading *r)
{
    int rc = 0, fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(r->e, EXIT_CONFIG, "%s: cannot read the configuration: %s", r->path,
                       strerror(errno));
    for (;;) {
        char chunk[8192];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_set(r->e, EXIT_CONFIG, "%s: cannot read the configuration: %s", r->path,
                         strerror(errno));
        if (n <= 0)
            break;
        buf_add(&r->source, chunk, (size_t)n);
        if (r->source.failed || r->source.len > FILE_MAX_BYTES) {
            rc = err_set(r->e, EXIT_CONFIG, "%s: longer than 1 MiB: that is no configuration",
                         r->path);
            break;
        }
    }
    close(fd);
    return rc;
}

/* ---- where a key stands in it ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* True if the word at `at` is assigned to: word = , ["word"] = . */
static bool is_assigned(const char *source, const char *at, size_t len)
{
    const char *after = at + len;
    if ((at > source && is_word(at[-1])) || is_word(*after))
        return false;
    after += strspn(after, "\"'");
    after += strspn(after, "] \t");
    if (after[0] != '=' || after[1] == '=')
        return false;
    for (const char *p = at; p > source && p[-1] != '\n' && at - p < LINE_LOOK_BYTES; p--)
        if (p[0] == '-' && p[-1] == '-')
            return false; /* in a comment */
    return true;
}

/* The only place at or after `from` where `word` is assigned to, or with `first` the first
 * one. NULL: not found, or not told apart. */
static const char *find_assigned(const char *source, const char *from, const char *word, size_t len,
                                 bool first)
{
    const char *found = NULL;
    for (const char *p = from; len && (p = memmem(p, strlen(p), word, len)); p += len) {
        if (!is_assigned(source, p, len))
            continue;
        if (first)
            return p;
        if (found)
            return NULL;
        found = p;
    }
    return found;
}

/* Lua does not keep lines of table fields, so this looks for the key's name in the text.
 * 0: not found for certain. */
static int line_of(const char *source, const char *path)
{
    const char *dot = strchr(path, '.'), *place = source;
    if (dot) {
        place = find_assigned(source, source, path, (size_t)(dot - path), false);
        path = dot + 1;
    }
    place = place ? find_assigned(source, place, path, strcspn(path, ".["), dot != NULL) : NULL;
    int line = 1;
    for (const char *p = source; place && p < place; p++)
        line += *p == '\n';
    return place ? line : 0;
}

/* "conf.lua:3: queue.wait" */
static void describe(const struct reading *r, const char *path, char out[WHO_MAX_BYTES])
{
    int line = line_of(r->source.data, path);
    if (line)
        snprintf(out, WHO_MAX_BYTES, "%s:%d: %s", r->path, line, path);
    else
        snprintf(out, WHO_MAX_BYTES, "%s: %s", r->path, path);
}

/* ---- its table ---- */

static int fail_unknown(struct reading *r, const char *path)
{
    char who[WHO_MAX_BYTES];
    const char *nearest = conf_key_nearest(path);
    describe(r, path, who);
    if (nearest)
        return err_set(r->e, EXIT_CONFIG, "%s: there is no such key; did you mean %s?", who,
                       nearest);
    return err_set(r->e, EXIT_CONFIG,
                   "%s: there is no such key; `host run --help` lists them, and settings of the "
                   "handler's own belong into handler = { ... }",
                   who);
}

static const char *type_words(lua_State *L)
{
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        return lua_toboolean(L, -1) ? "true" : "false";
    case LUA_TTABLE:
        return "a table";
    case LUA_TFUNCTION:
        return "a function";
    default:
        return luaL_typename(L, -1);
    }
}

static struct conf_value scalar(lua_State *L)
{
    struct conf_value v = {.kind = VALUE_OTHER};
    if (lua_type(L, -1) == LUA_TSTRING) {
        v.kind = VALUE_STRING;
        v.text = lua_tolstring(L, -1, &v.len);
    } else if (lua_isinteger(L, -1)) {
        v.kind = VALUE_INTEGER;
        v.integer = lua_tointeger(L, -1);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        v.kind = VALUE_NUMBER;
        v.number = lua_tonumber(L, -1);
    } else {
        v.text = type_words(L);
    }
    return v;
}

/* The items of the list at the top of the stack, commas between. */
static int join_list(struct reading *r, lua_State *L, const char *who)
{
    lua_Unsigned count = lua_rawlen(L, -1), seen = 0;
    buf_clear(&r->made);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        seen++;
    }
    if (seen != count)
        return err_set(r->e, EXIT_CONFIG,
                       "%s must be a list of strings, found a table with names or holes", who);
    for (lua_Unsigned i = 1; i <= count; i++) {
        size_t len = 0;
        lua_rawgeti(L, -1, (lua_Integer)i);
        const char *item = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        bool right = item && len && strlen(item) == len && !strpbrk(item, ", \t\r\n");
        buf_str(&r->made, i > 1 ? "," : "");
        if (right)
            buf_add(&r->made, item, len);
        lua_pop(L, 1);
        if (!right)
            return err_set(r->e, EXIT_CONFIG,
                           "%s[%llu] must be a string without commas and white space", who,
                           (unsigned long long)i);
    }
    return r->made.failed ? err_set(r->e, EXIT_FAILED, "no memory for the configuration") : 0;
}

static int make_block(struct reading *r, lua_State *L, const char *path)
{
    buf_clear(&r->made);
    buf_clear(&r->name);
    buf_str(&r->name, path);
    int rc = conf_block_make(L, &r->name, &r->made, r->e);
    if (rc) {
        int line = line_of(r->source.data, r->name.data);
        if (line)
            err_prefix(r->e, "%s:%d", r->path, line);
        else
            err_prefix(r->e, "%s", r->path);
    }
    return rc;
}

static int set_key(struct reading *r, lua_State *L, const struct conf_key *key)
{
    struct conf_value v = scalar(L);
    char who[WHO_MAX_BYTES];
    describe(r, key->path, who);
    v.folder = r->folder;
    if (key->marks & KEY_SECRET)
        return err_set(r->e, EXIT_CONFIG,
                       "%s: a secret does not belong into this file; write it into a file of its "
                       "own and name that with %s_file, or set it in the environment",
                       who, key->path);
    if (lua_istable(L, -1) && (key->type == KEY_LIST || key->type == KEY_BLOCK)) {
        int rc = key->type == KEY_LIST ? join_list(r, L, who) : make_block(r, L, key->path);
        if (rc)
            return rc;
        v = (struct conf_value){.kind = VALUE_MADE, .text = r->made.data, .len = r->made.len};
    }
    if (conf_set(r->c, key, &v, who, r->e))
        return -1;
    conf_origin(r->c, key)->source = FROM_FILE;
    return 0;
}

static bool is_section(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < conf_keys_count; i++)
        if (strncmp(conf_keys[i].path, path, n) == 0 && conf_keys[i].path[n] == '.')
            return true;
    return false;
}

static int walk(struct reading *r, lua_State *L, const char *section);

static int walk_member(struct reading *r, lua_State *L, const char *path)
{
    const struct conf_key *key = conf_key_find(path);
    char who[WHO_MAX_BYTES];
    if (key)
        return set_key(r, L, key);
    if (!is_section(path))
        return fail_unknown(r, path);
    if (lua_istable(L, -1))
        return walk(r, L, path);
    describe(r, path, who);
    return err_set(r->e, EXIT_CONFIG, "%s must be a table of settings, found %s", who,
                   lua_type(L, -1) == LUA_TNUMBER ? "a number" : type_words(L));
}

static int fail_unnamed(struct reading *r, lua_State *L, const char *section)
{
    return err_set(r->e, EXIT_CONFIG,
                   "%s: %s%skeys must be names, found one that is a %s: a value without "
                   "a name before it?",
                   r->path, section, *section ? ": " : "", luaL_typename(L, -2));
}

/* Takes what `e` says, so that the file can be read on. False: it is nothing about the file. */
static bool note_fault(struct reading *r)
{
    size_t n = strlen(r->path);
    if (r->e->code != EXIT_CONFIG)
        return false;
    if (r->fault_count++ >= FAULTS_MAX)
        return true;
    struct fault *f = &r->faults[r->fault_count - 1];
    snprintf(f->text, sizeof f->text, "%s", r->e->text);
    int line = strncmp(f->text, r->path, n) == 0 && f->text[n] == ':' ? atoi(f->text + n + 1) : 0;
    f->line = line > 0 ? line : INT_MAX;
    return true;
}

static int by_line(const void *a, const void *b)
{
    const struct fault *x = a, *y = b;
    return x->line != y->line ? (x->line < y->line ? -1 : 1) : strcmp(x->text, y->text);
}

/* All of them in the file's order: Lua's own is another one each time. */
static int tell_faults(struct reading *r)
{
    int kept = r->fault_count < FAULTS_MAX ? r->fault_count : FAULTS_MAX, told = 0;
    struct buf all;
    if (kept == 0)
        return 0;
    buf_init(&all);
    qsort(r->faults, (size_t)kept, sizeof *r->faults, by_line);
    for (; told < kept; told++) {
        size_t need = strlen(r->faults[told].text) + sizeof "\nand 1000 more";
        if (told > 0 && all.len + need >= sizeof r->e->text)
            break;
        buf_printf(&all, "%s%s", told ? "\n" : "", r->faults[told].text);
    }
    if (told < r->fault_count)
        buf_printf(&all, "\nand %d more", r->fault_count - told);
    err_set(r->e, EXIT_CONFIG, "%s", all.data);
    buf_free(&all);
    return -1;
}

/* The table at the top of the stack; -1: nothing of the file's own. Sections are one level deep:
 * the table of keys says so. */
static int walk(struct reading *r, lua_State *L, const char *section)
{
    luaL_checkstack(L, 8, "too many levels");
    lua_pushnil(L);
    int key = lua_gettop(L);
    while (lua_next(L, key - 1)) {
        char path[PATH_MAX_BYTES];
        const char *name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : NULL;
        bool named = name && strlen(name) == lua_rawlen(L, key);
        snprintf(path, sizeof path, "%s%s%s", section, *section ? "." : "", named ? name : "");
        int rc = named ? walk_member(r, L, path) : fail_unnamed(r, L, section);
        if (rc && !note_fault(r))
            return -1;
        lua_settop(L, key);
    }
    return 0;
}

/* ---- running it ---- */

static int load_and_run(lua_State *L)
{
    struct reading *r = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, r->source.data, r->source.len, "=" CHUNK, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) {
        err_set(
            r->e, EXIT_CONFIG,
            "%s must return a table, as in: return { queue = { url = \"...\" } }; it returns %s",
            r->path, luaL_typename(L, -1));
        r->failed = true;
        return 0;
    }
    r->failed = walk(r, L, "") != 0 || tell_faults(r) != 0;
    return 0;
}

/* Lua's words on a file that does not compile or raised an error. */
static void fail_in_lua(const struct reading *r, lua_State *L)
{
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    bool placed = text && strncmp(text, CHUNK ":", sizeof CHUNK) == 0;
    if (placed)
        err_set(r->e, EXIT_CONFIG, "%s%s", r->path, text + sizeof CHUNK - 1);
    else
        err_set(r->e, EXIT_CONFIG, "%s: %s", r->path,
                text ? text : "it raised an error that is no text");
}

static int run(struct reading *r)
{
    struct conf_lua lua;
    if (!conf_lua_open(&lua))
        return err_set(r->e, EXIT_FAILED, "no memory for the configuration");
    lua_pushcfunction(lua.L, load_and_run);
    lua_pushlightuserdata(lua.L, r);
    int rc = lua_pcall(lua.L, 1, 0, 0);
    if (rc != LUA_OK)
        fail_in_lua(r, lua.L);
    conf_lua_close(&lua);
    return rc != LUA_OK || r->failed ? -1 : 0;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/.") : strndup(path, (size_t)(slash - path));
}

int conf_read_file(struct conf *c, const char *path, struct err *e)
{
    struct reading r = {.c = c, .path = path, .e = e, .folder = folder_of(path)};
    buf_init(&r.source);
    buf_init(&r.made);
    buf_init(&r.name);
    int rc = r.folder ? read_source(&r) : err_set(e, EXIT_FAILED, "no memory");
    if (!rc)
        rc = run(&r);
    free(r.folder);
    buf_free(&r.source);
    buf_free(&r.made);
    buf_free(&r.name);
    return rc;
}
