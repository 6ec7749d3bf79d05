#include "cli/check_calls.h"

#include "base/buf.h"
#include "base/exit.h"
#include "cli/checklist.h"
#include "cli/input.h"
#include "job.h"
#include "ops/handler_vm.h"
#include "ops/keycloak_reader.h"
#include "ops/rehearsal.h"
#include "vm/vm.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_MAX_BYTES = 16 << 20 };

struct looking {
    const struct check_calls *what;
    struct checklist *list;
    struct vm_stage stage;
    struct rehearsal *tool;  /* lua/tools/check_calls.lua */
    struct rehearsal *actor; /* the handler; made when the first event is run */
};

/* ---- what the tool asks for ------------------------------------------------------------------ */

/* "bad<tab>role<tab>words" */
static void on_say(void *arg, const char *said)
{
    const struct looking *l = arg;
    const char *what = strchr(said, '\t'), *words = what ? strchr(what + 1, '\t') : NULL;
    char name[32];
    if (!words)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(words - what - 1), what + 1);
    checklist_add(l->list,
                  *said == 'o'   ? CHECK_OK
                  : *said == 'd' ? CHECK_DOUBT
                                 : CHECK_BAD,
                  name, words + 1);
}

static void on_found(void *arg, const char *name)
{
    (void)arg, (void)name; /* only tests have cases */
}

static void play(void *arg, const struct fetch_request *q, struct fetch_played *answer)
{
    vm_answer(rehearsal_vm(((struct looking *)arg)->tool), q, answer);
}

/* The handler is made in here, so that what its init asks for is answered, too. */
static int on_run(void *arg, const char *handler, struct job *job, struct err *e)
{
    struct looking *l = arg;
    const struct rehearsal_options options = {.conf = l->what->conf,
                                              .handler_path = handler,
                                              .unwrap = handler_unwraps_kindly(l->what->conf),
                                              .play = play,
                                              .play_arg = l};
    if (!l->actor && !(l->actor = rehearsal_new(&options, e)))
        return -1;
    rehearsal_run(l->actor, job);
    return 0;
}

static int on_read(void *arg, const char *url, const char **text, size_t *len)
{
    return keycloak_read(((struct looking *)arg)->what->reader, url, text, len);
}

/* ---- the events ------------------------------------------------------------------------------ */

static void add(struct json_object *o, const char *name, const char *text, size_t len)
{
    json_object_object_add(o, name, json_object_new_string_len(text, (int)len));
}

static int add_event(struct json_object *events, const char *path, struct err *e)
{
    struct buf text;
    struct json_object *one = json_object_new_object();
    const char *slash = strrchr(path, '/');
    const char *name = strcmp(path, "-") == 0 ? "standard input" : slash ? slash + 1 : path;
    buf_init(&text);
    int rc = input_read_event(path, EVENT_MAX_BYTES, &text, e);
    if (rc == 0) {
        add(one, "name", name, strlen(name));
        add(one, "text", text.data, text.len);
        json_object_array_add(events, json_object_get(one));
    }
    json_object_put(one);
    buf_free(&text);
    return rc;
}

/* register.event.json beside register.lua, or the event.json that `host init` makes. */
static bool find_sample(const char *handler, char *path, size_t size)
{
    const char *slash = strrchr(handler, '/'), *dot = strrchr(handler, '.');
    int folder = slash ? (int)(slash - handler) + 1 : 0;
    int stem = dot && dot > handler + folder ? (int)(dot - handler) : (int)strlen(handler);
    snprintf(path, size, "%.*s.event.json", stem, handler);
    if (access(path, R_OK) == 0)
        return true;
    snprintf(path, size, "%.*sevent.json", folder, handler);
    return access(path, R_OK) == 0;
}

static int add_events(const struct check_events *events, struct json_object *list, struct err *e)
{
    char sample[4096];
    int rc = 0;
    if (events->count == 0 && find_sample(events->handler, sample, sizeof sample))
        return add_event(list, sample, e);
    for (int i = 0; i < events->count && rc == 0; i++)
        rc = add_event(list, events->paths[i], e);
    return rc;
}

/* ---- the look -------------------------------------------------------------------------------- */

/* The message that the tool gets. NULL with `e`: an event cannot be read; or no memory. */
static struct job *order(const struct check_calls *c, struct err *e)
{
    const struct conf *conf = c->conf;
    const char *auth = conf->keycloak.auth_realm ? conf->keycloak.auth_realm : conf->keycloak.realm;
    struct json_object *what = json_object_new_object(), *events = json_object_new_array();
    struct job *job = NULL;
    add(what, "handler", c->events->handler, strlen(c->events->handler));
    add(what, "client", conf->keycloak.client_id, strlen(conf->keycloak.client_id));
    add(what, "realm", conf->keycloak.realm, strlen(conf->keycloak.realm));
    add(what, "auth_realm", auth, strlen(auth));
    json_object_object_add(what, "events", events);
    if (c->roles)
        json_object_object_add(what, "roles", json_object_get(c->roles));
    if (add_events(c->events, events, e) == 0) {
        const char *text = json_object_to_json_string(what);
        struct json_object *message = json_object_new_object();
        add(message, "MessageId", "check", 5);
        add(message, "ReceiptHandle", "check", 5);
        add(message, "Body", text, strlen(text));
        if (!(job = job_new(message)))
            err_set(e, EXIT_FAILED, "no memory for the events");
    }
    json_object_put(what);
    return job;
}

int check_calls(const struct check_calls *c, struct checklist *list, struct err *e)
{
    struct looking l = {.what = c, .list = list};
    const struct rehearsal_options options = {.conf = c->conf,
                                              .handler_path = "tools/check_calls.lua",
                                              .stage = &l.stage,
                                              .embedded = true};
    struct job *job = order(c, e);
    l.stage = (struct vm_stage){
        .arg = &l, .found = on_found, .say = on_say, .run = on_run, .read = on_read};
    l.tool = job ? rehearsal_new(&options, e) : NULL;
    int rc = -1;
    if (l.tool) {
        rehearsal_run(l.tool, job);
        rc = job->outcome == OUTCOME_ACK
                 ? 0
                 : err_set(e, EXIT_FAILED, "%s", job->reason ? job->reason : "no memory");
    }
    if (job)
        job_free(job);
    rehearsal_free(l.actor);
    rehearsal_free(l.tool);
    return rc;
}
