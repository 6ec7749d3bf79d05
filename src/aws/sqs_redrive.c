#include "aws/sqs_redrive.h"

#include "aws/answer.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

static bool is_listed(struct json_object *policy, const char *arn)
{
    struct json_object *list;
    if (!json_object_object_get_ex(policy, "sourceQueueArns", &list) ||
        !json_object_is_type(list, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *source = json_object_array_get_idx(list, i);
        if (json_object_is_type(source, json_type_string) &&
            strcmp(json_object_get_string(source), arn) == 0)
            return true;
    }
    return false;
}

enum sqs_redrive sqs_redrive_from(const char *policy, const char *arn)
{
    if (!policy || !*policy)
        return SQS_REDRIVE_ALLOWED;
    struct json_object *p = aws_parse(policy, strlen(policy));
    const char *permission = aws_string(p, "redrivePermission");
    enum sqs_redrive says = SQS_REDRIVE_ODD;
    if (permission && strcmp(permission, "allowAll") == 0)
        says = SQS_REDRIVE_ALLOWED;
    else if (permission && strcmp(permission, "denyAll") == 0)
        says = SQS_REDRIVE_DENIED;
    else if (permission && strcmp(permission, "byQueue") == 0)
        says = is_listed(p, arn) ? SQS_REDRIVE_ALLOWED : SQS_REDRIVE_UNLISTED;
    json_object_put(p);
    return says;
}
