/* host.log: what becomes of its fields, in logs for programs and for people. */
#include "base/log.h"
#include "vm_harness.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <unistd.h>

static char written[8192];

/* What a handler of this body writes to standard error, the last of its lines. */
static const char *last_line(const char *body)
{
    char source[1024], path[] = "/tmp/vm-log-XXXXXX";
    struct rig r;
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    unlink(path);
    snprintf(source, sizeof source,
             "local log = require 'host.log' return {handle = function() %s end}", body);
    rig_defaults(&r);
    rig_must_open(&r, source);
    dup2(file, STDERR_FILENO);
    enum outcome outcome = rig_one(&r, "B")->outcome;
    dup2(before, STDERR_FILENO);
    close(before);
    rig_close(&r);
    assert_int_equal(outcome, OUTCOME_ACK);
    ssize_t n = pread(file, written, sizeof written - 1, 0);
    close(file);
    assert_true(n > 0 && written[n - 1] == '\n');
    written[n - 1] = '\0';
    char *line = strrchr(written, '\n');
    return line ? line + 1 : written;
}

static const struct row {
    const char *value; /* in Lua */
    const char *json;
    const char *text;
} rows[] = {
    {"1.5", "1.5", "1.5"},
    {"3.0", "3.0", "3"},
    {"0.1", "0.1", "0.1"},
    {"1/3", "0.3333333333333333", "0.33333333333333"},
    {"1e300", "1e+300", "1e+300"},
    {"-0.0", "-0.0", "-0"},
    {"7", "7", "7"},
    {"-7", "-7", "-7"},
    {"1 << 53", "9007199254740992", "9007199254740992"},
    {"(1 << 53) + 1", "\"9007199254740993\"", "9007199254740993"},
    {"-(1 << 53) - 1", "\"-9007199254740993\"", "-9007199254740993"},
    {"math.mininteger", "\"-9223372036854775808\"", "-9223372036854775808"},
    {"1/0", "\"inf\"", "inf"},
    {"-1/0", "\"-inf\"", "-inf"},
    {"true", "true", "true"},
    {"false", "false", "false"},
    {"'1.5'", "\"1.5\"", "1.5"},
    {"'true'", "\"true\"", "true"},
    {"{}", "\"(table)\"", "(table)"},
};

static void numbers_and_booleans_stay_what_they_are(void **state)
{
    (void)state;
    char body[128], want[128];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(body, sizeof body, "log.info('x', {v = %s})", rows[i].value);
        log_setup(LOG_JSON, LOG_INFO);
        const char *line = last_line(body);
        struct json_object *o = json_tokener_parse(line);
        assert_non_null(o);
        json_object_put(o);
        snprintf(want, sizeof want, ",\"v\":%s,", rows[i].json);
        if (!strstr(line, want))
            fail_msg("%s: %s is not in %s", rows[i].value, want, line);
        log_setup(LOG_TEXT, LOG_INFO);
        line = last_line(body);
        snprintf(want, sizeof want, "  v=%s  id=", rows[i].text);
        if (!strstr(line, want))
            fail_msg("%s: %s is not in %s", rows[i].value, want, line);
    }
}

/* Its sign is the machine's. */
static void nan_is_text(void **state)
{
    (void)state;
    log_setup(LOG_JSON, LOG_INFO);
    struct json_object *o = json_tokener_parse(last_line("log.info('x', {v = 0/0})")), *v = NULL;
    assert_true(json_object_object_get_ex(o, "v", &v));
    assert_true(json_object_is_type(v, json_type_string));
    assert_non_null(strstr(json_object_get_string(v), "nan"));
    json_object_put(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_booleans_stay_what_they_are),
        cmocka_unit_test(nan_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
