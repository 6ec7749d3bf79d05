#include "cli/test_report.h"

#include "base/exit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void test_report_init(struct test_report *r, bool keeps_xml)
{
    *r = (struct test_report){.keeps_xml = keeps_xml};
    buf_init(&r->xml);
}

void test_report_free(struct test_report *r)
{
    buf_free(&r->xml);
}

static void put_indented(const char *words)
{
    while (*words) {
        size_t len = strcspn(words, "\n");
        printf("          %.*s\n", (int)len, words);
        words += len + (words[len] == '\n');
    }
}

/* What XML 1.0 does not allow at all becomes a question mark. */
static void add_xml(struct buf *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '<')
            buf_str(b, "&lt;");
        else if (c == '&')
            buf_str(b, "&amp;");
        else if (c == '"')
            buf_str(b, "&quot;");
        else if (c == '\n')
            buf_str(b, "&#10;");
        else
            buf_char(b, c < 0x20 && c != '\t' ? '?' : (char)c);
    }
}

static void keep_xml(struct test_report *r, const char *file, const char *name, double seconds,
                     const char *words)
{
    struct buf *b = &r->xml;
    buf_str(b, "  <testcase classname=\"");
    add_xml(b, file);
    buf_str(b, "\" name=\"");
    add_xml(b, name ? name : "loads");
    buf_printf(b, "\" time=\"%.3f\"", seconds);
    if (words) {
        buf_str(b, "><failure message=\"");
        add_xml(b, words);
        buf_str(b, "\"/></testcase>\n");
    } else {
        buf_str(b, "/>\n");
    }
}

void test_report_case(struct test_report *r, const char *file, const char *name, double seconds,
                      const char *words)
{
    if (words)
        r->failed++;
    else
        r->passed++;
    printf("  %s  %s\n", words ? "FAILED" : "ok    ", name ? name : file);
    if (words)
        put_indented(words);
    if (r->keeps_xml)
        keep_xml(r, file, name, seconds, words);
}

int test_report_end(const struct test_report *r, int files, const char *filter)
{
    if (r->passed + r->failed == 0) {
        printf("no case ran: %s%s%s\n", filter ? "none has a name with \"" : "the files have none",
               filter ? filter : "", filter ? "\" in it" : "");
        return EXIT_FAILED;
    }
    printf("%d passed, %d failed, in %d file%s\n", r->passed, r->failed, files,
           files == 1 ? "" : "s");
    return r->failed ? EXIT_FAILED : EXIT_DONE;
}

int test_report_write(const struct test_report *r, const char *path, struct err *e)
{
    FILE *f = r->xml.failed ? NULL : fopen(path, "we");
    if (!f)
        return err_set(e, EXIT_FAILED, "%s: %s", path,
                       r->xml.failed ? "no memory for the report" : strerror(errno));
    fprintf(f,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"host test\" tests=\"%d\" failures=\"%d\">\n%s</testsuite>\n",
            r->passed + r->failed, r->failed, r->xml.data);
    bool bad = ferror(f);
    if (fclose(f) != 0 || bad)
        return err_set(e, EXIT_FAILED, "%s: %s", path, strerror(errno));
    return 0;
}
