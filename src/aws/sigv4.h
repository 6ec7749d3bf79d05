/* AWS Signature Version 4 with OpenSSL. By hand, because libcurl 7.88's signer cannot take the
 * time from us (clock skew), nor be run on test vectors (reference: aws-auth, sections 1-3).
 * A signer belongs to one thread; it serves one region and service. */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SIGV4_HEADERS_MAX = 8,
    SIGV4_TIME_BYTES = 17,
    SIGV4_REGION_MAX = 39,
    SIGV4_SECRET_MAX = 128,
};

/* A header that is signed: name in lower case, value as it is sent, without blanks around. */
struct sigv4_header {
    const char *name;
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path;                   /* as it is sent; no query */
    const struct sigv4_header *headers; /* sorted by name */
    int header_count;
    const void *body;
    size_t body_len;
    const char *time; /* sigv4_time; the header x-amz-date has the same */
};

/* The scope, and what is derived for it, kept as long as secret and date stay the same: the
 * hash states after the signing key's two blocks (HMAC), so that a signature costs three short
 * hashes. OpenSSL's one-shot calls cost four times as much, looking the algorithm up anew. */
struct sigv4 {
    char region[SIGV4_REGION_MAX + 1];
    char service[20];
    char date[9];
    char key_of[SIGV4_SECRET_MAX + 1]; /* the secret that the states were derived from */
    struct evp_md_st *sha256;
    struct evp_md_ctx_st *inner;
    struct evp_md_ctx_st *outer;
    struct evp_md_ctx_st *work;
    struct buf text; /* scratch */
};

/* `region` of at most SIGV4_REGION_MAX bytes. */
void sigv4_init(struct sigv4 *s, const char *region, const char *service);
void sigv4_wipe(struct sigv4 *s); /* frees and clears; sigv4_init before using it again */

/* "20150830T123600Z" */
void sigv4_time(int64_t wall_ms, char out[SIGV4_TIME_BYTES]);

/* Appends the Authorization header's value. -1 (what was appended is worthless): no memory,
 * OpenSSL failed, or the secret is longer than SIGV4_SECRET_MAX. */
int sigv4_sign(struct sigv4 *s, const char *id, const char *secret,
               const struct sigv4_request *request, struct buf *out);

/* The steps, for the test vectors: both append; -1 as above. */
int sigv4_canonical(struct sigv4 *s, const struct sigv4_request *request, struct buf *out);
int sigv4_string_to_sign(struct sigv4 *s, const struct sigv4_request *request, struct buf *out);

#endif
