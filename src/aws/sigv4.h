/* AWS Signature Version 4 with OpenSSL. By hand, because libcurl 7.88's signer cannot take the
 * time from us (clock skew), nor hash a body that is read in pieces (reference: aws-auth).
 * A signer belongs to one thread. */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

enum { SIGV4_HEADERS_MAX = 8, SIGV4_TIME_BYTES = 17 };

/* A header that is signed: name in lower case, value as it is sent. */
struct sigv4_header {
    const char *name;
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path; /* as it is sent; no query */
    const struct sigv4_header *headers; /* sorted by name */
    int header_count;
    const void *body;
    size_t body_len;
    const char *time; /* sigv4_time; the header x-amz-date has the same */
};

/* The scope, and the key derived for it, which is kept as long as nothing changes. */
struct sigv4 {
    char region[40];
    char service[20];
    char date[9];
    char key_of[129]; /* the secret that `key` was derived from */
    unsigned char key[32];
};

void sigv4_init(struct sigv4 *s, const char *region, const char *service);
void sigv4_wipe(struct sigv4 *s);

/* "20150830T123600Z" */
void sigv4_time(int64_t wall_ms, char out[SIGV4_TIME_BYTES]);

/* Appends the Authorization header's value. -1: no memory, or OpenSSL failed. */
int sigv4_sign(struct sigv4 *s, const char *id, const char *secret,
               const struct sigv4_request *request, struct buf *out);

/* The steps, for the test vectors. */
void sigv4_canonical(const struct sigv4_request *request, struct buf *out);

#endif
