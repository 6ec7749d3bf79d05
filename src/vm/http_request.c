#include "vm/http_request.h"

#include "net/fetch.h"
#include "vm/calls.h"
#include "vm/json.h"
#include "vm/state.h"
#include "vm/task.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { METHOD_MAX = 16, URL_MAX = 8192, TIMEOUT_MAX_S = 3600, CAP_MARGIN_MS = 20 };

static bool is_token(const char *text, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) { /* RFC 9110, section 5.6.2 */
        if (!isalnum((unsigned char)text[i]) && (!text[i] || !strchr("!#$%&'*+-.^_`|~", text[i])))
            return false;
    }
    return true;
}

/* ---- options ------------------------------------------------------------------------------ */

MAY_RAISE static void check_names(lua_State *L)
{
    static const char *const known[] = {"method", "url",     "query",   "headers", "body",
                                        "json",   "form",    "timeout", "expect",  "idempotent",
                                        "name",   "own_500", NULL};
    lua_pushnil(L);
    while (lua_next(L, SLOT_OPTIONS)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(no name)";
        int i = 0;
        while (known[i] && strcmp(known[i], name) != 0)
            i++;
        if (!known[i])
            raise_misuse(L,
                         "host.http: unknown option '%s' (known: url, query, headers, body, json, "
                         "form, timeout, expect, idempotent)",
                         name);
        lua_pop(L, 1);
    }
}

MAY_RAISE static void read_method(lua_State *L, struct http_request *r)
{
    size_t len;
    r->method = lua_tolstring(L, SLOT_METHOD, &len);
    if (!is_token(r->method, len) || len > METHOD_MAX)
        raise_misuse(L, "host.http: the method is no HTTP method");
}

MAY_RAISE static void read_timeout(lua_State *L, const struct task *t, struct http_request *r)
{
    r->timeout_ms = t->vm->options.http_timeout_ms;
    if (lua_getfield(L, SLOT_OPTIONS, "timeout") != LUA_TNIL) {
        lua_Number seconds = lua_tonumber(L, -1);
        if (lua_type(L, -1) != LUA_TNUMBER || !(seconds > 0))
            raise_misuse(L, "host.http: timeout must be a number of seconds above 0");
        r->timeout_ms = (int)ceil(fmin(seconds, TIMEOUT_MAX_S) * 1000);
    }
    lua_pop(L, 1);
    /* A little less than is left, so that the handler learns of the timeout itself. */
    int64_t left = task_left_ms(t) - CAP_MARGIN_MS;
    left = left > 1 ? left : 1;
    r->capped = r->timeout_ms > left;
    if (r->capped)
        r->timeout_ms = (int)left;
}

MAY_RAISE static void read_idempotent(lua_State *L, struct http_request *r)
{
    static const char *const repeatable[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
    r->idempotent = false;
    for (size_t i = 0; i < sizeof repeatable / sizeof *repeatable; i++)
        r->idempotent |= strcmp(r->method, repeatable[i]) == 0;
    if (lua_getfield(L, SLOT_OPTIONS, "idempotent") != LUA_TNIL)
        r->idempotent = lua_toboolean(L, -1);
    lua_pop(L, 1);
}

MAY_RAISE static void read_name(lua_State *L, struct http_request *r)
{
    lua_getfield(L, SLOT_OPTIONS, "own_500");
    r->own_500 = lua_toboolean(L, -1);
    int type = lua_getfield(L, SLOT_OPTIONS, "name");
    if (type != LUA_TNIL && type != LUA_TSTRING)
        raise_misuse(L, "host.http: name must be a string, the same for all calls of one kind");
    if (type == LUA_TSTRING)
        snprintf(r->name, sizeof r->name, "%s", lua_tostring(L, -1));
    else
        calls_name(r->name, r->method, r->url);
    lua_pop(L, 2);
}

/* ---- URL ---------------------------------------------------------------------------------- */

MAY_RAISE static void push_escaped(lua_State *L, int index)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len;
    const char *text = luaL_tolstring(L, index, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len * 3);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || (c && strchr("-._~", c))) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    luaL_pushresultsize(&b, n);
    lua_remove(L, -2);
}

/* Appends "name=value" to the string at the top; `name` and `value` are absolute indices. */
MAY_RAISE static void append_pair(lua_State *L, int name, int value, const char *what)
{
    int type = lua_type(L, value);
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        raise_misuse(L, "host.http: %s '%s' is a %s: strings, numbers, booleans or lists of them",
                     what, lua_type(L, name) == LUA_TSTRING ? lua_tostring(L, name) : "?",
                     luaL_typename(L, value));
    lua_pushstring(L, lua_rawlen(L, -1) ? "&" : "");
    push_escaped(L, name);
    lua_pushliteral(L, "=");
    push_escaped(L, value);
    lua_concat(L, 5);
}

