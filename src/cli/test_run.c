#include "cli/test_run.h"

#include "base/clock.h"
#include "base/exit.h"
#include "conf/conf.h"
#include "job.h"
#include "net/file_watch.h"
#include "ops/handler_vm.h"
#include "ops/rehearsal.h"
#include "vm/vm.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANDLERS_MAX = 16 };

/* A handler that the case which runs has used. */
struct actor {
    char *path;
    struct conf conf;
    struct rehearsal *rehearsal;
};

struct file_run {
    const char *path;
    struct file_watch *watch; /* or NULL */
    struct vm_stage stage;
    struct conf conf; /* of the file of tests */
    struct rehearsal *tests;
    char **cases;
    int count;
    struct actor actors[HANDLERS_MAX];
    int actor_count;
    struct buf words; /* why the case that runs fails */
    struct buf last;  /* what became of the last message of the case */
};

static void watch(const struct file_run *f, const char *path)
{
    struct err e = {0};
    if (f->watch && file_watch_add(f->watch, path, &e) != 0)
        fprintf(stderr, "some changes will not be seen: %s\n", e.text);
}

/* ---- handlers ------------------------------------------------------------------------------- */

static void play(void *arg, const struct fetch_request *q, struct fetch_played *answer)
{
    struct file_run *f = arg;
    vm_answer(rehearsal_vm(f->tests), q, answer);
}

static void actor_free(struct actor *a)
{
    rehearsal_free(a->rehearsal);
    conf_free(&a->conf);
    free(a->path);
}

static void dismiss(struct file_run *f)
{
    while (f->actor_count > 0)
        actor_free(&f->actors[--f->actor_count]);
}

static char *beside(const char *file, const char *name)
{
    char *path;
    const char *slash = strrchr(file, '/');
    int folder = slash && name[0] != '/' ? (int)(slash - file) + 1 : 0;
    return asprintf(&path, "%.*s%s", folder, file, name) < 0 ? NULL : path;
}

/* A folder's configuration is the handler's, in tests too; variables are not read: what a test
 * shows must not depend on who runs it. */
static int load_conf(struct conf *c, const char *path, struct err *e)
{
    struct conf_request request = {.handler_path = path};
    return conf_load(c, &request, e);
}

static struct actor *new_actor(struct file_run *f, char *path, struct err *e)
{
    struct actor *a = &f->actors[f->actor_count];
    *a = (struct actor){.path = path};
    watch(f, path);
    struct rehearsal_options o = {
        .conf = &a->conf, .handler_path = path, .play = play, .play_arg = f};
    if (load_conf(&a->conf, path, e) == 0) {
        o.unwrap = handler_unwraps_kindly(&a->conf);
        a->rehearsal = rehearsal_new(&o, e);
    }
    if (a->rehearsal) {
        f->actor_count++;
        return a;
    }
    actor_free(a);
    return NULL;
}

static struct actor *find_actor(struct file_run *f, const char *name, struct err *e)
{
    char *path = beside(f->path, name);
    if (!path || f->actor_count == HANDLERS_MAX) {
        err_set(e, EXIT_FAILED, path ? "a case runs more than %d handlers" : "no memory",
                HANDLERS_MAX);
        free(path);
        return NULL;
    }
    for (int i = 0; i < f->actor_count; i++)
        if (strcmp(f->actors[i].path, path) == 0) {
            free(path);
            return &f->actors[i];
        }
    return new_actor(f, path, e);
}

/* ---- the stage ------------------------------------------------------------------------------ */

/* Whoever expected something else wants to know. */
static void note_last(struct file_run *f, const struct job *job)
{
    bool placed = job->at[0] && job->reason && strncmp(job->reason, job->at, strlen(job->at)) != 0;
    buf_clear(&f->last);
    if (job->reason)
        buf_printf(&f->last, "the last message's run ended with: %s%s%s\n", placed ? job->at : "",
                   placed ? ": " : "", job->reason);
}

