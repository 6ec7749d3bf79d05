#include "cli/checklist.h"

#include "base/exit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WHAT_COLUMNS = 15 };

void checklist_init(struct checklist *c)
{
    *c = (struct checklist){0};
    buf_init(&c->text);
    buf_init(&c->json);
}

void checklist_free(struct checklist *c)
{
    buf_free(&c->text);
    buf_free(&c->json);
}

/* Lines after the first stand under the first one's words. */
static void add_words(struct buf *b, const char *words)
{
    for (const char *line = words;; line++) {
        size_t n = strcspn(line, "\n");
        buf_add(b, line, n);
        buf_char(b, '\n');
        line += n;
        if (!*line)
            return;
        buf_printf(b, "%*s", WHAT_COLUMNS + 3, "");
    }
}

void checklist_add(struct checklist *c, enum checklist_mark mark, const char *what,
                   const char *words)
{
    static const char *const signs[] = {"✓", "!", "✗"}, *const names[] = {"ok", "doubt", "bad"};
    c->bad += mark == CHECK_BAD;
    c->doubts += mark == CHECK_DOUBT;
    buf_printf(&c->text, "%s %-*s ", signs[mark], WHAT_COLUMNS, what);
    add_words(&c->text, words);
    buf_printf(&c->json, "%s{\"check\":\"%s\",\"result\":\"%s\",\"text\":", c->json.len ? "," : "",
               what, names[mark]);
    buf_json(&c->json, words, strlen(words));
    buf_char(&c->json, '}');
}

void checklist_say(struct checklist *c, enum checklist_mark mark, const char *what,
                   const char *format, ...)
{
    char words[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    checklist_add(c, mark, what, words);
}

int checklist_print(const struct checklist *c, bool json, struct err *e)
{
    if (c->text.failed || c->json.failed)
        return err_set(e, EXIT_FAILED, "no memory");
    if (json)
        printf("{\"ok\":%s,\"checks\":[%s]}\n", c->bad ? "false" : "true", c->json.data);
    else
        fputs(c->text.data, stdout);
    return c->bad ? EXIT_CONFIG : EXIT_DONE;
}
