#include "aws/sqs_endpoint.h"

#include "base/exit.h"
#include "base/log.h"
#include "net/fetch.h"

#include <stdio.h>
#include <string.h>

static const char *const suffixes[] = {".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu",
                                       ".api.aws", ".api.amazonwebservices.com.cn"};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len > n && strcmp(text + len - n, end) == 0;
}

/* "host:port" without a port that is the scheme's own. */
static void host_of_origin(const char *origin, char *out, size_t size)
{
    bool https = strncmp(origin, "https:", 6) == 0;
    snprintf(out, size, "%s", strstr(origin, "://") + 3);
    char *port = strrchr(out, ':');
    if (port && strcmp(port, https ? ":443" : ":80") == 0)
        *port = '\0';
}

static bool is_aws(const char *host)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(host, suffixes[i]))
            return true;
    return false;
}

static bool copy_region(const char *from, size_t len, char *out)
{
    if (len == 0 || len > SIGV4_REGION_MAX ||
        strspn(from, "abcdefghijklmnopqrstuvwxyz0123456789-") < len)
        return false;
    snprintf(out, SIGV4_REGION_MAX + 1, "%.*s", (int)len, from);
    return true;
}

/* sqs.REGION.amazonaws.com, sqs-fips.REGION…, NAME.sqs.REGION.vpce.amazonaws.com; and the old
 * REGION.queue.amazonaws.com, which are known by `legacy`: their API is at the new name. */
static bool region_of_host(const char *host, char *region, bool *legacy)
{
    *legacy = false;
    if (!is_aws(host))
        return false;
    for (const char *label = host; label;
         label = strchr(label, '.') ? strchr(label, '.') + 1 : NULL) {
        size_t skip = strncmp(label, "sqs.", 4) == 0        ? 4
                      : strncmp(label, "sqs-fips.", 9) == 0 ? 9
                                                            : 0;
        size_t len = strcspn(label + skip, ".");
        if (skip > 0)
            return memchr(label + skip, '-', len) && copy_region(label + skip, len, region);
    }
    *legacy = true;
    if (strncmp(host, "queue.", 6) == 0)
        return copy_region("us-east-1", 9, region);
    size_t first = strcspn(host, ".");
    return strncmp(host + first, ".queue.", 7) == 0 && copy_region(host, first, region);
}

static void aws_origin(const char *region, char *out, size_t size)
{
    const char *suffix = strncmp(region, "cn-", 3) == 0     ? "amazonaws.com.cn"
                         : strncmp(region, "eusc-", 5) == 0 ? "amazonaws.eu"
                                                            : "amazonaws.com";
    snprintf(out, size, "https://sqs.%s.%s:443", region, suffix);
}

static int origin_of(const char *url, const char *key, char *out, size_t size, struct err *e)
{
    if (fetch_origin(url, out, size) == 0)
        return 0;
    return err_set(e, EXIT_CONFIG,
                   "%s: \"%.200s\" is no http(s) URL with a host name that could be called", key,
                   url);
}

int sqs_find_place(struct sqs_place *p, const char *endpoint, const char *region,
                   const char *queue_url, struct err *e)
{
    char origin[280] = "", host[280] = "";
    bool legacy = false;
    *p = (struct sqs_place){0};
    if (queue_url && origin_of(queue_url, "queue.url", origin, sizeof origin, e) != 0)
        return -1;
    if (queue_url)
        host_of_origin(origin, host, sizeof host);
    bool named = region_of_host(host, p->region, &legacy);
    if (region && !named && !copy_region(region, strlen(region), p->region))
        return err_set(e, EXIT_CONFIG,
                       "queue.region: \"%.60s\" is no AWS region; they look like eu-central-1",
                       region);
    if (region && named && strcmp(region, p->region) != 0)
        log_warn("queue.region (AWS_REGION) is %s, but the queue's URL says %s: using that", region,
                 p->region);
    if (endpoint) {
        if (origin_of(endpoint, "queue.endpoint", origin, sizeof origin, e) != 0)
            return -1;
    } else if (*p->region && (!queue_url || legacy)) {
        aws_origin(p->region, origin, sizeof origin);
    }
    host_of_origin(*origin ? origin : "https://", p->host, sizeof p->host);
    if (!*p->region && !region_of_host(p->host, p->region, &legacy)) {
        if (!*origin || is_aws(p->host))
            return err_set(e, EXIT_CONFIG,
                           "no AWS region: set queue.region (AWS_REGION, --region), or give the "
                           "queue's whole URL, which names it");
        snprintf(p->region, sizeof p->region, "us-east-1");
    }
    snprintf(p->url, sizeof p->url, "%s/", origin);
    return 0;
}

int sqs_check_queue_url(const char *url, struct err *e)
{
    char origin[280];
    if (origin_of(url, "queue.url", origin, sizeof origin, e) != 0)
        return -1;
    const char *path = strchr(strstr(url, "://") + 3, '/');
    size_t len = strlen(url);
    if (!path || strpbrk(url, "?#") || url[len - 1] == '/' || len >= 1024)
        return err_set(e, EXIT_CONFIG,
                       "queue.url: \"%.200s\" is no queue's URL; they look like "
                       "https://sqs.eu-central-1.amazonaws.com/123456789012/registrations",
                       url);
    return 0;
}
