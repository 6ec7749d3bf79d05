#include "token.h"

#include <stdlib.h>
#include <string.h>

struct token *token_new(const char *text, uint64_t number, int64_t refresh_ms)
{
    size_t len = strlen(text);
    struct token *t = malloc(sizeof *t + len + 1);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->number = number;
    t->refresh_ms = refresh_ms;
    memcpy(t->text, text, len + 1);
    return t;
}

struct token *token_ref(struct token *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void token_unref(struct token *t)
{
    if (t && atomic_fetch_sub(&t->refs, 1) == 1)
        free(t);
}
