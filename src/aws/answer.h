/* What every AWS JSON service's answers have in common: an object, error codes, words, the clock.
 * Pure but for allocations; inside aws/ only. Reference: sqs, sections 4 and 6. */
#ifndef AWS_ANSWER_H
#define AWS_ANSWER_H

#include "net/fetch.h"

struct json_object;

/* The object that the text is, all of it, for the caller to put; NULL if it is none. */
struct json_object *aws_parse(const char *text, size_t len);

/* The member's text; NULL if `o` is NULL, or has no string of that name. */
const char *aws_string(struct json_object *o, const char *name);

/* The part of an error code that decides: "com.amazonaws.sqs#QueueDoesNotExist" becomes
 * QueueDoesNotExist, the front ends' "…#AccessDeniedException: …" AccessDenied. */
void aws_normalise_code(const char *raw, char *out, size_t size);

/* What the codes that all services share mean, and the statuses 429 and 5xx. */
enum aws_class {
    AWS_OTHER,  /* the service's own */
    AWS_DENIED, /* credentials, signature, permission */
    AWS_BUSY,   /* throttled, or failing: later */
};
enum aws_class aws_classify(const char *code, int http_status);

struct aws_error {
    char code[64];    /* normalised; the status where the answer names none */
    bool named;       /* it did name one */
    const char *text; /* the server's words: `text_len` bytes, fit to be shown */
    int text_len;
    int64_t retry_after_ms; /* the server's wish; -1: none */
};
/* Of an answer that is no success; `body`: its object, or NULL. */
void aws_read_error(const struct fetch_response *r, struct json_object *body, struct aws_error *e);

/* What to do about credentials or a clock; `thing` is what the region was asked for: "the queue".
 * False: the code is about something else, `out` is empty. */
bool aws_advise(const char *code, const char *thing, const char *region, char *out, size_t size);

/* The answer's Date, epoch ms; false: it has none. */
bool aws_date(const struct fetch_response *r, int64_t *wall_ms);

/* True for an answer that says our clock is off: `wall_ms` is the time that was signed with,
 * `offset_ms` what to add to it. */
bool aws_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms);

#endif
