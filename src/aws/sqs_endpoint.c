#include "aws/sqs_endpoint.h"

#include "base/exit.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* As aws_after_label knows them, and the old REGION.queue.amazonaws.com, which are known by
 * `legacy`: their API is at the new name. */
static bool region_of_host(const char *host, char *region, bool *legacy)
{
    *legacy = false;
    if (!aws_is_host(host))
        return false;
    const char *rest = aws_after_label(host, "sqs");
    if (rest)
        return aws_region_at(rest, region);
    *legacy = true;
    if (strncmp(host, "queue.", 6) == 0)
        return aws_copy_region("us-east-1", 9, region);
    size_t first = strcspn(host, ".");
    return strncmp(host + first, ".queue.", 7) == 0 && aws_copy_region(host, first, region);
}

int sqs_find_place(struct aws_place *p, const char *endpoint, const char *region,
                   const char *queue_url, struct err *e)
{
    char origin[280] = "", host[280] = "";
    bool legacy = false;
    *p = (struct aws_place){0};
    if (queue_url && aws_origin_of(queue_url, "queue.url", origin, sizeof origin, e) != 0)
        return -1;
    if (queue_url)
        aws_host_of_origin(origin, host, sizeof host);
    bool named = region_of_host(host, p->region, &legacy);
    if (region && !named && !aws_copy_region(region, strlen(region), p->region))
        return err_set(e, EXIT_CONFIG,
                       "queue.region: \"%.60s\" is no AWS region; they look like eu-central-1",
                       region);
    if (region && named && strcmp(region, p->region) != 0)
        log_warn("queue.region (AWS_REGION) is %s, but the queue's URL says %s: using that", region,
                 p->region);
    if (endpoint) {
        if (aws_origin_of(endpoint, "queue.endpoint", origin, sizeof origin, e) != 0)
            return -1;
    } else if (*p->region && (!queue_url || legacy)) {
        aws_own_origin("sqs", p->region, origin, sizeof origin);
    }
    aws_host_of_origin(*origin ? origin : "https://", p->host, sizeof p->host);
    if (!*p->region && !region_of_host(p->host, p->region, &legacy)) {
        if (!*origin || aws_is_host(p->host))
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
    if (aws_origin_of(url, "queue.url", origin, sizeof origin, e) != 0)
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

bool sqs_names_fifo(const char *url)
{
    static const char end[] = ".fifo";
    size_t len = strlen(url), least = sizeof end - 1;
    return len > least && strcmp(url + len - least, end) == 0;
}
