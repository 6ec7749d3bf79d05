#include "base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define ID "5759e988bd862e3fe1be46a994272793"
#define SPAN "53995c3f42cd8ad8"

struct vector {
    const char *given;
    const char *expected; /* "": none */
};

/* After the list in w3c/trace-context's test.py. */
static void traceparents(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"00-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-01"},
        {"00-" ID "-" SPAN "-00", "00-" ID "-" SPAN "-00"},
        {"00-" ID "-" SPAN "-03", "00-" ID "-" SPAN "-03"},
        {"00-" ID "-" SPAN "-ff", "00-" ID "-" SPAN "-03"}, /* what nobody knows is not sent on */
        {"00-" ID "-" SPAN "-08", "00-" ID "-" SPAN "-00"},
        {"cc-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-01"},
        {"cc-" ID "-" SPAN "-01-what-comes", "00-" ID "-" SPAN "-01"},
        {"cc-" ID "-" SPAN "-01.what-comes", ""},
        {"00-" ID "-" SPAN "-01-what-comes", ""},
        {"00-" ID "-" SPAN "-01 ", ""},
        {"ff-" ID "-" SPAN "-01", ""},
        {"00-00000000000000000000000000000000-" SPAN "-01", ""},
        {"00-" ID "-0000000000000000-01", ""},
        {"00-5759E988BD862E3FE1BE46A994272793-" SPAN "-01", ""},
        {"0-" ID "-" SPAN "-01", ""},
        {"00-" ID "-" SPAN "-1", ""},
        {"00-" ID "-" SPAN, ""},
        {"00-" ID "x" SPAN "-01", ""},
        {".0-" ID "-" SPAN "-01", ""},
        {"00-" ID "-" SPAN "-0.", ""},
        {"", ""},
        {"-", ""},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char out[TRACE_BYTES] = "x";
        assert_int_equal(trace_of_parent(vectors[i].given, out), *vectors[i].expected != '\0');
        assert_string_equal(out, vectors[i].expected);
    }
}

static void xray_headers(void **state)
{
    (void)state;
#define ROOT "Root=1-5759e988-bd862e3fe1be46a994272793"
    static const struct vector vectors[] = {
        {ROOT ";Parent=" SPAN ";Sampled=1", "00-" ID "-" SPAN "-01"},
        {ROOT ";Parent=" SPAN ";Sampled=0", "00-" ID "-" SPAN "-00"},
        {ROOT ";Parent=" SPAN, "00-" ID "-" SPAN "-00"},
        {"Sampled=1;Parent=" SPAN ";" ROOT, "00-" ID "-" SPAN "-01"},
        {"Self=1-x;" ROOT "; Parent=" SPAN "; Sampled=1;Lineage=a:1|b:2", "00-" ID "-" SPAN "-01"},
        {ROOT, ""},
        {ROOT ";Sampled=1", ""},
        {"Parent=" SPAN, ""},
        {"MyRoot=1-5759e988-bd862e3fe1be46a994272793;Parent=" SPAN, ""},
        {"Root=2-5759e988-bd862e3fe1be46a994272793;Parent=" SPAN, ""},
        {"Root=1-5759e988-bd862e3fe1be46a99427279;Parent=" SPAN, ""},
        {"Root=1-00000000-000000000000000000000000;Parent=" SPAN, ""},
        {ROOT ";Parent=53995c3f", ""},
        {"Root=;Parent=", ""},
        {"", ""},
        {";;;=", ""},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char out[TRACE_BYTES] = "x";
        assert_int_equal(trace_of_xray(vectors[i].given, out), *vectors[i].expected != '\0');
        assert_string_equal(out, vectors[i].expected);
    }
}

static void tracestates(void **state)
{
    (void)state;
    char longest[TRACESTATE_MAX_BYTES + 2];
    memset(longest, 'a', sizeof longest);
    longest[TRACESTATE_MAX_BYTES] = '\0';
    assert_true(trace_is_state("vendor=value,other@tenant=1"));
    assert_true(trace_is_state(longest));
    longest[TRACESTATE_MAX_BYTES] = 'a';
    longest[TRACESTATE_MAX_BYTES + 1] = '\0';
    assert_false(trace_is_state(longest));
    assert_false(trace_is_state(""));
    assert_false(trace_is_state("a=1\r\nX-Evil: 1"));
    assert_false(trace_is_state("a=\xc3\xa9"));
    assert_false(
        trace_is_state("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traceparents),
        cmocka_unit_test(xray_headers),
        cmocka_unit_test(tracestates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
