/* AWS credentials. Core thread only.
 *
 * So far from the environment only: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary
 * ones, AWS_SESSION_TOKEN (or the older AWS_SECURITY_TOKEN). The rest of the chain
 * (reference: aws-auth, section 4) comes behind this same interface. */
#ifndef AWS_CREDS_H
#define AWS_CREDS_H

#include "base/err.h"

struct creds;

struct credentials {
    const char *id;
    const char *secret;
    const char *token;  /* NULL: none */
    const char *source; /* words for people: where they came from */
};

/* NULL with `e` (EXIT_CONFIG): none were found, or an id without a secret. */
struct creds *creds_new(struct err *e);
void creds_free(struct creds *c); /* wipes them; NULL is fine */

/* What to sign with now; valid until the next call. */
const struct credentials *creds_get(struct creds *c);

#endif
