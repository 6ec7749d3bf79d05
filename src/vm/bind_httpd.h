/* A request of net/httpd as a Lua table:
 *
 *   method, path (decoded), raw_path (as it came), query (name → decoded value; the first one of
 *   a name), headers (names in lower case), body
 *   req:reply(status, headers, body [, sent])  at once or later; true if somebody was still there
 *                                     to answer. headers: name → value, or nil. sent: the
 *                                     connection ends after so many bytes of the body
 *   req:cut()                         ends the connection instead; true as above
 *   req:here()                        whether the client still waits
 *   req.on_gone                       Lua's own: what to call when the client leaves
 *
 * A request that Lua drops without an answer is answered 500 when it is collected. One Lua
 * state has one `struct bind_httpd`; same thread as its httpd. */
#ifndef VM_BIND_HTTPD_H
#define VM_BIND_HTTPD_H

#include "base/buf.h"
#include "vm/raise.h"

#include <stdbool.h>
#include <stddef.h>

struct httpd_request;
struct lua_State;

struct bind_httpd {
    bool stopping;    /* set before httpd_free: nothing is answered any more */
    struct buf words; /* scratch; here because Lua may leave a function by longjmp */
};

/* Once in a state; `b` outlives it. */
MAY_RAISE void bind_httpd_open(struct lua_State *L, struct bind_httpd *b);

/* Pushes the request's table. */
MAY_RAISE void bind_httpd_push(struct lua_State *L, struct httpd_request *r);

/* Answers 500 for the request whose table is at `index`; false if it was answered before. */
MAY_RAISE bool bind_httpd_fail(struct lua_State *L, int index, const char *text, size_t len);

/* The client has left. Pushes the request's table if Lua still has it, else nothing. */
MAY_RAISE bool bind_httpd_gone(struct lua_State *L, struct httpd_request *r);

#endif
