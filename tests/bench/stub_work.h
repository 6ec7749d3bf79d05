/* What the stub knows: a queue of numbered registrations, a target that takes them, and the
 * books on both. No I/O. One thread. */
#ifndef BENCH_STUB_WORK_H
#define BENCH_STUB_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct text {
    char *data;
    size_t len;
    size_t cap;
};

/* Exits when there is no memory: a bench without it measures nothing. */
void text_add(struct text *t, const char *bytes, size_t len);
void text_print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct request {
    const char *method, *path, *target; /* target: X-Amz-Target without "AmazonSQS.", or "" */
    bool signed_v4;                     /* carries an Authorization of the SigV4 form */
    const char *body;                   /* NUL-terminated */
    size_t body_len;
};

struct answer {
    int status;
    const char *type;     /* Content-Type, or NULL without a body */
    const char *location; /* or NULL */
    int64_t wait_ms;      /* a long poll that found nothing: answered this much later */
    bool of_target;       /* not SQS's */
    struct text body;     /* cleared by the caller, filled here */
};

struct work;

/* `messages` registrations, numbered from 1, ready to be received. */
struct work *work_new(int messages, int port);
void work_free(struct work *w);
void work_answer(struct work *w, const struct request *r, struct answer *a);

/* One line of JSON. True if every message was received, posted and deleted exactly once, in
 * that order, and nothing else happened. */
bool work_summary(const struct work *w, FILE *out);

int64_t monotonic_us(void);

#endif
