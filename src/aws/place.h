/* Where an AWS service is: its endpoint, and the region that requests are signed for. Pure; inside
 * aws/ only. Reference: sqs, section 2; aws-auth, section 6. */
#ifndef AWS_PLACE_H
#define AWS_PLACE_H

#include "aws/sigv4.h"
#include "base/err.h"

#include <stdbool.h>

struct aws_place {
    char url[300];  /* scheme://host:port/ */
    char host[280]; /* as it is signed and sent: the port only if it is not the scheme's */
    char region[SIGV4_REGION_MAX + 1];
};

/* Of a service that endpoint or region say everything about; either may be NULL. Without an
 * endpoint it is AWS's own. The region is `region`, else the one in an AWS endpoint's name, else
 * (no AWS: any will do) us-east-1. `service`: the first label of its names, "dynamodb"; `section`:
 * of the configuration, whose keys `endpoint` and `region` the words name. -1 with EXIT_CONFIG. */
int aws_find_place(struct aws_place *p, const char *service, const char *endpoint,
                   const char *region, const char *section, struct err *e);

/* The parts of it, for a service that knows more. */

/* -1 with EXIT_CONFIG, naming `key`, unless it is an http(s) URL; else "scheme://host:port". */
int aws_origin_of(const char *url, const char *key, char *out, size_t size, struct err *e);
/* "host:port" of an origin, without a port that is the scheme's own. */
void aws_host_of_origin(const char *origin, char *out, size_t size);
/* The origin of AWS's own endpoint. */
void aws_own_origin(const char *service, const char *region, char *out, size_t size);
bool aws_is_host(const char *host);
/* False: it cannot be a region's name. */
bool aws_copy_region(const char *from, size_t len, char out[SIGV4_REGION_MAX + 1]);
/* What follows the service's label in a host's name ("sqs.", "sqs-fips.", "NAME.sqs."): it begins
 * with the region, in AWS's names. NULL: it has no such label. */
const char *aws_after_label(const char *host, const char *service);
/* The region at the beginning of that; false if there is none. */
bool aws_region_at(const char *rest, char out[SIGV4_REGION_MAX + 1]);

#endif
