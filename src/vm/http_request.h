/* A request of host.http, from the handler's table to what net/fetch takes: everything is
 * checked here, because what comes from an event must not become a second header. */
#ifndef VM_HTTP_REQUEST_H
#define VM_HTTP_REQUEST_H

#include "job.h"
#include "vm/raise.h"

#include <stdbool.h>
#include <stddef.h>

struct lua_State;
struct task;

enum { HTTP_HEADERS_MAX = 64 };

/* Where the parts stand on the stack, so that they live as long as the request. */
enum http_slot { SLOT_OPTIONS = 1, SLOT_METHOD, SLOT_URL, SLOT_LINES, SLOT_BODY, SLOT_CALL };

struct http_request {
    const char *method;
    const char *url;
    const char *headers[HTTP_HEADERS_MAX + 1];
    const char *body; /* NULL: none */
    size_t body_len;
    int timeout_ms;
    bool capped; /* by the message's deadline: a timeout says nothing about the target */
    bool idempotent;
    bool own_500;               /* a 500 says nothing about the target */
    char name[CALL_NAME_BYTES]; /* of calls of its kind, for the limit */
    char origin[128];
};

/* The stack: options table, method string, and nothing above. Afterwards the slots up to
 * SLOT_BODY are filled. Raises "contract" for what cannot be sent. */
MAY_RAISE void http_request_read(struct lua_State *L, struct task *t, struct http_request *r);

/* Does the status meet the option `expect`: a number, a list of numbers, "2xx"? */
MAY_RAISE bool http_status_expected(struct lua_State *L, int status);

#endif
