/* The screen of `host status`. */
#include "cli/status_screen.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void expect(const char *status, const char *screen)
{
    struct json_object *o = json_tokener_parse(status);
    struct buf out;
    buf_init(&out);
    assert_non_null(o);
    status_screen(o, &out);
    assert_string_equal(out.data, screen);
    buf_free(&out);
    json_object_put(o);
}

static void all_is_well(void **state)
{
    (void)state;
    expect(
        "{\"version\":\"0.1.0\",\"pid\":812,\"queue\":\"http://q:1/0/signups\",\"handler\":"
        "\"register.lua\",\"generation\":1,\"up_s\":11100.5,\"state\":\"receiving\",\"hold\":"
        "null,\"last_receive\":\"2026-11-23T10:00:00.123Z\",\"in_hand\":{\"all\":12,"
        "\"buffered\":0,\"running\":11,\"parked\":0,\"copying\":0,\"settling\":1},"
        "\"workers\":{\"all\":4,\"busy\":3,\"slots\":16,\"slots_busy\":11},\"counts\":"
        "{\"received\":50,\"acked\":38,\"lease_lost\":0},\"targets\":[{\"target\":\"http://k:1\","
        "\"state\":\"closed\",\"parked\":0,\"down_s\":0.0,\"limit\":8}],\"worker_list\":[{"
        "\"worker\":0,"
        "\"state\":\"ready\",\"running\":4,\"in_one_turn_s\":0.002}]}",
        "signups  receiving\n"
        "  handler   register.lua, generation 1\n"
        "  process   host 0.1.0, pid 812, up 3 h 5 min\n"
        "  queue     http://q:1/0/signups\n"
        "  received  last at 2026-11-23T10:00:00.123Z\n"
        "  in hand   12 (11 running, 1 settling)\n"
        "  workers   3 of 4 busy, 11 of 16 slots\n"
        "  targets   http://k:1 in use, 8 at once\n"
        "  so far    received 50, acked 38, lease lost 0\n");
}

static void what_holds_it_comes_first(void **state)
{
    (void)state;
    expect("{\"queue\":\"http://q:1/0/signups\",\"handler\":\"h.lua\",\"generation\":2,"
           "\"reload\":\"refused\",\"reload_error\":\"h.lua:3: no\\n  > 3 | x\","
           "\"version\":\"1\",\"pid\":1,\"up_s\":200000,\"state\":\"held\",\"hold\":{\"reason\":"
           "\"a target is down\",\"target\":\"http://k:1\",\"for_s\":130.2},\"targets\":["
           "{\"target\":\"http://k:1\",\"state\":\"trying\",\"parked\":3,\"down_s\":130.2},"
           "{\"target\":\"http://m:1\",\"state\":\"open\",\"parked\":0,\"down_s\":4.0}],"
           "\"worker_list\":[{\"worker\":2,\"state\":\"ready\",\"in_one_turn_s\":75.0},"
           "{\"worker\":3,\"state\":\"failed\",\"in_one_turn_s\":0}],\"workers\":{\"stuck\":1}}",
           "signups  held: a target is down, http://k:1, for 2 min\n"
           "  handler   h.lua, generation 2\n"
           "  reload    refused: h.lua:3: no\n"
           "  process   host 1, pid 1, up 2 d 7 h\n"
           "  queue     http://q:1/0/signups\n"
           "  workers   0 of 0 busy, 0 of 0 slots\n"
           "            1 got stuck in C code so far: the log says which\n"
           "            worker 2 has not looked up for 75 s\n"
           "            worker 3 is failed\n"
           "  targets   http://k:1 down for 2 min, being tried, 3 wait for it\n"
           "            http://m:1 down for 4 s\n");
}

/* What a poll brings that was open already comes after the pause. */
static void a_pause_is_quiet_when_the_polls_have_ended(void **state)
{
    (void)state;
#define PAUSED                                                                                     \
    "{\"queue\":\"q\",\"handler\":\"h.lua\",\"generation\":1,\"version\":\"1\",\"pid\":1,\"up_"    \
    "s\":1,"                                                                                       \
    "\"state\":\"held\",\"paused\":true,\"hold\":{\"reason\":\"paused\",\"target\":null,\"for_"    \
    "s\":1},"
#define REST "  handler   h.lua, generation 1\n  process   host 1, pid 1, up 1 s\n  queue     q\n"
    expect(PAUSED "\"polls_open\":1}", "q  held: paused, for 1 s\n"
                                       "            1 poll is still open and may bring up to ten "
                                       "messages\n" REST);
    expect(PAUSED "\"polls_open\":3}", "q  held: paused, for 1 s\n"
                                       "            3 polls are still open and may bring up to ten "
                                       "messages each\n" REST);
    expect(PAUSED "\"polls_open\":0,\"in_hand\":{\"all\":2}}",
           "q  held: paused, for 1 s\n"
           "            no poll is open: nothing more comes, what is in hand goes on\n" REST
           "  in hand   2\n");
    expect(PAUSED "\"polls_open\":0,\"in_hand\":{\"all\":0}}",
           "q  held: paused, for 1 s\n"
           "            no poll is open: nothing more comes, and nothing is in hand\n" REST
           "  in hand   0\n");
#undef PAUSED
#undef REST
}

/* Another version, or a host that has only begun. */
static void what_is_not_told_is_left_out(void **state)
{
    (void)state;
    expect("{\"state\":\"starting\",\"queue\":null,\"handler\":\"h.lua\",\"pid\":7,\"up_s\":0.1,"
           "\"hold\":{\"reason\":\"stopping\",\"target\":null,\"for_s\":null},\"more\":[1]}",
           "host  starting: stopping\n"
           "  handler   h.lua, not loaded\n"
           "  process   host , pid 7, up 0 s\n");
    expect("{}", "host  \n  handler   , not loaded\n  process   host , pid 0, up 0 s\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(what_holds_it_comes_first),
        cmocka_unit_test(a_pause_is_quiet_when_the_polls_have_ended),
        cmocka_unit_test(what_is_not_told_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
