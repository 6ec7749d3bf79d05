#include "cli/doc_pages.h"

#include "base/buf.h"
#include "base/exit.h"
#include "base/version.h"
#include "conf/conf.h"
#include "ops/rehearsal.h"
#include "vm/embed.h"
#include "vm/vm.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* In the order in which an author meets them. */
static const struct source {
    const char *module; /* as it is required */
    const char *file;   /* in the binary */
} sources[] = {
    {"host", "types/host.lua"},
    {"host.http", "types/http.lua"},
    {"host.keycloak", "host/keycloak.lua"},
    {"host.json", "types/json.lua"},
    {"host.map", "host/map.lua"},
    {"host.validate", "host/validate.lua"},
    {"host.log", "types/log.lua"},
    {"host.metrics", "types/metrics.lua"},
    {"host.cache", "host/cache.lua"},
    {"host.crypto", "types/crypto.lua"},
    {"host.time", "host/time.lua"},
    {"host.url", "host/url.lua"},
    {"host.test", "host/test.lua"},
    /* Parts of others: their functions stand there. */
    {"host.keycloak_organizations", "host/keycloak_organizations.lua"},
    {"host.test_keycloak", "host/test_keycloak.lua"},
    {"host.test_server", "host/test_server.lua"},
};

enum { SOURCES = sizeof sources / sizeof *sources, PATH_BYTES = 4096 };

struct pages {
    const char *folder;
    FILE *out;
    struct err *e;
};

static int make_folders(char *path)
{
    for (char *c = path + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        int rc = mkdir(path, 0777);
        *c = '/';
        if (rc != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static int close_file(struct pages *p)
{
    FILE *out = p->out;
    p->out = NULL;
    if (!out || out == stdout)
        return 0;
    bool bad = ferror(out) != 0;
    return fclose(out) != 0 || bad ? -1 : 0;
}

/* The module's own file: "host.json" is host/json.lua. */
static void open_file(struct pages *p, const char *module)
{
    char path[PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s/%s.lua", p->folder, module);
    for (char *c = path + strlen(p->folder); c < path + len - 4; c++)
        *c = *c == '.' ? '/' : *c;
    bool fits = len < PATH_BYTES;
    if (close_file(p) != 0 || !fits || make_folders(path) != 0 || !(p->out = fopen(path, "we")))
        err_set(p->e, EXIT_FAILED, "%s: %s", path, fits ? strerror(errno) : "too long a path");
}

static void on_say(void *arg, const char *words)
{
    struct pages *p = arg;
    if (p->out)
        fprintf(p->out, "%s\n", words);
}

/* The tool begins a module: files are told apart, stdout is one. */
static void on_found(void *arg, const char *module)
{
    struct pages *p = arg;
    if (p->folder && !*p->e->text)
        open_file(p, module);
}

static struct job *order(const char *form, struct err *e)
{
    struct json_object *what = json_object_new_object(), *list = json_object_new_array();
    json_object_object_add(what, "form", json_object_new_string(form));
    json_object_object_add(what, "version", json_object_new_string(HOST_VERSION));
    json_object_object_add(what, "modules", list);
    for (int i = 0; i < SOURCES; i++) {
        size_t len;
        const char *text = embed_find(sources[i].file, &len);
        if (!text)
            continue;
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "module", json_object_new_string(sources[i].module));
        json_object_object_add(one, "text", json_object_new_string_len(text, (int)len));
        json_object_array_add(list, one);
    }
    struct json_object *message = json_object_new_object();
    json_object_object_add(message, "MessageId", json_object_new_string("types"));
    json_object_object_add(message, "ReceiptHandle", json_object_new_string("types"));
    json_object_object_add(message, "Body",
                           json_object_new_string(json_object_to_json_string(what)));
    json_object_put(what);
    struct job *job = job_new(message);
    if (!job)
        err_set(e, EXIT_FAILED, "no memory");
    return job;
}

static int run_tool(const struct rehearsal_options *o, const char *form, struct err *e)
{
    struct rehearsal *tool = rehearsal_new(o, e);
    struct job *job = tool ? order(form, e) : NULL;
    int rc = -1;
    if (job) {
        rehearsal_run(tool, job);
        rc = job->outcome == OUTCOME_ACK
                 ? 0
                 : err_set(e, EXIT_FAILED, "%s", job->reason ? job->reason : "no memory");
        job_free(job);
    }
    rehearsal_free(tool);
    return rc;
}

int doc_pages_print(const char *form, const char *folder, struct err *e)
{
    const struct conf_request request = {.no_file = true}; /* it is nobody's handler */
    struct err file = {0};
    struct pages pages = {.folder = folder, .out = folder ? NULL : stdout, .e = &file};
    const struct vm_stage stage = {.arg = &pages, .found = on_found, .say = on_say};
    struct conf conf = {0};
    struct rehearsal_options o = {
        .conf = &conf, .handler_path = "tools/types.lua", .stage = &stage, .embedded = true};
    int rc = conf_load(&conf, &request, e);
    if (rc == 0)
        rc = run_tool(&o, form, e);
    if (close_file(&pages) != 0 && !*file.text)
        err_set(&file, EXIT_FAILED, "%s could not be written: %s", folder, strerror(errno));
    if (rc == 0 && *file.text) {
        *e = file;
        rc = -1;
    }
    conf_free(&conf);
    return rc == 0 ? EXIT_DONE : -1;
}
