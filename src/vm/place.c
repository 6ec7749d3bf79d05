/* Where an error happened: the author's frames of the stack, and the line of the source that was
 * loaded, which on the disk may be another by now. */
#include "base/buf.h"
#include "base/excerpt.h"
#include "vm/bundle.h"
#include "vm/state.h"
#include "vm/verdict.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_LEVELS = 22, PATH_BYTES = 4096, NAME_BYTES = 64 };

/* The innermost of the author's frames. */
struct place {
    char file[256]; /* as its chunk is named, from the handler's folder on; "" if there is none */
    int line;
    char callee[NAME_BYTES]; /* the host's or Lua's function that it called there, or "" */
};

static bool is_authors(const lua_Debug *ar)
{
    return ar->source[0] == '@'; /* the host's own chunks are named "=host.…" */
}

static void put_frame(struct buf *text, const lua_Debug *ar)
{
    buf_printf(text, "%s%s:%d", text->len ? "\n" : "", state_base_name(ar->source + 1),
               ar->currentline);
    if (*ar->what == 'm')
        buf_str(text, " in the main chunk");
    else if (ar->name)
        buf_printf(text, " in %s '%s'", *ar->namewhat ? ar->namewhat : "function", ar->name);
    else
        buf_printf(text, " in the function of line %d", ar->linedefined);
    if (ar->istailcall)
        buf_str(text, ", by `return f(…)`: such a caller leaves no trace");
}

static char *walk(lua_State *L, struct place *place)
{
    struct buf text;
    buf_init(&text);
    lua_Debug ar;
    int shown = 0;
    *place = (struct place){0};
    for (int level = 0; lua_getstack(L, level, &ar) && shown < TRACE_LEVELS; level++) {
        lua_getinfo(L, "Snlt", &ar);
        if (!is_authors(&ar) || ar.currentline < 0) {
            bool called = !shown && ar.name && strcmp(ar.namewhat, "metamethod") != 0;
            if (!shown)
                snprintf(place->callee, sizeof place->callee, "%s", called ? ar.name : "");
            continue;
        }
        if (shown++ == 0) {
            snprintf(place->file, sizeof place->file, "%s", ar.source + 1);
            place->line = ar.currentline;
        }
        put_frame(&text, &ar);
    }
    return buf_take(&text, NULL);
}

char *verdict_traceback(lua_State *L, char *at, size_t at_size)
{
    struct place place;
    char *text = walk(L, &place);
    if (at_size)
        at[0] = '\0';
    if (at_size && *place.file)
        snprintf(at, at_size, "%s:%d", state_base_name(place.file), place.line);
    return text;
}

void place_of_call(lua_State *L, char *at, size_t at_size)
{
    lua_Debug ar;
    at[0] = '\0';
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (!is_authors(&ar) || ar.currentline < 0)
            continue;
        snprintf(at, at_size, "%s:%d", state_base_name(ar.source + 1), ar.currentline);
        return;
    }
}

/* ---- the source --------------------------------------------------------------------------------
 */

static const char *loaded_text(const struct vm *vm, const char *file, size_t *len)
{
    char path[PATH_BYTES];
    const char *handler = vm->options.handler_path;
    int folder = (int)(state_base_name(handler) - handler);
    int n = snprintf(path, sizeof path, "%.*s%s", folder, handler, file);
    return n > 0 && n < PATH_BYTES ? bundle_loaded(vm->bundle, path, len) : NULL;
}

static char *source_at(const struct vm *vm, const char *file, int line, const char *message,
                       const char *callee)
{
    size_t len;
    const char *text = *file ? loaded_text(vm, file, &len) : NULL;
    struct buf b;
    if (!text)
        return NULL;
    buf_init(&b);
    excerpt_add(&b, text, len, line, message, callee);
    if (b.len > 0)
        return buf_take(&b, NULL);
    buf_free(&b);
    return NULL;
}

/* "lib/names.lua:12: words": the place that a message speaks of is nearer than the frame: that of
 * a syntax error, of an error that was caught and raised again, of error(words, 2). */
static char *source_of_message(const struct vm *vm, const char *message)
{
    char file[sizeof((struct place *)0)->file];
    int line = 0;
    const char *colon = message ? strstr(message, ".lua:") : NULL;
    size_t n = colon ? (size_t)(colon - message) + 4 : 0;
    if (n == 0 || n >= sizeof file || sscanf(message + n, ":%d: ", &line) != 1)
        return NULL;
    memcpy(file, message, n);
    file[n] = '\0';
    return source_at(vm, file, line, message + n, NULL);
}

void verdict_note_place(lua_State *L, struct verdict *v, const char *message)
{
    const struct vm *vm = vm_of(L);
    struct place place;
    free(v->detail);
    free(v->source);
    v->detail = walk(L, &place);
    v->source = source_of_message(vm, message);
    if (*place.file)
        snprintf(v->at, sizeof v->at, "%s:%d", state_base_name(place.file), place.line);
    else
        v->at[0] = '\0';
    if (!v->source)
        v->source =
            source_at(vm, place.file, place.line, message, *place.callee ? place.callee : NULL);
}

void verdict_note_handler(lua_State *L, struct verdict *v)
{
    const struct vm *vm = vm_of(L);
    lua_Debug ar;
    luaL_checkstack(L, 1, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->handle_ref);
    lua_getinfo(L, ">S", &ar);
    if (!is_authors(&ar) || *v->at)
        return;
    snprintf(v->at, sizeof v->at, "%s:%d", state_base_name(ar.source + 1), ar.linedefined);
    v->source = source_at(vm, ar.source + 1, ar.linedefined, NULL, "handle");
}
