#include "cli/lint.h"

#include "base/excerpt.h"
#include "base/exit.h"
#include "cli/checklist.h"
#include "job.h"
#include "ops/rehearsal.h"
#include "vm/bundle.h"
#include "vm/vm.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct linting {
    struct checklist *list;
    const char *path; /* of the file that is looked at */
    const char *text;
    size_t len;
};

static void on_found(void *arg, const char *name)
{
    (void)arg, (void)name; /* only tests have cases */
}

/* "12<tab>words" */
static void on_say(void *arg, const char *said)
{
    const struct linting *l = arg;
    const char *slash = strrchr(l->path, '/'), *words = strchr(said, '\t');
    int line = atoi(said);
    struct buf b, source;
    if (!words)
        return;
    buf_init(&b);
    buf_init(&source);
    buf_printf(&b, "%s:%d: %s", slash ? slash + 1 : l->path, line, words + 1);
    excerpt_add(&source, l->text, l->len, line, words + 1, "return");
    if (source.len && !source.failed)
        buf_printf(&b, "\n%s", source.data);
    checklist_add(l->list, CHECK_DOUBT, "lint", b.failed ? "no memory" : b.data);
    buf_free(&source);
    buf_free(&b);
}

static int on_run(void *arg, const char *handler, struct job *job, struct err *e)
{
    (void)arg, (void)handler, (void)job;
    return err_set(e, EXIT_FAILED, "a lint runs no handlers");
}

static int look(struct rehearsal *tool, struct linting *l, const char *what, struct err *e)
{
    char id[64];
    struct json_object *m = json_object_new_object();
    snprintf(id, sizeof id, "%s file", what);
    json_object_object_add(m, "MessageId", json_object_new_string(id));
    json_object_object_add(m, "ReceiptHandle", json_object_new_string("lint"));
    json_object_object_add(m, "Body", json_object_new_string_len(l->text, (int)l->len));
    struct job *job = job_new(m);
    if (!job)
        return err_set(e, EXIT_FAILED, "no memory to look at %s", l->path);
    rehearsal_run(tool, job);
    int rc = job->outcome == OUTCOME_ACK
                 ? 0
                 : err_set(e, EXIT_FAILED, "%s was not looked at: %s", l->path,
                           job->reason ? job->reason : "no memory");
    job_free(job);
    return rc;
}

static int look_at_all(struct rehearsal *tool, struct bundle *handler, struct linting *l,
                       struct err *e)
{
    static const char *const passes[] = {"define", "look"};
    for (size_t pass = 0; pass < sizeof passes / sizeof *passes; pass++)
        for (int i = 0; (l->path = bundle_nth(handler, i)); i++) {
            l->text = bundle_loaded(handler, l->path, &l->len);
            if (l->text && look(tool, l, passes[pass], e) != 0)
                return -1;
        }
    return 0;
}

int lint(const struct conf *c, struct bundle *handler, struct checklist *list, struct err *e)
{
    struct linting l = {.list = list};
    struct vm_stage stage = {.arg = &l, .found = on_found, .say = on_say, .run = on_run};
    struct rehearsal_options options = {
        .conf = c, .handler_path = "tools/lint.lua", .stage = &stage, .embedded = true};
    struct rehearsal *tool = rehearsal_new(&options, e);
    int rc = tool ? look_at_all(tool, handler, &l, e) : -1;
    rehearsal_free(tool);
    return rc;
}
