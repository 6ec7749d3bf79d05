#include "aws/place.h"

#include "base/exit.h"
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

bool aws_is_host(const char *host)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(host, suffixes[i]))
            return true;
    return false;
}

int aws_origin_of(const char *url, const char *key, char *out, size_t size, struct err *e)
{
    if (fetch_origin(url, out, size) == 0)
        return 0;
    return err_set(e, EXIT_CONFIG,
                   "%s: \"%.200s\" is no http(s) URL with a host name that could be called", key,
                   url);
}

void aws_host_of_origin(const char *origin, char *out, size_t size)
{
    bool https = strncmp(origin, "https:", 6) == 0;
    snprintf(out, size, "%s", strstr(origin, "://") + 3);
    char *port = strrchr(out, ':');
    if (port && strcmp(port, https ? ":443" : ":80") == 0)
        *port = '\0';
}

void aws_own_origin(const char *service, const char *region, char *out, size_t size)
{
    const char *suffix = strncmp(region, "cn-", 3) == 0     ? "amazonaws.com.cn"
                         : strncmp(region, "eusc-", 5) == 0 ? "amazonaws.eu"
                                                            : "amazonaws.com";
    snprintf(out, size, "https://%s.%s.%s:443", service, region, suffix);
}

bool aws_copy_region(const char *from, size_t len, char out[SIGV4_REGION_MAX + 1])
{
    if (len == 0 || len > SIGV4_REGION_MAX ||
        strspn(from, "abcdefghijklmnopqrstuvwxyz0123456789-") < len)
        return false;
    snprintf(out, SIGV4_REGION_MAX + 1, "%.*s", (int)len, from);
    return true;
}

const char *aws_after_label(const char *host, const char *service)
{
    size_t n = strlen(service);
    for (const char *label = host; label;
         label = strchr(label, '.') ? strchr(label, '.') + 1 : NULL) {
        if (strncmp(label, service, n) != 0)
            continue;
        if (label[n] == '.')
            return label + n + 1;
        if (strncmp(label + n, "-fips.", 6) == 0)
            return label + n + 6;
    }
    return NULL;
}

bool aws_region_at(const char *rest, char out[SIGV4_REGION_MAX + 1])
{
    size_t len = strcspn(rest, ".");
    return memchr(rest, '-', len) && aws_copy_region(rest, len, out);
}

static bool region_of_host(const char *host, const char *service, char *region)
{
    const char *rest = aws_is_host(host) ? aws_after_label(host, service) : NULL;
    return rest && aws_region_at(rest, region);
}

int aws_find_place(struct aws_place *p, const char *service, const char *endpoint,
                   const char *region, const char *section, struct err *e)
{
    char origin[280], key[64];
    *p = (struct aws_place){0};
    if (region && !aws_copy_region(region, strlen(region), p->region))
        return err_set(e, EXIT_CONFIG,
                       "%s.region: \"%.60s\" is no AWS region; they look like eu-central-1",
                       section, region);
    snprintf(key, sizeof key, "%s.endpoint", section);
    if (endpoint && aws_origin_of(endpoint, key, origin, sizeof origin, e) != 0)
        return -1;
    if (!endpoint && !region)
        return err_set(e, EXIT_CONFIG, "no AWS region: set %s.region (or AWS_REGION)", section);
    if (!endpoint)
        aws_own_origin(service, region, origin, sizeof origin);
    aws_host_of_origin(origin, p->host, sizeof p->host);
    if (!region && !region_of_host(p->host, service, p->region)) {
        if (aws_is_host(p->host))
            return err_set(e, EXIT_CONFIG,
                           "no AWS region: set %s.region (or AWS_REGION); %s.endpoint, %.200s, "
                           "names none",
                           section, section, endpoint);
        snprintf(p->region, sizeof p->region, "us-east-1");
    }
    snprintf(p->url, sizeof p->url, "%s/", origin);
    return 0;
}