/* Pushes a=b&c=d of the table at `table`. */
MAY_RAISE static void push_pairs(lua_State *L, int table, const char *what)
{
    lua_pushliteral(L, "");
    int result = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        int name = lua_gettop(L) - 1;
        int count = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : -1;
        for (int i = 1; i <= (count < 0 ? 1 : count); i++) {
            if (count < 0)
                lua_pushvalue(L, name + 1);
            else
                lua_rawgeti(L, name + 1, i);
            lua_pushvalue(L, result);
            append_pair(L, name, name + 2, what);
            lua_replace(L, result);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
}

MAY_RAISE static void add_query(lua_State *L)
{
    if (lua_getfield(L, SLOT_OPTIONS, "query") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        raise_misuse(L, "host.http: query must be a table of names and values");
    push_pairs(L, lua_gettop(L), "query");
    if (lua_rawlen(L, -1)) {
        const char *url = lua_tostring(L, SLOT_URL);
        lua_pushfstring(L, "%s%s%s", url, strchr(url, '?') ? "&" : "?", lua_tostring(L, -1));
        lua_replace(L, SLOT_URL);
    }
    lua_pop(L, 2);
}

/* One entry of http.allow: a host, host:port, or *.domain. */
static bool entry_matches(const char *entry, size_t len, const char *host, size_t host_len,
                          const char *host_port)
{
    if (len > 1 && entry[0] == '*' && entry[1] == '.')
        return host_len > len - 1 &&
               strncasecmp(host + host_len - (len - 1), entry + 1, len - 1) == 0;
    if (len == host_len && strncasecmp(entry, host, len) == 0)
        return true;
    return strlen(host_port) == len && strncasecmp(entry, host_port, len) == 0;
}

static bool is_allowed(const struct vm *vm, const char *origin)
{
    const char *list = vm->options.http_allow;
    if (!list || !*list || strcmp(origin, vm->keycloak_origin) == 0)
        return true;
    const char *host = strstr(origin, "://") + 3;
    const char *port = strrchr(host, ':');
    size_t host_len = port ? (size_t)(port - host) : strlen(host);
    while (*list) {
        list += strspn(list, ", ");
        size_t len = strcspn(list, ", ");
        if (len && entry_matches(list, len, host, host_len, host))
            return true;
        list += len;
    }
    return false;
}

MAY_RAISE static void check_url(lua_State *L, struct http_request *r)
{
    size_t len;
    const char *url = lua_tolstring(L, SLOT_URL, &len);
    if (len > URL_MAX)
        raise_misuse(L, "host.http: the URL is longer than %d bytes", URL_MAX);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f || url[i] == '\\')
            raise_misuse(L,
                         "host.http: the URL has a space, backslash or control character at "
                         "byte %zu: escape it",
                         i + 1);
    }
    const char *authority = strstr(url, "://");
    const char *host = authority ? authority + 3 : url;
    if (memchr(host, '@', strcspn(host, "/?#")))
        raise_misuse(L, "host.http: no user name in URLs: send an Authorization header");
    /* No query in the words: secrets live there. */
    size_t shown = strcspn(url, "?#");
    if (!authority || fetch_origin(url, r->origin, sizeof r->origin) != 0)
        raise_misuse(L, "host.http: '%s' is no http:// or https:// URL that can be called",
                     lua_pushlstring(L, url, shown < 200 ? shown : 200));
    if (!is_allowed(vm_of(L), r->origin))
        raise_misuse(L, "host.http: %s is not in http.allow", r->origin);
    r->url = url;
}

/* ---- headers ------------------------------------------------------------------------------ */

MAY_RAISE static void add_line(lua_State *L, struct http_request *r, int *count)
{
    if (*count >= HTTP_HEADERS_MAX)
        raise_misuse(L, "host.http: more than %d headers", HTTP_HEADERS_MAX);
    r->headers[*count] = lua_tostring(L, -1);
    lua_rawseti(L, SLOT_LINES, ++*count);
}

static bool has_line(const struct http_request *r, const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; r->headers[i]; i++) {
        if (strncasecmp(r->headers[i], name, len) == 0 && r->headers[i][len] == ':')
            return true;
    }
    return false;
}

MAY_RAISE static void check_header(lua_State *L, const char *name, size_t name_len,
                                   const char *value, size_t value_len)
{
    if (!is_token(name, name_len))
        raise_misuse(L, "host.http: a header's name may have letters, digits and - only");
    if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
        raise_misuse(L, "host.http: %s is the host's own to send", name);
    for (size_t i = 0; i < value_len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            raise_misuse(L, "host.http: the value of header %s has a control character", name);
    }
}

