/* The attribute as Amazon's documentation has it; the servers of the other tests know none. */
#include "aws/sqs_redrive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ARN(name) "arn:aws:sqs:eu-central-1:123456789012:" name

static void policies(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        enum sqs_redrive says;
    } cases[] = {
        {NULL, SQS_REDRIVE_ALLOWED},
        {"", SQS_REDRIVE_ALLOWED},
        {"{\"redrivePermission\":\"allowAll\"}", SQS_REDRIVE_ALLOWED},
        {"{\"redrivePermission\":\"denyAll\"}", SQS_REDRIVE_DENIED},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"" ARN("q") "\"]}",
         SQS_REDRIVE_ALLOWED},
        {"{\"redrivePermission\":\"byQueue\",\n \"sourceQueueArns\":[\"" ARN("a") "\", \"" ARN(
             "q") "\"]}\n",
         SQS_REDRIVE_ALLOWED},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"" ARN("q2") "\"]}",
         SQS_REDRIVE_UNLISTED},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[]}", SQS_REDRIVE_UNLISTED},
        {"{\"redrivePermission\":\"byQueue\"}", SQS_REDRIVE_UNLISTED},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":\"" ARN("q") "\"}",
         SQS_REDRIVE_UNLISTED},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[null, 7, {}]}",
         SQS_REDRIVE_UNLISTED},
        {"{\"redrivePermission\":\"byAccount\"}", SQS_REDRIVE_ODD},
        {"{\"redrivePermission\":null}", SQS_REDRIVE_ODD},
        {"{}", SQS_REDRIVE_ODD},
        {"[]", SQS_REDRIVE_ODD},
        {"denyAll", SQS_REDRIVE_ODD},
        {"{\"redrivePermission\":\"allowAll\"", SQS_REDRIVE_ODD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (sqs_redrive_from(cases[i].policy, ARN("q")) != cases[i].says)
            fail_msg("%s: %d", cases[i].policy, sqs_redrive_from(cases[i].policy, ARN("q")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(policies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
