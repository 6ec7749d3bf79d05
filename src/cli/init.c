/* host init DIR: a new handler, its test, a sample event, its configuration. */
#include "base/buf.h"
#include "base/exit.h"
#include "cli/command.h"
#include "cli/doc_pages.h"
#include "cli/options.h"
#include "vm/embed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char about[] =
    "Makes a folder with a handler, its test, a sample event and a configuration that fits\n"
    "`host sandbox`, and for an editor what `host types` writes. The handler has the folder's "
    "name.\n"
    "Nothing that is there is overwritten.\n";

static const char example[] = "  host init registrations\n"
                              "  host init .\n";

/* What stands in the templates where the handler's name belongs. */
static const char placeholder[] = "NAME";

static const struct template
{
    const char *from; /* in the binary */
    const char *to;   /* %s: the handler's name */
}
templates[] = {
    {"init/handler.lua", "%s.lua"},     {"init/handler_test.lua", "%s_test.lua"},
    {"init/event.json", "event.json"},  {"init/conf.lua", "host.conf.lua"},
    {"init/luarc.json", ".luarc.json"}, {"init/luacheckrc.sample", ".luacheckrc"},
};

enum { TEMPLATES = sizeof templates / sizeof *templates, NAME_MAX_BYTES = 64 };

/* A handler's name is a Lua module's: other names could not be required. */
static int handler_name(const char *dir, char name[NAME_MAX_BYTES], struct err *e)
{
    char *path = realpath(dir, NULL);
    const char *base = path ? strrchr(path, '/') + 1 : "";
    size_t len = strlen(base);
    bool good = len > 0 && len < NAME_MAX_BYTES && base[0] != '-';
    for (size_t i = 0; i < len; i++)
        good = good && (isalnum((unsigned char)base[i]) || strchr("_-", base[i]));
    if (good)
        memcpy(name, base, len + 1);
    else
        err_set(e, EXIT_USAGE,
                "%s: the handler gets the folder's name, which may have letters, digits, _ and -, "
                "and at most %d of them",
                base, NAME_MAX_BYTES - 1);
    free(path);
    return good ? 0 : -1;
}

static char *path_of(const char *dir, const struct template *t, const char *name)
{
    char file[NAME_MAX_BYTES + 16], *path;
    snprintf(file, sizeof file, t->to, name); /* NOLINT: the formats are above */
    return asprintf(&path, "%s/%s", dir, file) < 0 ? NULL : path;
}

/* All or nothing: before the first file is written, none of them may be there. */
static int check_free(const char *dir, const char *name, struct err *e)
{
    for (int i = 0; i < TEMPLATES; i++) {
        char *path = path_of(dir, &templates[i], name);
        bool taken = path && access(path, F_OK) == 0;
        if (taken)
            err_set(e, EXIT_FAILED, "%s is there already: nothing was written", path);
        free(path);
        if (taken)
            return -1;
    }
    return 0;
}

static void fill_in(struct buf *out, const char *text, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (len - i >= 4 && memcmp(text + i, placeholder, 4) == 0) {
            buf_str(out, name);
            i += 3;
        } else {
            buf_char(out, text[i]);
        }
    }
}

static int write_file(const char *path, const struct buf *text, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(e, EXIT_FAILED, "%s: %s", path, strerror(errno));
    ssize_t n = write(fd, text->data, text->len);
    int rc = close(fd);
    if (n == (ssize_t)text->len && rc == 0)
        return 0;
    return err_set(e, EXIT_FAILED, "%s could not be written: %s", path,
                   n >= 0 && rc == 0 ? "the disk is full" : strerror(errno));
}

static int write_template(const char *dir, const struct template *t, const char *name,
                          struct err *e)
{
    size_t len;
    struct buf text;
    const char *from = embed_find(t->from, &len);
    char *path = path_of(dir, t, name);
    int rc = -1;
    buf_init(&text);
    if (from)
        fill_in(&text, from, len, name);
    if (!from || !path || text.failed)
        err_set(e, EXIT_FAILED, from ? "no memory" : "this program has no %s", t->from);
    else
        rc = write_file(path, &text, e);
    if (rc == 0)
        printf("  %s\n", path + (strncmp(path, "./", 2) == 0 ? 2 : 0));
    buf_free(&text);
    free(path);
    return rc;
}

/* What .luarc.json points to. */
static int write_types(const char *dir, struct err *e)
{
    char *path;
    if (asprintf(&path, "%s/.luahost/types", dir) < 0)
        return err_set(e, EXIT_FAILED, "no memory");
    int rc = doc_pages_print("types", path, e);
    if (rc == 0)
        printf("  %s/\n", path + (strncmp(path, "./", 2) == 0 ? 2 : 0));
    free(path);
    return rc;
}

static int make(const char *dir, struct err *e)
{
    char name[NAME_MAX_BYTES];
    if (!*dir)
        return err_set(e, EXIT_USAGE,
                       "DIR is empty: name a folder, which is made, or . for the "
                       "one you are in");
    bool made = mkdir(dir, 0777) == 0;
    if (!made && errno != EEXIST)
        return err_set(e, EXIT_FAILED, "%s: %s", dir, strerror(errno));
    if (handler_name(dir, name, e) != 0 || check_free(dir, name, e) != 0) {
        if (made)
            rmdir(dir);
        return -1;
    }
    for (int i = 0; i < TEMPLATES; i++)
        if (write_template(dir, &templates[i], name, e) != 0)
            return -1;
    if (write_types(dir, e) != 0)
        return -1;
    bool here = strcmp(dir, ".") == 0;
    printf("\nNext:  %s%s%shost test && host dev\n", here ? "" : "cd ", here ? "" : dir,
           here ? "" : " && ");
    return EXIT_DONE;
}

int cmd_init(int argc, char **argv)
{
    const char *dir;
    struct err e = {0};
    const struct cli_option options[] = {{0}};
    const struct cli_usage usage = {.command = "init",
                                    .operands = "DIR",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 1,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &dir, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    int rc = make(dir, &e);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
