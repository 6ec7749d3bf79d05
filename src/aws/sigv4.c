#include "aws/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DIGEST_BYTES = SHA256_DIGEST_LENGTH, BLOCK_BYTES = SHA256_CBLOCK };

void sigv4_init(struct sigv4 *s, const char *region, const char *service)
{
    *s = (struct sigv4){0};
    snprintf(s->region, sizeof s->region, "%s", region);
    snprintf(s->service, sizeof s->service, "%s", service);
    buf_init(&s->text);
}

void sigv4_wipe(struct sigv4 *s)
{
    EVP_MD_free(s->sha256);
    EVP_MD_CTX_free(s->inner); /* clears what it held */
    EVP_MD_CTX_free(s->outer);
    EVP_MD_CTX_free(s->work);
    buf_free(&s->text);
    OPENSSL_cleanse(s, sizeof *s);
}

void sigv4_time(int64_t wall_ms, char out[SIGV4_TIME_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(out, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &t);
}

/* ---- hashes ---- */

static int prepare(struct sigv4 *s)
{
    if (!s->sha256)
        s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!s->inner)
        s->inner = EVP_MD_CTX_new();
    if (!s->outer)
        s->outer = EVP_MD_CTX_new();
    if (!s->work)
        s->work = EVP_MD_CTX_new();
    return s->sha256 && s->inner && s->outer && s->work ? 0 : -1;
}

static void add_hex(struct buf *b, const unsigned char bytes[DIGEST_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * DIGEST_BYTES];
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    buf_add(b, text, sizeof text);
}

static int add_sha256(struct sigv4 *s, struct buf *b, const void *bytes, size_t len)
{
    unsigned char digest[DIGEST_BYTES];
    if (prepare(s) != 0 || !EVP_DigestInit_ex(s->work, s->sha256, NULL) ||
        !EVP_DigestUpdate(s->work, bytes, len) || !EVP_DigestFinal_ex(s->work, digest, NULL))
        return -1;
    add_hex(b, digest);
    return 0;
}

static int hmac(const void *key, size_t key_len, const char *text, unsigned char out[DIGEST_BYTES])
{
    unsigned int len = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
                &len)
               ? 0
               : -1;
}

/* Starts one of HMAC's two hashes with the key's block (RFC 2104). */
static int begin_half(struct sigv4 *s, EVP_MD_CTX *half, const unsigned char key[DIGEST_BYTES],
                      unsigned char pad)
{
    unsigned char block[BLOCK_BYTES];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        block[i] ^= key[i];
    int rc = EVP_DigestInit_ex(half, s->sha256, NULL) && EVP_DigestUpdate(half, block, sizeof block)
                 ? 0
                 : -1;
    OPENSSL_cleanse(block, sizeof block);
    return rc;
}

static int end_half(struct sigv4 *s, const EVP_MD_CTX *half, const void *bytes, size_t len,
                    unsigned char out[DIGEST_BYTES])
{
    return EVP_MD_CTX_copy_ex(s->work, half) && EVP_DigestUpdate(s->work, bytes, len) &&
                   EVP_DigestFinal_ex(s->work, out, NULL)
               ? 0
               : -1;
}

static int derive(struct sigv4 *s, const char *secret, const char *date)
{
    unsigned char key[DIGEST_BYTES];
    char first[4 + SIGV4_SECRET_MAX + 1];
    if (strcmp(s->date, date) == 0 && strcmp(s->key_of, secret) == 0)
        return 0;
    s->date[0] = '\0';
    int len = snprintf(first, sizeof first, "AWS4%s", secret);
    if (len < 0 || (size_t)len >= sizeof first || prepare(s) != 0)
        return -1;
    int rc = hmac(first, (size_t)len, date, key) || hmac(key, sizeof key, s->region, key) ||
                     hmac(key, sizeof key, s->service, key) ||
                     hmac(key, sizeof key, "aws4_request", key) ||
                     begin_half(s, s->inner, key, 0x36) || begin_half(s, s->outer, key, 0x5c)
                 ? -1
                 : 0;
    OPENSSL_cleanse(first, sizeof first);
    OPENSSL_cleanse(key, sizeof key);
    if (rc == 0) {
        snprintf(s->date, sizeof s->date, "%s", date);
        snprintf(s->key_of, sizeof s->key_of, "%s", secret);
    }
    return rc;
}

/* ---- texts ---- */

static void add_names(struct buf *b, const struct sigv4_request *r)
{
    for (int i = 0; i < r->header_count; i++) {
        if (i > 0)
            buf_char(b, ';');
        buf_str(b, r->headers[i].name);
    }
}

static void add_scope(const struct sigv4 *s, const struct sigv4_request *r, struct buf *b)
{
    buf_add(b, r->time, 8);
    buf_char(b, '/');
    buf_str(b, s->region);
    buf_char(b, '/');
    buf_str(b, s->service);
    buf_str(b, "/aws4_request");
}

int sigv4_canonical(struct sigv4 *s, const struct sigv4_request *r, struct buf *b)
{
    buf_str(b, r->method);
    buf_char(b, '\n');
    buf_str(b, r->path);
    buf_str(b, "\n\n"); /* no query */
    for (int i = 0; i < r->header_count; i++) {
        buf_str(b, r->headers[i].name);
        buf_char(b, ':');
        buf_str(b, r->headers[i].value);
        buf_char(b, '\n');
    }
    buf_char(b, '\n');
    add_names(b, r);
    buf_char(b, '\n');
    return add_sha256(s, b, r->body, r->body_len) != 0 || b->failed ? -1 : 0;
}

int sigv4_string_to_sign(struct sigv4 *s, const struct sigv4_request *r, struct buf *b)
{
    buf_clear(&s->text);
    if (sigv4_canonical(s, r, &s->text) != 0)
        return -1;
    buf_str(b, "AWS4-HMAC-SHA256\n");
    buf_str(b, r->time);
    buf_char(b, '\n');
    add_scope(s, r, b);
    buf_char(b, '\n');
    return add_sha256(s, b, s->text.data, s->text.len) != 0 || b->failed ? -1 : 0;
}

int sigv4_sign(struct sigv4 *s, const char *id, const char *secret, const struct sigv4_request *r,
               struct buf *out)
{
    char date[9];
    unsigned char digest[DIGEST_BYTES];
    size_t start = out->len;
    snprintf(date, sizeof date, "%.8s", r->time);
    /* The text to be signed is built where the header will stand. */
    if (derive(s, secret, date) != 0 || sigv4_string_to_sign(s, r, out) != 0 ||
        end_half(s, s->inner, out->data + start, out->len - start, digest) != 0 ||
        end_half(s, s->outer, digest, sizeof digest, digest) != 0)
        return -1;
    out->len = start;
    buf_str(out, "AWS4-HMAC-SHA256 Credential=");
    buf_str(out, id);
    buf_char(out, '/');
    add_scope(s, r, out);
    buf_str(out, ", SignedHeaders=");
    add_names(out, r);
    buf_str(out, ", Signature=");
    add_hex(out, digest);
    return out->failed ? -1 : 0;
}
