#include "net/fetch_check.h"

#include "net/fetch.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_MAX = 120 };

/* As much of bad input as may be shown: no control characters, no query (secrets live there). */
static const char *shown(const char *text, char out[SHOWN_MAX + 1])
{
    size_t n = 0;
    for (; n < SHOWN_MAX && text[n] && text[n] != '?'; n++)
        out[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
    out[n] = '\0';
    return out;
}

static bool host_char(unsigned char c)
{
    return isalnum(c) || c == '.' || c == '-' || c == '_';
}

static const char *read_host(const char *at, struct fetch_parts *p)
{
    p->host = at;
    if (*at == '[') {
        at++;
        while (isxdigit((unsigned char)*at) || *at == ':' || *at == '.')
            at++;
        if (*at != ']' || at - p->host < 3)
            return NULL;
        at++;
    } else {
        while (host_char((unsigned char)*at))
            at++;
        if (at == p->host)
            return NULL;
    }
    p->host_len = (size_t)(at - p->host);
    return at;
}

static const char *read_port(const char *at, struct fetch_parts *p)
{
    p->port = NULL;
    p->port_len = 0;
    if (*at != ':')
        return at;
    long port = 0;
    p->port = ++at;
    for (; isdigit((unsigned char)*at) && port <= 65535; at++)
        port = port * 10 + (*at - '0');
    p->port_len = (size_t)(at - p->port);
    return p->port_len > 0 && port > 0 && port <= 65535 ? at : NULL;
}

int fetch_check_url(const char *url, struct fetch_parts *p, struct err *e)
{
    char text[SHOWN_MAX + 1];
    const char *at;
    if (strncasecmp(url, "http://", 7) == 0) {
        p->https = false;
        at = url + 7;
    } else if (strncasecmp(url, "https://", 8) == 0) {
        p->https = true;
        at = url + 8;
    } else {
        return err_set(e, 0, "bad URL \"%s\": it must start with http:// or https://",
                       shown(url, text));
    }
    size_t authority = strcspn(at, "/?#");
    if (memchr(at, '@', authority))
        return err_set(e, 0,
                       "bad URL: it has a user name or password before the host; send "
                       "credentials in an Authorization header instead");
    const char *end = read_host(at, p);
    if (!end || !(end = read_port(end, p)) || end != at + authority)
        return err_set(e, 0,
                       "bad URL \"%s\": no host name and port that could be called "
                       "(names outside ASCII are written as xn--...)",
                       shown(url, text));
    for (; *end; end++)
        if (*end <= ' ' || *end > '~')
            return err_set(e, 0,
                           "bad URL \"%s\": blanks, control characters and characters "
                           "outside ASCII must be percent-encoded",
                           shown(url, text));
    return 0;
}

bool fetch_parts_loopback(const struct fetch_parts *p)
{
    return (p->host_len == 9 && strncasecmp(p->host, "localhost", 9) == 0) ||
           (p->host_len >= 4 && memcmp(p->host, "127.", 4) == 0) ||
           (p->host_len == 5 && memcmp(p->host, "[::1]", 5) == 0);
}

int fetch_origin(const char *url, char *out, size_t size)
{
    struct fetch_parts p;
    if (fetch_check_url(url, &p, NULL) != 0)
        return -1;
    const char *scheme = p.https ? "https" : "http";
    int n = snprintf(out, size, "%s://%.*s:%.*s", scheme, (int)p.host_len, p.host,
                     p.port ? (int)p.port_len : 5,
                     p.port    ? p.port
                     : p.https ? "443"
                               : "80");
    if (n < 0 || (size_t)n >= size)
        return -1;
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

/* RFC 9110, section 5.6.2. */
static size_t token_length(const char *text)
{
    size_t n = 0;
    while (text[n] && (isalnum((unsigned char)text[n]) || strchr("!#$%&'*+-.^_`|~", text[n])))
        n++;
    return n;
}

int fetch_check_method(const char *method, struct err *e)
{
    char text[SHOWN_MAX + 1];
    size_t n = token_length(method);
    if (n == 0 || method[n] || n > FETCH_METHOD_MAX)
        return err_set(e, 0, "bad HTTP method \"%s\": GET, POST and the like", shown(method, text));
    return 0;
}

static bool framing(const char *name, size_t len)
{
    static const char *const own[] = {"Content-Length", "Transfer-Encoding", "Expect"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == len && strncasecmp(name, own[i], len) == 0)
            return true;
    return false;
}

int fetch_check_header(const char *line, size_t *name_len, bool *empty, struct err *e)
{
    char text[SHOWN_MAX + 1];
    size_t n = token_length(line);
    if (n == 0 || line[n] != ':') {
        char name[SHOWN_MAX + 1];
        shown(line, text);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
        return err_set(e, 0, "bad header name \"%s\": letters, digits and dashes, then a colon",
                       name);
    }
    if (framing(line, n))
        return err_set(e, 0, "the header %.*s is set by the host itself: leave it out", (int)n,
                       line);
    bool any = false;
    for (const char *c = line + n + 1; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if ((u < ' ' && u != '\t') || u == 0x7f)
            return err_set(e, 0,
                           "the header %.*s has a line break or another control "
                           "character in its value",
                           (int)n, line);
        any |= u != ' ' && u != '\t';
    }
    *name_len = n;
    *empty = !any;
    return 0;
}

bool fetch_has_header(const char *const *headers, const char *name)
{
    size_t len = strlen(name);
    for (; headers && *headers; headers++)
        if (strncasecmp(*headers, name, len) == 0 && (*headers)[len] == ':')
            return true;
    return false;
}

enum fetch_mode fetch_mode_of(const char *method, size_t body_len)
{
    if (strcmp(method, "HEAD") == 0)
        return FETCH_MODE_HEAD;
    if (body_len > 0)
        return FETCH_MODE_BODY;
    /* Servers expect a Content-Length with these, 0 included (RFC 9110, section 8.6). */
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0
               ? FETCH_MODE_BODY
               : FETCH_MODE_GET;
}