static int on_run(void *arg, const char *handler, struct job *job, struct err *e)
{
    struct file_run *f = arg;
    struct actor *a = find_actor(f, handler, e);
    if (!a)
        return -1;
    rehearsal_run(a->rehearsal, job);
    note_last(f, job);
    return 0;
}

static void on_found(void *arg, const char *name)
{
    struct file_run *f = arg;
    char **more = realloc(f->cases, ((size_t)f->count + 1) * sizeof *more);
    char *copy = strdup(name);
    if (more)
        f->cases = more;
    if (more && copy)
        f->cases[f->count++] = copy;
    else
        buf_str(&f->words, "no memory for the names of the cases\n");
}

static void on_words(void *arg, const char *words)
{
    struct file_run *f = arg;
    buf_str(&f->words, words);
    buf_char(&f->words, '\n');
}

/* ---- cases ------------------------------------------------------------------------------------
 */

static struct job *case_job(const char *name)
{
    struct json_object *m = json_object_new_object();
    if (!m)
        return NULL;
    json_object_object_add(m, "MessageId", json_object_new_string(name));
    json_object_object_add(m, "ReceiptHandle", json_object_new_string(name));
    json_object_object_add(m, "Body", json_object_new_string(name));
    return job_new(m);
}

/* The words of assertions are there already; those of an error of another kind come here. */
static void add_verdict(struct file_run *f, const struct job *job)
{
    if (job->outcome == OUTCOME_ACK)
        return;
    const char *reason = job->reason ? job->reason : "it failed";
    bool placed = job->at[0] && strncmp(reason, job->at, strlen(job->at)) != 0;
    if (f->words.len == 0)
        buf_printf(&f->words, "%s%s%s\n", placed ? job->at : "", placed ? ": " : "", reason);
    if (job->detail)
        buf_printf(&f->words, "at %s\n", job->detail);
    buf_add(&f->words, f->last.data, f->last.len);
}

static void run_case(struct file_run *f, const char *name, struct test_report *report)
{
    int64_t began_us = clock_mono_us();
    struct job *job = case_job(name);
    buf_clear(&f->words);
    buf_clear(&f->last);
    if (job) {
        rehearsal_run(f->tests, job);
        add_verdict(f, job);
        job_free(job);
    } else {
        buf_str(&f->words, "no memory to run it");
    }
    dismiss(f);
    test_report_case(report, f->path, name, (double)(clock_mono_us() - began_us) / 1e6,
                     f->words.len ? f->words.data : NULL);
}

static int open_file(struct file_run *f, struct err *e)
{
    struct rehearsal_options o = {
        .conf = &f->conf, .handler_path = f->path, .stage = &f->stage, .play = play, .play_arg = f};
    if (access(f->path, R_OK) != 0)
        return err_set(e, EXIT_FAILED, "%s: %m", f->path);
    if (load_conf(&f->conf, f->path, e) != 0)
        return -1;
    f->tests = rehearsal_new(&o, e);
    if (!f->tests)
        return -1;
    if (f->count == 0)
        return err_set(e, EXIT_FAILED, "%s: declares no case: t.case(name, function)", f->path);
    return 0;
}

void test_run_file(const char *path, const char *filter, struct file_watch *files,
                   struct test_report *report)
{
    struct file_run f = {.path = path, .watch = files};
    struct err e = {0};
    f.stage = (struct vm_stage){.arg = &f, .found = on_found, .say = on_words, .run = on_run};
    buf_init(&f.words);
    buf_init(&f.last);
    printf("%s\n", path);
    watch(&f, path);
    if (open_file(&f, &e) != 0)
        test_report_case(report, path, NULL, 0, e.text);
    else
        for (int i = 0; i < f.count; i++)
            if (!filter || strstr(f.cases[i], filter))
                run_case(&f, f.cases[i], report);
    rehearsal_free(f.tests);
    conf_free(&f.conf);
    for (int i = 0; i < f.count; i++)
        free(f.cases[i]);
    free(f.cases);
    buf_free(&f.words);
    buf_free(&f.last);
}
