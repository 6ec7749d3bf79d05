#include "aws/creds.h"

#include "base/exit.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct creds {
    char *id;
    char *secret;
    char *token;
    struct credentials current;
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void creds_free(struct creds *c)
{
    if (!c)
        return;
    free(c->id);
    wipe(c->secret);
    wipe(c->token);
    free(c);
}

static bool clean(const char *text)
{
    for (; text && *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static int check(const char *id, const char *secret, const char *token, struct err *e)
{
    if (id && secret) {
        const char *bad = !clean(id)       ? "AWS_ACCESS_KEY_ID"
                          : !clean(secret) ? "AWS_SECRET_ACCESS_KEY"
                          : !clean(token)  ? "AWS_SESSION_TOKEN"
                                           : NULL;
        return bad ? err_set(e, EXIT_CONFIG,
                             "%s has a blank, a line break or another character in it that no "
                             "AWS credential has: set it anew",
                             bad)
                   : 0;
    }
    if (id)
        return err_set(e, EXIT_CONFIG,
                       "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both");
    if (secret)
        return err_set(e, EXIT_CONFIG,
                       "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not: set both");
    return err_set(e, EXIT_CONFIG,
                   "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
                   "AWS_SESSION_TOKEN for temporary ones) in the environment; for a local queue "
                   "any words will do");
}

struct creds *creds_new(struct err *e)
{
    const char *id = variable("AWS_ACCESS_KEY_ID");
    const char *secret = variable("AWS_SECRET_ACCESS_KEY");
    const char *token = variable("AWS_SESSION_TOKEN");
    if (!token)
        token = variable("AWS_SECURITY_TOKEN");
    if (check(id, secret, token, e) != 0)
        return NULL;
    struct creds *c = calloc(1, sizeof *c);
    if (!c || !(c->id = strdup(id)) || !(c->secret = strdup(secret)) ||
        (token && !(c->token = strdup(token)))) {
        creds_free(c);
        err_set(e, EXIT_FAILED, "no memory");
        return NULL;
    }
    c->current = (struct credentials){
        .id = c->id, .secret = c->secret, .token = c->token, .source = "the environment"};
    return c;
}

const struct credentials *creds_get(struct creds *c)
{
    return &c->current;
}
