#include "policy/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *a[3], *b[3];
    bool same;
} cases[] = {
    {{"lua", "r.lua:14", "no field"}, {"lua", "r.lua:14", "no field"}, true},
    {{"lua", "r.lua:14", "no field"}, {"lua", "r.lua:15", "no field"}, false},
    {{"lua", "r.lua:14", "no field"}, {"http", "r.lua:14", "no field"}, false},
    {{"lua", "r.lua:14", "no field"}, {"lua", "r.lua:14", "no name"}, false},
    {{"lua", "r.lua:14", "user 'bob' is gone"}, {"lua", "r.lua:14", "user 'ann' is gone"}, true},
    {{"lua", "r.lua:14", "no \"x y\" here"}, {"lua", "r.lua:14", "no \"z\" here"}, true},
    {{"http", "r.lua:1", "GET http://k/users/6f1c-22 answered 404"},
     {"http", "r.lua:1", "GET http://k/users/77aa-01 answered 404"},
     true},
    {{"lua", NULL, "it can't be read"}, {"lua", NULL, "it can't be written"}, false},
    {{"lua", "", "it isn't 'a' or"}, {"lua", NULL, "it isn't 'b' or"}, true},
    {{"lua", NULL, "an open 'quote"}, {"lua", NULL, "an open 'other"}, false},
    {{NULL, NULL, NULL}, {"", "", ""}, true},
    {{"lua", NULL, "no bat"}, {"lua", NULL, "no cat"}, false},
    {{"lua", NULL, "took 5 s"}, {"lua", NULL, "took  s"}, false},
    {{"lua", NULL, "no 'a' here"}, {"lua", NULL, "no \"b\" here"}, true},
    {{"lua", NULL, "an open ' here"}, {"lua", NULL, "an open \" here"}, false},
    {{"lua", NULL, "it 'a.' reads 'c'"}, {"lua", NULL, "it 'b.' writes 'c'"}, false},
    {{"lua", NULL, "can't and won't"}, {"lua", NULL, "can't but won't"}, false},
    {{"lua", NULL, "\xc4\x80'x'"}, {"lua", NULL, "\xc4\x80'y'"}, false},
    {{"lua", NULL, &"x'bob' is gone"[1]}, {"lua", NULL, &"x'ann' is gone"[1]}, true},
};

static void same_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].a, *const *b = cases[i].b;
        uint64_t one = fingerprint(a[0], a[1], a[2]), two = fingerprint(b[0], b[1], b[2]);
        assert_true(one != 0 && two != 0);
        assert_int_equal(one == two, cases[i].same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_or_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
