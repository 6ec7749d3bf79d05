#include "vm/bundle.h"

#include "base/buf.h"
#include "base/exit.h"
#include "base/list.h"
#include "vm/embed.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 4 << 20 };

struct file {
    struct list node;
    char *bytes;
    size_t len;
    char path[];
};

struct bundle {
    atomic_int refs;
    bool sealed;
    uint32_t generation, serial;
    char *path;
    char *json;
    struct list files; /* in the order of the first asking */
};

struct bundle *bundle_new(const char *handler_path, const char *handler_json, uint32_t generation)
{
    static atomic_uint serials;
    struct bundle *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    list_init(&b->files);
    b->generation = generation;
    b->serial = atomic_fetch_add(&serials, 1) + 1;
    b->path = strdup(handler_path);
    b->json = strdup(handler_json);
    if (b->path && b->json)
        return b;
    bundle_unref(b);
    return NULL;
}

struct bundle *bundle_ref(struct bundle *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void bundle_unref(struct bundle *b)
{
    struct list *node;
    if (!b || atomic_fetch_sub(&b->refs, 1) > 1)
        return;
    while ((node = list_pop(&b->files))) {
        struct file *f = list_entry(node, struct file, node);
        free(f->bytes);
        free(f);
    }
    free(b->path);
    free(b->json);
    free(b);
}

void bundle_seal(struct bundle *b)
{
    b->sealed = true;
}

const char *bundle_path(const struct bundle *b)
{
    return b->path;
}

const char *bundle_json(const struct bundle *b)
{
    return b->json;
}

uint32_t bundle_generation(const struct bundle *b)
{
    return b->generation;
}

uint32_t bundle_serial(const struct bundle *b)
{
    return b->serial;
}

const char *bundle_nth(const struct bundle *b, int i)
{
    list_for_each (node, &b->files)
        if (i-- == 0)
            return list_entry(node, struct file, node)->path;
    return NULL;
}

static int read_all(FILE *f, const char *path, struct buf *out, struct err *e)
{
    char part[16384];
    size_t n;
    while ((n = fread(part, 1, sizeof part, f)) > 0) {
        buf_add(out, part, n);
        if (out->len > FILE_MAX_BYTES)
            return err_set(e, EXIT_CONFIG, "%s: larger than %d MiB: is this Lua source?", path,
                           FILE_MAX_BYTES >> 20);
    }
    if (ferror(f))
        return err_set(e, EXIT_CONFIG, "%s: %s", path, strerror(errno));
    return out->failed ? err_set(e, EXIT_CONFIG, "%s: no memory to read it", path) : 0;
}

/* As read_file. */
static int read_built_in(const char *name, struct buf *out, struct err *e)
{
    size_t len;
    const char *text = embed_find(name, &len);
    if (!text)
        return 1;
    buf_add(out, text, len);
    return out->failed ? err_set(e, EXIT_CONFIG, "%s: no memory to read it", name) : 0;
}

/* 1: there is no such file. */
static int read_file(const char *path, struct buf *out, struct err *e)
{
    struct stat st;
    if (*path == BUNDLE_BUILT_IN)
        return read_built_in(path + 1, out, e);
    FILE *f = fopen(path, "re");
    int rc;
    if (!f && (errno == ENOENT || errno == ENOTDIR))
        return 1;
    if (!f || fstat(fileno(f), &st) != 0)
        rc = err_set(e, EXIT_CONFIG, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, EXIT_CONFIG, "%s: is %s, not a file", path,
                     S_ISDIR(st.st_mode) ? "a folder" : "a device");
    else
        rc = read_all(f, path, out, e);
    if (f)
        fclose(f);
    return rc;
}

static struct file *add(struct bundle *b, const char *path, struct buf *text, struct err *e)
{
    size_t path_len = strlen(path);
    struct file *f = calloc(1, sizeof *f + path_len + 1);
    if (!f) {
        err_set(e, EXIT_CONFIG, "%s: no memory to read it", path);
        return NULL;
    }
    memcpy(f->path, path, path_len + 1);
    f->bytes = buf_take(text, &f->len);
    list_append(&b->files, &f->node);
    return f;
}

static struct file *find(const struct bundle *b, const char *path)
{
    list_for_each (node, &b->files) {
        struct file *f = list_entry(node, struct file, node);
        if (strcmp(f->path, path) == 0)
            return f;
    }
    return NULL;
}

const char *bundle_loaded(const struct bundle *b, const char *path, size_t *len)
{
    const struct file *f = find(b, path);
    if (!f)
        return NULL;
    *len = f->len;
    return f->bytes;
}

const char *bundle_file(struct bundle *b, const char *path, size_t *len, struct err *e)
{
    struct file *f = find(b, path);
    if (!f && !b->sealed) {
        struct buf text;
        buf_init(&text);
        if (read_file(path, &text, e) == 0)
            f = add(b, path, &text, e);
        buf_free(&text);
    }
    if (!f)
        return NULL;
    *len = f->len;
    return f->bytes;
}
