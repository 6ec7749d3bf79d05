/* `require`, and how chunks are read: modules of the host from the binary, then files beside
 * the handler, the latter only while it loads (a generation is the bytes it loaded with). */
#include "vm/bind_crypto.h"
#include "vm/bundle.h"
#include "vm/embed.h"
#include "vm/freeze.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua-cjson.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 200 };

static const char loading_mark; /* its address stands in `loaded` for a module that loads */

static const luaL_Reg c_modules[] = {
    {"host", bind_host_open},
    {"host.cache_core", bind_cache_open},
    {"host.crypto", bind_crypto_open},
    {"host.http", bind_http_open},
    {"host.json", bind_json_open},
    {"host.log", bind_log_open},
    {"host.metrics", bind_metrics_open},
    {"host.token", bind_token_open},
    {"host.stage", bind_test_open},
    {"cjson", luaopen_cjson},
    {NULL, NULL},
};

const char *state_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* NULL: there is no such file. Raises if it is there and cannot be read. */
static const char *file_text(lua_State *L, struct vm *vm, const char *path, size_t *len)
{
    struct err e = {0};
    const char *text = bundle_file(vm->bundle, path, len, &e);
    if (!text && *e.text)
        luaL_error(L, "%s", e.text);
    return text;
}

/* Compiles text; a byte order mark and a first line that starts with # are left out, the
 * latter's line end not, so that line numbers stay. */
static void compile(lua_State *L, const char *text, size_t len, const char *chunk_name)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (len > 0 && *text == '#') {
        const char *line_end = memchr(text, '\n', len);
        len = line_end ? len - (size_t)(line_end - text) : 0;
        text = line_end ? line_end : "";
    }
    if (luaL_loadbufferx(L, text, len, chunk_name, "t") != LUA_OK)
        lua_error(L);
}

void require_compile_handler(lua_State *L, struct vm *vm)
{
    const struct vm_options *o = &vm->options;
    const char *text = o->source;
    size_t len = o->source_len;
    if (!text)
        text = file_text(L, vm, o->handler_path, &len);
    if (!text)
        luaL_error(L, "%s: no such file", o->handler_path);
    lua_pushfstring(L, "@%s", state_base_name(o->handler_path));
    compile(L, text, len, lua_tostring(L, -1));
}

/* ---- require ------------------------------------------------------------------------------ */

static bool is_reserved(const char *name)
{
    return strcmp(name, "host") == 0 || strncmp(name, "host.", 5) == 0;
}

/* The stand-ins are there for tests. */
static bool is_for_tests(const char *name)
{
    return strncmp(name, "host.test", 9) == 0 || strncmp(name, "sandbox.", 8) == 0 ||
           strncmp(name, "tools.", 6) == 0;
}

static bool is_embedded(const struct vm *vm, const char *name)
{
    return is_for_tests(name) ? vm->options.stage != NULL : is_reserved(name);
}

/* "host.keycloak" is lua/host/keycloak.lua. */
static bool compile_embedded(lua_State *L, const char *name)
{
    char file[NAME_MAX_BYTES + 8];
    snprintf(file, sizeof file, "%s.lua", name);
    for (char *c = file; *c && strcmp(c, ".lua") != 0; c++)
        *c = *c == '.' ? '/' : *c;
    size_t len;
    const char *text = is_embedded(vm_of(L), name) ? embed_find(file, &len) : NULL;
    if (!text)
        return false;
    lua_pushfstring(L, "=%s", name);
    compile(L, text, len, lua_tostring(L, -1));
    return true;
}

static void check_name(lua_State *L, const char *name, size_t len)
{
    bool good = len > 0 && len <= NAME_MAX_BYTES && name[0] != '.' && name[len - 1] != '.' &&
                !strstr(name, "..");
    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)name[i]) || strchr("_-.", name[i]);
    if (!good)
        luaL_error(L, "require: '%s' is no module name: letters, digits, _ - and dots", name);
}

static bool compile_file(lua_State *L, struct vm *vm, const char *name)
{
    const char *handler = vm->options.handler_path;
    lua_pushlstring(L, handler, (size_t)(state_base_name(handler) - handler));
    const char *folder = lua_tostring(L, -1);
    const char *inner = luaL_gsub(L, name, ".", "/");
    static const char *const patterns[] = {"%s%s.lua", "%s%s/init.lua"};
    for (int i = 0; i < 2; i++) {
        const char *path = lua_pushfstring(L, patterns[i], folder, inner);
        size_t len;
        const char *text = file_text(L, vm, path, &len);
        if (!text)
            continue;
        lua_pushfstring(L, "@%s", path + strlen(folder));
        compile(L, text, len, lua_tostring(L, -1));
        return true;
    }
    return false;
}

/* Pushes the module's loader function, or raises. */
static void find_loader(lua_State *L, struct vm *vm, const char *name)
{
    for (const luaL_Reg *m = c_modules; m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            lua_pushcfunction(L, m->func);
            return;
        }
    }
    if (compile_embedded(L, name))
        return;
    if (is_reserved(name) && is_for_tests(name))
        luaL_error(L, "require: '%s' is for files of tests, which `host test` runs", name);
    if (is_reserved(name))
        luaL_error(L, "require: the host has no module '%s'", name);
    if (vm->phase != PHASE_LOADING)
        luaL_error(L,
                   "require '%s': files can be required only while the handler loads; put the "
                   "require at the top of the file",
                   name);
    if (!compile_file(L, vm, name))
        luaL_error(L,
                   "require: module '%s' not found: no such module of the host, and no file "
                   "%s.lua beside the handler",
                   name, name);
}

static void set_loaded(lua_State *L, struct vm *vm, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->loaded_ref);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Runs the loader at the top; whatever it raises, the module counts as not loaded. */
static void run_loader(lua_State *L, struct vm *vm, const char *name)
{
    lua_pushlightuserdata(L, (void *)&loading_mark);
    set_loaded(L, vm, name);
    lua_pushstring(L, name);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK) {
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushboolean(L, 1);
        }
        if ((is_reserved(name) || strcmp(name, "cjson") == 0) && lua_istable(L, -1))
            freeze_deep(L, -1, name);
        lua_pushvalue(L, -1);
    } else {
        lua_pushnil(L);
    }
    set_loaded(L, vm, name);
    if (status != LUA_OK)
        lua_error(L);
}

static int require(lua_State *L)
{
    struct vm *vm = vm_of(L);
    task_check_alive(L);
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    check_name(L, name, len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->loaded_ref);
    lua_getfield(L, -1, name);
    if (lua_touserdata(L, -1) == &loading_mark)
        return luaL_error(L, "require: loop: module '%s' is required while it loads", name);
    if (!lua_isnil(L, -1))
        return 1;
    find_loader(L, vm, name);
    run_loader(L, vm, name);
    return 1;
}

void require_open(lua_State *L, struct vm *vm)
{
    lua_newtable(L);
    vm->loaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, require);
    lua_setglobal(L, "require");
    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "./?.lua;./?/init.lua");
    lua_setfield(L, -2, "path");
    lua_pushliteral(L, "");
    lua_setfield(L, -2, "cpath");
    lua_pushliteral(L, "/\n;\n?\n!\n-\n");
    lua_setfield(L, -2, "config");
    freeze_table(L, -1, "package");
    lua_setglobal(L, "package");
    static const char *const standard[] = {"string", "table", "math", "utf8", "os", "coroutine"};
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++) {
        lua_getglobal(L, standard[i]);
        set_loaded(L, vm, standard[i]);
    }
}