/* The name is at `name`, the value at the top. */
MAY_RAISE static void add_header(lua_State *L, struct http_request *r, int *count, int name)
{
    size_t name_len;
    size_t value_len;
    int type = lua_type(L, -1);
    if (lua_type(L, name) != LUA_TSTRING || (type != LUA_TSTRING && type != LUA_TNUMBER))
        raise_misuse(L, "host.http: headers are names with strings, numbers or lists of them");
    const char *name_text = lua_tolstring(L, name, &name_len);
    const char *value = luaL_tolstring(L, -1, &value_len);
    check_header(L, name_text, name_len, value, value_len);
    lua_pushfstring(L, "%s: %s", name_text, value);
    add_line(L, r, count);
    lua_pop(L, 1);
}

MAY_RAISE static void read_headers(lua_State *L, struct http_request *r, int *count)
{
    if (lua_getfield(L, SLOT_OPTIONS, "headers") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        raise_misuse(L, "host.http: headers must be a table of names and values");
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        int items = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
        for (int i = 1; i <= items; i++) {
            lua_rawgeti(L, table + 2, i);
            add_header(L, r, count, table + 1);
            lua_pop(L, 1);
        }
        if (!lua_istable(L, -1))
            add_header(L, r, count, table + 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

MAY_RAISE static void add_own_lines(lua_State *L, const struct task *t, struct http_request *r,
                                    const char *type, int *count)
{
    char trace[TRACE_BYTES];
    if (type && !has_line(r, "Content-Type")) {
        lua_pushfstring(L, "Content-Type: %s", type);
        add_line(L, r, count);
    }
    if (!t->job || has_line(r, "traceparent"))
        return;
    job_trace(t->job, trace);
    if (!*trace)
        return;
    lua_pushfstring(L, "traceparent: %s", trace);
    add_line(L, r, count);
    const char *state = has_line(r, "tracestate") ? NULL : job_tracestate(t->job);
    if (state) {
        lua_pushfstring(L, "tracestate: %s", state);
        add_line(L, r, count);
    }
}

/* ---- body --------------------------------------------------------------------------------- */

/* Puts the body into its slot; returns its content type, NULL if the caller decides. */
MAY_RAISE static const char *read_body(lua_State *L, struct http_request *r)
{
    lua_getfield(L, SLOT_OPTIONS, "body");
    lua_getfield(L, SLOT_OPTIONS, "json");
    lua_getfield(L, SLOT_OPTIONS, "form");
    int body = lua_gettop(L) - 2;
    int given = !lua_isnil(L, body) + !lua_isnil(L, body + 1) + !lua_isnil(L, body + 2);
    const char *type = NULL;
    if (given > 1)
        raise_misuse(L, "host.http: only one of body, json and form");
    if (!lua_isnil(L, body + 1)) {
        type = "application/json";
        lua_settop(L, body + 1);
        json_encode(L);
    } else if (!lua_isnil(L, body + 2)) {
        type = "application/x-www-form-urlencoded";
        if (!lua_istable(L, body + 2))
            raise_misuse(L, "host.http: form must be a table of names and values");
        push_pairs(L, body + 2, "form");
    } else {
        if (!lua_isnil(L, body) && lua_type(L, body) != LUA_TSTRING)
            raise_misuse(L, "host.http: body must be a string; for tables there is json");
        lua_settop(L, body);
    }
    lua_replace(L, SLOT_BODY);
    lua_settop(L, SLOT_BODY);
    r->body = lua_tolstring(L, SLOT_BODY, &r->body_len);
    return type;
}

/* ---- all ---------------------------------------------------------------------------------- */

void http_request_read(lua_State *L, struct task *t, struct http_request *r)
{
    int count = 0;
    memset(r, 0, sizeof *r);
    luaL_checkstack(L, 20, NULL);
    lua_settop(L, SLOT_METHOD);
    if (lua_getfield(L, SLOT_OPTIONS, "url") != LUA_TSTRING)
        raise_misuse(L, "host.http: url must be a string");
    lua_newtable(L);
    lua_pushnil(L);
    check_names(L);
    read_method(L, r);
    read_timeout(L, t, r);
    read_idempotent(L, r);
    add_query(L);
    check_url(L, r);
    read_name(L, r);
    read_headers(L, r, &count);
    const char *type = read_body(L, r);
    add_own_lines(L, t, r, type, &count);
}

bool http_status_expected(lua_State *L, int status)
{
    int type = lua_getfield(L, SLOT_OPTIONS, "expect");
    bool good = type == LUA_TNIL;
    if (type == LUA_TNUMBER) {
        good = lua_tointeger(L, -1) == status;
    } else if (type == LUA_TSTRING) {
        const char *text = lua_tostring(L, -1);
        if (strlen(text) != 3 || strcasecmp(text + 1, "xx") != 0)
            raise_misuse(L, "host.http: expect takes a status, a list of them, or \"2xx\"");
        good = text[0] - '0' == status / 100;
    } else if (type == LUA_TTABLE) {
        for (lua_Integer i = 1; !good && lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
            good = lua_tointeger(L, -1) == status;
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        raise_misuse(L, "host.http: expect takes a status, a list of them, or \"2xx\"");
    }
    return good;
}
