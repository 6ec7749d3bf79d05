#include "aws/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void sigv4_init(struct sigv4 *s, const char *region, const char *service)
{
    *s = (struct sigv4){0};
    snprintf(s->region, sizeof s->region, "%s", region);
    snprintf(s->service, sizeof s->service, "%s", service);
}

void sigv4_wipe(struct sigv4 *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

void sigv4_time(int64_t wall_ms, char out[SIGV4_TIME_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(out, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &t);
}

static void add_hex(struct buf *b, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        buf_char(b, digits[bytes[i] >> 4]);
        buf_char(b, digits[bytes[i] & 15]);
    }
}

static void add_sha256(struct buf *b, const void *bytes, size_t len)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(bytes, len, digest);
    add_hex(b, digest, sizeof digest);
}

static void add_names(struct buf *b, const struct sigv4_request *r)
{
    for (int i = 0; i < r->header_count; i++) {
        if (i > 0)
            buf_char(b, ';');
        buf_str(b, r->headers[i].name);
    }
}

void sigv4_canonical(const struct sigv4_request *r, struct buf *out)
{
    buf_printf(out, "%s\n%s\n\n", r->method, r->path);
    for (int i = 0; i < r->header_count; i++)
        buf_printf(out, "%s:%s\n", r->headers[i].name, r->headers[i].value);
    buf_char(out, '\n');
    add_names(out, r);
    buf_char(out, '\n');
    add_sha256(out, r->body, r->body_len);
}

static int hmac(const void *key, size_t key_len, const char *text, unsigned char out[32])
{
    unsigned int len = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
                &len) &&
                   len == 32
               ? 0
               : -1;
}

static int derive_key(struct sigv4 *s, const char *secret, const char *date)
{
    if (strcmp(s->date, date) == 0 && strcmp(s->key_of, secret) == 0)
        return 0;
    char first[sizeof s->key_of + 4];
    int len = snprintf(first, sizeof first, "AWS4%s", secret);
    if (len < 0 || (size_t)len >= sizeof first)
        return -1;
    int rc = hmac(first, (size_t)len, date, s->key) || hmac(s->key, 32, s->region, s->key) ||
                     hmac(s->key, 32, s->service, s->key) ||
                     hmac(s->key, 32, "aws4_request", s->key)
                 ? -1
                 : 0;
    OPENSSL_cleanse(first, sizeof first);
    if (rc == 0) {
        snprintf(s->date, sizeof s->date, "%s", date);
        snprintf(s->key_of, sizeof s->key_of, "%s", secret);
    } else {
        s->date[0] = '\0';
    }
    return rc;
}

int sigv4_sign(struct sigv4 *s, const char *id, const char *secret,
               const struct sigv4_request *r, struct buf *out)
{
    char date[9], scope[100];
    unsigned char signature[32];
    struct buf text;
    snprintf(date, sizeof date, "%.8s", r->time);
    snprintf(scope, sizeof scope, "%s/%s/%s/aws4_request", date, s->region, s->service);
    buf_init(&text);
    sigv4_canonical(r, &text);
    struct buf to_sign;
    buf_init(&to_sign);
    buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n", r->time, scope);
    add_sha256(&to_sign, text.data, text.len);
    int rc = text.failed || to_sign.failed ? -1 : derive_key(s, secret, date);
    if (rc == 0)
        rc = hmac(s->key, sizeof s->key, to_sign.data, signature);
    if (rc == 0) {
        buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", id, scope);
        add_names(out, r);
        buf_str(out, ", Signature=");
        add_hex(out, signature, sizeof signature);
        rc = out->failed ? -1 : 0;
    }
    buf_free(&text);
    buf_free(&to_sign);
    return rc;
}
