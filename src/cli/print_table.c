#include "cli/print_table.h"

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/exit.h"
#include "ops/table_lookup.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { ACCOUNT_DIGITS = 12 };

/* On demand: a claim costs one write of one unit, and nothing while the queue is idle. */
static void add_definition(struct buf *b, const char *table)
{
    buf_printf(b,
               "{\n"
               "  \"TableName\": \"%s\",\n"
               "  \"AttributeDefinitions\": [{ \"AttributeName\": \"" TABLE_KEY
               "\", \"AttributeType\": \"S\" }],\n"
               "  \"KeySchema\": [{ \"AttributeName\": \"" TABLE_KEY
               "\", \"KeyType\": \"HASH\" }],\n"
               "  \"BillingMode\": \"PAY_PER_REQUEST\"\n"
               "}",
               table);
}

static void add_time_to_live(struct buf *b, const char *table)
{
    buf_printf(b,
               "{\n"
               "  \"TableName\": \"%s\",\n"
               "  \"TimeToLiveSpecification\": { \"Enabled\": true, \"AttributeName\": \"" TABLE_TTL
               "\" }\n"
               "}",
               table);
}

static const char *partition(const char *region)
{
    return strncmp(region, "cn-", 3) == 0       ? "aws-cn"
           : strncmp(region, "us-gov-", 7) == 0 ? "aws-us-gov"
           : strncmp(region, "eusc-", 5) == 0   ? "aws-eusc"
                                                : "aws";
}

/* The account in a queue's URL, the last folder before its name; "*" where there is none. */
static const char *account(const struct conf *c, char out[ACCOUNT_DIGITS + 1])
{
    const char *slash = c->queue.url ? strrchr(c->queue.url, '/') : NULL;
    const char *start = slash ? slash - ACCOUNT_DIGITS : NULL;
    if (!start || start <= c->queue.url || start[-1] != '/')
        return "*";
    for (int i = 0; i < ACCOUNT_DIGITS; i++)
        if (!isdigit((unsigned char)start[i]))
            return "*";
    snprintf(out, ACCOUNT_DIGITS + 1, "%s", start);
    return out;
}

static void add_policy(struct buf *b, const struct conf *c, const char *region)
{
    char digits[ACCOUNT_DIGITS + 1];
    buf_printf(b,
               "{\n"
               "  \"Version\": \"2012-10-17\",\n"
               "  \"Statement\": [{\n"
               "    \"Effect\": \"Allow\",\n"
               "    \"Action\": [\"dynamodb:UpdateItem\", \"dynamodb:DescribeTable\", "
               "\"dynamodb:DescribeTimeToLive\"],\n"
               "    \"Resource\": \"arn:%s:dynamodb:%s:%s:table/%s\"\n"
               "  }]\n"
               "}",
               partition(region), *region ? region : "*", account(c, digits), conf_dedupe_table(c));
}

/* As a comment of the shell. */
static void add_comment(struct buf *b, const char *text)
{
    buf_str(b, "# ");
    for (; *text; text++) {
        buf_char(b, *text);
        if (*text == '\n')
            buf_str(b, "# ");
    }
    buf_char(b, '\n');
}

/* "aws dynamodb COMMAND" with what says where. URLs have been checked: there is no quote in them.
 */
static void add_command(struct buf *b, const struct conf *c, const char *region,
                        const char *command)
{
    buf_printf(b, "aws dynamodb %s", command);
    if (*region)
        buf_printf(b, " --region %s", region);
    if (c->dedupe.endpoint)
        buf_printf(b, " --endpoint-url '%s'", c->dedupe.endpoint);
}

static void add_script(struct buf *b, const struct conf *c, const char *region)
{
    struct buf policy;
    const char *table = conf_dedupe_table(c);
    add_command(b, c, region, "create-table");
    buf_str(b, " --cli-input-json '");
    add_definition(b, table);
    buf_str(b, "'\n");
    add_command(b, c, region, "wait table-exists");
    buf_printf(b, " --table-name %s\n", table);
    add_command(b, c, region, "update-time-to-live");
    buf_str(b, " --cli-input-json '");
    add_time_to_live(b, table);
    buf_str(b, "'\n\n# The least that the host's IAM policy must allow on it:\n");
    buf_init(&policy);
    add_policy(&policy, c, region);
    add_comment(b, policy.data);
    b->failed |= policy.failed;
    buf_free(&policy);
}

static void add_object(struct buf *b, const struct conf *c, const char *region)
{
    buf_str(b, "{\"create_table\": ");
    add_definition(b, conf_dedupe_table(c));
    buf_str(b, ",\n\"time_to_live\": ");
    add_time_to_live(b, conf_dedupe_table(c));
    buf_str(b, ",\n\"policy\": ");
    add_policy(b, c, region);
    buf_str(b, "}\n");
}

/* "" if it cannot be told: the commands then go by the aws program's own settings. */
static int find_region(const struct conf *c, char *out, size_t size, struct err *e)
{
    const struct sqs_options where = {
        .endpoint = c->queue.endpoint, .region = c->queue.region, .queue_url = c->queue.url};
    if (c->dedupe.region)
        snprintf(out, size, "%s", c->dedupe.region);
    else if (!c->queue.url && !c->queue.region && !c->queue.endpoint)
        out[0] = '\0';
    else if (sqs_tell_region(&where, out, size, e) != 0)
        return -1;
    return 0;
}

int print_table(const struct conf *c, bool json, struct err *e)
{
    struct buf out;
    char region[64];
    if (!conf_dedupe_table(c))
        return err_set(e, EXIT_CONFIG,
                       "dedupe.store is \"%s\": there is no table to print; set it to "
                       "\"dynamodb://TABLE\" in " CONF_FILE_NAME
                       ", or LUAHOST_DEDUPE_STORE=dynamodb://TABLE",
                       c->dedupe.store);
    if (find_region(c, region, sizeof region, e) != 0)
        return -1;
    buf_init(&out);
    if (json)
        add_object(&out, c, region);
    else
        add_script(&out, c, region);
    bool ok = !out.failed;
    if (ok)
        fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
    return ok ? EXIT_DONE : err_set(e, EXIT_FAILED, "no memory");
}
