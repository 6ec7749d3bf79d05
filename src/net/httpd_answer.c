#include "net/httpd_parts.h"

#include "base/log.h"
#include "net/http_head.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

enum { PART_BLOCK_BYTES = 4096 };

/* ---- the question ---- */

const char *httpd_method(const struct httpd_request *r)
{
    return r->method;
}

const char *httpd_path(const struct httpd_request *r)
{
    return r->path.data;
}

const char *httpd_raw_path(const struct httpd_request *r)
{
    return r->target.data;
}

const char *httpd_query(const struct httpd_request *r)
{
    return r->target.data + strlen(r->target.data) + 1;
}

const char *httpd_body(const struct httpd_request *r, size_t *len)
{
    *len = r->body.len;
    return r->body.data;
}

const char *httpd_header(const struct httpd_request *r, const char *name)
{
    return http_head_find(r->headers, r->header_count, name);
}

bool httpd_next_header(const struct httpd_request *r, size_t *at, const char **name,
                       const char **value)
{
    if (*at >= (size_t)r->header_count)
        return false;
    *name = r->headers[*at].name;
    *value = r->headers[*at].value;
    ++*at;
    return true;
}

/* ---- the answer ---- */

/* The beginning of a body whose rest never comes. */
struct part {
    size_t len;
    char bytes[];
};

static ssize_t read_part(void *arg, uint64_t at, char *out, size_t max)
{
    const struct part *part = arg;
    if (at >= part->len)
        return MHD_CONTENT_READER_END_WITH_ERROR; /* closes the connection */
    size_t n = part->len - at < max ? part->len - at : max;
    memcpy(out, part->bytes + at, n);
    return (ssize_t)n;
}

static struct MHD_Response *response_of_part(const void *body, size_t len, size_t sent)
{
    struct part *part = malloc(sizeof *part + sent);
    if (!part)
        return NULL;
    part->len = sent;
    memcpy(part->bytes, body, sent);
    struct MHD_Response *response =
        MHD_create_response_from_callback(len, PART_BLOCK_BYTES, read_part, part, free);
    if (!response)
        free(part);
    return response;
}

static struct MHD_Response *response_of(const struct httpd_header *headers, const void *body,
                                        size_t len, size_t sent)
{
    struct MHD_Response *response =
        sent < len ? response_of_part(body, len, sent)
                   : MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_MUST_COPY);
    for (; response && headers && headers->name; headers++) {
        if (!*headers->value)
            continue; /* libmicrohttpd takes no empty values */
        if (MHD_add_response_header(response, headers->name, headers->value) != MHD_YES) {
            log_warn("an answer's header '%s' was refused", headers->name);
            MHD_destroy_response(response);
            return NULL;
        }
    }
    return response;
}

static void give_back(struct httpd_request *r)
{
    list_remove(&r->queue); /* its client may have left: `gone` need not tell any more */
    ev_io_stop(r->h->loop, &r->departure);
    httpd_resume(r);
}

void httpd_cut(struct httpd_request *r)
{
    give_back(r); /* on_access finds no response */
}

void httpd_reply_part(struct httpd_request *r, unsigned status, const struct httpd_header *headers,
                      const void *body, size_t len, size_t sent)
{
    static const char failed[] = "the answer could not be made\n";
    r->status = status;
    r->response = response_of(headers, body, len, sent);
    if (!r->response) {
        r->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        r->response = response_of(NULL, failed, sizeof failed - 1, sizeof failed - 1);
    }
    httpd_deadline(r, r->h->options.exchange_s);
    give_back(r);
}

void httpd_reply(struct httpd_request *r, unsigned status, const struct httpd_header *headers,
                 const void *body, size_t len)
{
    httpd_reply_part(r, status, headers, body, len, len);
}
