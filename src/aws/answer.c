#include "aws/answer.h"

#include "base/utf8.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SKEW_POSSIBLE_MS = 4 * 60 * 1000,
    SHOWN_MAX = 180,           /* bytes of the server's words */
    WISH_MAX_MS = 3600 * 1000, /* of a server's Retry-After */
};

/* ---- JSON ---- */

struct json_object *aws_parse(const char *text, size_t len)
{
    struct json_tokener *t = len > 0 && len <= INT_MAX ? json_tokener_new() : NULL;
    if (!t)
        return NULL;
    struct json_object *o = json_tokener_parse_ex(t, text, (int)len);
    size_t end = json_tokener_get_parse_end(t);
    while (end < len && strchr(" \t\r\n", text[end]) && text[end])
        end++;
    json_tokener_free(t);
    if (o && (end < len || !json_object_is_type(o, json_type_object))) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

const char *aws_string(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

/* ---- codes ---- */

static void cut_suffix(char *text, const char *suffix)
{
    size_t len = strlen(text), n = strlen(suffix);
    if (len > n && strcmp(text + len - n, suffix) == 0)
        text[len - n] = '\0';
}

void aws_normalise_code(const char *raw, char *out, size_t size)
{
    char text[160];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(raw, ":"), raw);
    const char *code = strrchr(text, '#');
    snprintf(out, size, "%s", code ? code + 1 : text);
    cut_suffix(out, "Exception");
    for (char *c = out; *c; c++) /* it goes into a log line */
        if (*c <= ' ' || *c > '~')
            *c = '?';
}

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

static const char *const clock_sure[] = {"RequestTimeTooSkewed", "RequestExpired",
                                         "RequestInTheFuture", NULL};
static const char *const clock_possible[] = {"InvalidSignature", "SignatureDoesNotMatch",
                                             "AuthFailure", NULL};
static const char *const unknown_key[] = {"InvalidClientTokenId", "UnrecognizedClient", NULL};
static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException", NULL};

enum aws_class aws_classify(const char *code, int http_status)
{
    static const char *const denied[] = {"AccessDenied",
                                         "MissingAuthenticationToken",
                                         "MissingAuthentication",
                                         "IncompleteSignature",
                                         "NotAuthorized",
                                         "OptInRequired",
                                         NULL};
    static const char *const busy[] = {"RequestTimeout",
                                       "PriorRequestNotComplete",
                                       "Throttling",
                                       "Throttled",
                                       "RequestThrottled",
                                       "TooManyRequests",
                                       "RequestLimitExceeded",
                                       "BandwidthLimitExceeded",
                                       "ProvisionedThroughputExceeded",
                                       "LimitExceeded",
                                       "SlowDown",
                                       "EC2Throttled",
                                       "ServiceUnavailable",
                                       "InternalFailure",
                                       "InternalError",
                                       "InternalServerError",
                                       "TransactionInProgress",
                                       NULL};
    if (one_of(code, denied) || one_of(code, clock_possible) || one_of(code, unknown_key) ||
        one_of(code, expired))
        return AWS_DENIED;
    return one_of(code, busy) || http_status == 429 || http_status >= 500 ? AWS_BUSY : AWS_OTHER;
}

/* ---- words ---- */

bool aws_advise(const char *code, const char *thing, const char *region, char *out, size_t size)
{
    out[0] = '\0';
    if (one_of(code, clock_sure))
        snprintf(out, size, "set this machine's clock");
    else if (one_of(code, clock_possible))
        snprintf(out, size,
                 "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID, or %s is not in "
                 "region %s",
                 thing, region);
    else if (one_of(code, unknown_key))
        snprintf(out, size, "check AWS_ACCESS_KEY_ID, and AWS_SESSION_TOKEN if there is one");
    else if (one_of(code, expired))
        snprintf(out, size, "the session token is over: start with fresh AWS_* variables");
    return out[0] != '\0';
}

/* The first line only, at a whole character: what AWS says of a wrong signature goes on with
 * the text that was signed, and that has the session token in it. */
static int shown_length(const char *text)
{
    size_t len = utf8_cut(text, strcspn(text, "\r\n"), SHOWN_MAX);
    while (len > 0 && text[len - 1] == '.')
        len--;
    return (int)len;
}

static int64_t wish_ms(const struct fetch_response *r)
{
    char text[40], *end;
    int64_t wish = -1;
    if (!fetch_header(r, "x-amz-retry-after", text, sizeof text)) {
        wish = fetch_retry_after_ms(r);
    } else {
        long long number = strtoll(text, &end, 10);
        if (end != text && !*end && number >= 0)
            wish = number;
    }
    return wish < WISH_MAX_MS ? wish : WISH_MAX_MS;
}

void aws_read_error(const struct fetch_response *r, struct json_object *body, struct aws_error *e)
{
    const char *type = aws_string(body, "__type"), *text = aws_string(body, "message");
    char status[16];
    if (!text)
        text = aws_string(body, "Message");
    if (!text)
        text = body ? "" : r->body;
    snprintf(status, sizeof status, "%d", r->status);
    aws_normalise_code(type ? type : status, e->code, sizeof e->code);
    e->named = type != NULL;
    e->text = text;
    e->text_len = shown_length(text);
    e->retry_after_ms = wish_ms(r);
}

/* ---- the clock ---- */

bool aws_date(const struct fetch_response *r, int64_t *wall_ms)
{
    char date[64];
    struct tm t = {0};
    if (!fetch_header(r, "Date", date, sizeof date) ||
        !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &t))
        return false;
    *wall_ms = (int64_t)timegm(&t) * 1000;
    return true;
}

bool aws_clock_skew(const struct fetch_response *r, const char *code, int64_t wall_ms,
                    int64_t *offset_ms)
{
    int64_t theirs_ms;
    bool sure = one_of(code, clock_sure);
    if ((!sure && !one_of(code, clock_possible)) || !aws_date(r, &theirs_ms))
        return false;
    *offset_ms = theirs_ms - wall_ms;
    return sure || llabs(*offset_ms) > SKEW_POSSIBLE_MS;
}
