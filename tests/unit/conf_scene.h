/* What the tests of conf/ share: a folder with a config file in it, and conf_load on that. */
#ifndef CONF_SCENE_H
#define CONF_SCENE_H

#include "base/exit.h"
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct scene {
    char folder[64];
    char file[128]; /* host.conf.lua in it */
    char handler[128];
};

static inline int scene_make(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    strcpy(s->folder, "/tmp/conf-test-XXXXXX");
    if (!mkdtemp(s->folder))
        return -1;
    snprintf(s->file, sizeof s->file, "%s/%s", s->folder, CONF_FILE_NAME);
    snprintf(s->handler, sizeof s->handler, "%s/handler.lua", s->folder);
    *state = s;
    return 0;
}

static inline int scene_remove(void **state)
{
    struct scene *s = *state;
    unlink(s->file);
    int rc = rmdir(s->folder);
    free(s);
    return rc;
}

static inline void scene_write(const struct scene *s, const void *bytes, size_t len)
{
    FILE *f = fopen(s->file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Loads `config` (NULL: no file), `environ` and one flag (NULL: none). */
static inline int scene_load(const struct scene *s, struct conf *c, const char *config,
                             char *const *env, const char *flag, const char *value, struct err *e)
{
    struct conf_request r = {.handler_path = s->handler, .environ = env};
    if (config)
        scene_write(s, config, strlen(config));
    else
        unlink(s->file);
    if (flag)
        conf_request_flag(&r, flag, value);
    memset(e, 0, sizeof *e);
    return conf_load(c, &r, e);
}

static inline void assert_says(const char *text, const char *word)
{
    if (word && !strstr(text, word))
        fail_msg("\"%s\" lacks \"%s\"", text, word);
}

/* The line of --print-config for `key`, without its newline. */
static inline void printed_line(const struct conf *c, const char *key, char *out, size_t size)
{
    struct buf b;
    size_t n = strlen(key);
    buf_init(&b);
    assert_true(conf_print(c, &b));
    const char *line = b.data;
    while (*line && !(strncmp(line, key, n) == 0 && line[n] == ' '))
        line += strcspn(line, "\n") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
    buf_free(&b);
}

#endif
