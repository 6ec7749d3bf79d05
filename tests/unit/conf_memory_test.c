/* Every allocation of a load fails once: an error or the right values, never half of them. In a
 * sanitizer's build the allocator is the sanitizer's, and this has nothing to do. */
#include "conf_scene.h"

#include "base/log.h"

#include "failing_memory.h"

static void assert_right(const struct conf *c)
{
    assert_string_equal(c->queue.url, "http://h/1/q");
    assert_string_equal(c->queue.region, "eu-west-1");
    assert_string_equal(c->pii, "a,b");
    assert_string_equal(c->http.allow, "h");
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_string_equal(c->handler_json, "{\"list\":[1,{\"deep\":9007199254740993}]}");
    assert_string_equal(c->keycloak.client_secret, "hush");
    assert_int_equal(c->slots, 3);
    assert_int_equal(c->workers.max, 4);
    assert_string_equal(c->warnings.data, "pii has no effect yet\n");
}

static void each_allocation_fails(void **state)
{
    const struct scene *s = *state;
    static const char config[] = "return { queue = { url = 'http://h/1/q' }, slots = 3,\n"
                                 "  pii = { 'a', 'b' }, log = { level = 'debug' },\n"
                                 "  handler = { list = { 1, { deep = 9007199254740993 } } } }";
    char *env[] = {(char *)"AWS_REGION=eu-west-1", (char *)"LUAHOST_HTTP_ALLOW=h",
                   (char *)"LUAHOST_KEYCLOAK_CLIENT_SECRET=hush", NULL};
    long n, refused = 0, failed = 0;
    if (!OWN_ALLOCATOR)
        skip();
    scene_write(s, config, strlen(config));
    for (n = 0;; n++) {
        struct conf c = {0};
        struct err e = {0};
        struct conf_request r = {.handler_path = s->handler, .environ = env};
        conf_request_flag(&r, "--workers", "2:4");
        left = n;
        int rc = conf_load(&c, &r, &e);
        failed += rc != 0;
        bool all_worked = left >= 0;
        left = -1;
        if (rc == 0)
            assert_right(&c);
        else
            refused += e.text[0] != 0;
        conf_free(&c);
        if (all_worked) {
            assert_int_equal(rc, 0);
            break;
        }
    }
    assert_int_equal(refused, failed);
    assert_true(n > 100 && failed > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests_name("conf/memory", tests, scene_make, scene_remove);
}
