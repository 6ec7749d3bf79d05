/* host invoke HANDLER: one message through a handler. Nothing is sent, unless --live asks for it:
 * lua/tools/invoke.lua answers what the handler asks for, and shows what became of it. */
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "conf/conf.h"
#include "ops/handler_vm.h"
#include "ops/keycloak_reader.h"
#include "ops/rehearsal.h"
#include "policy/envelope.h"
#include "vm/embed.h"
#include "vm/vm.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_MAX_BYTES = 16 << 20, ANSWERS_MAX = 32 };

static const char about[] =
    "Runs one message through a handler and shows what it would send. Nothing is sent: Keycloak "
    "is\n"
    "in memory, filled by reads from the configured one (without one, groups and roles are "
    "assumed\n"
    "to exist), sleeps take no time; what other servers answer is said by --answer. With --live "
    "all\n"
    "is sent. Leaves with 0 if the handler gave an outcome, with 1 if it failed.\n";

static const char example[] =
    "  host invoke register.lua -e register.event.json\n"
    "  host invoke --sample sns > sns.json; host invoke register.lua -e sns.json --as sns\n"
    "  host invoke sync.lua -e e.json --answer 'POST https://crm.example.org/* 201 {\"id\":7}'\n";

struct invocation {
    const char *handler, *event_path, *as, *sample;
    const char *answers[ANSWERS_MAX];
    int answer_count;
    bool json, verbose, live, trace;
    struct conf_request request;
    struct conf conf;
    struct vm_stage stage;
    struct rehearsal *tool; /* lua/tools/invoke.lua */
    struct rehearsal_options handler_options;
    struct rehearsal *actor; /* the handler; made when the tool runs it */
    struct err unloaded;     /* why it could not be */
    struct keycloak_reader *reader;
    struct json_object *timeline; /* of --trace; NULL: not asked for */
};

/* ---- what the tool asks for ------------------------------------------------------------------ */

static void on_say(void *arg, const char *words)
{
    (void)arg;
    puts(words);
}

static void on_found(void *arg, const char *name)
{
    (void)arg, (void)name; /* only tests have cases */
}

/* The handler is made in here, so that what its init asks for is answered, too. */
static int on_run(void *arg, const char *handler, struct job *job, struct err *e)
{
    struct invocation *v = arg;
    (void)handler; /* the options have it */
    v->actor = rehearsal_new(&v->handler_options, &v->unloaded);
    if (!v->actor)
        return err_set(e, v->unloaded.code, "%s", v->unloaded.text);
    rehearsal_run(v->actor, job);
    return 0;
}

static void play(void *arg, const struct fetch_request *q, struct fetch_played *answer)
{
    vm_answer(rehearsal_vm(((struct invocation *)arg)->tool), q, answer);
}

static int on_read(void *arg, const char *url, const char **text, size_t *len)
{
    return keycloak_read(((struct invocation *)arg)->reader, url, text, len);
}

static const char *on_timeline(void *arg)
{
    return json_object_to_json_string(((struct invocation *)arg)->timeline);
}

static void on_waited(void *arg, const struct vm_wait *w)
{
    struct invocation *v = arg;
    if (v->live && !v->json && strcmp(w->call, "host.http") == 0)
        printf("%s\n       → %s (%.0f ms)\n", w->what, w->result, (double)w->took_us / 1e3);
    if (!v->timeline)
        return;
    struct json_object *one = json_object_new_object();
    json_object_object_add(one, "call", json_object_new_string(w->call));
    json_object_object_add(one, "what", json_object_new_string(w->what));
    json_object_object_add(one, "result", json_object_new_string(w->result));
    json_object_object_add(one, "at_ms", json_object_new_double((double)w->began_us / 1e3));
    json_object_object_add(one, "took_ms", json_object_new_double((double)w->took_us / 1e3));
    json_object_array_add(v->timeline, one);
}

/* ---- the run ------------------------------------------------------------------------------------
 */

static void add(struct json_object *o, const char *name, const char *text, size_t len)
{
    json_object_object_add(o, name, json_object_new_string_len(text, (int)len));
}

/* The message that the tool gets. NULL: no memory. */
static struct job *order(const struct invocation *v, const struct buf *event)
{
    struct json_object *what = json_object_new_object(), *answers = json_object_new_array();
    for (int i = 0; i < v->answer_count; i++)
        json_object_array_add(answers, json_object_new_string(v->answers[i]));
    add(what, "handler", v->handler, strlen(v->handler));
    add(what, "event", event->data, event->len);
    add(what, "as", v->as, strlen(v->as));
    json_object_object_add(what, "json", json_object_new_boolean(v->json));
    json_object_object_add(what, "live", json_object_new_boolean(v->live));
    json_object_object_add(what, "reads", json_object_new_boolean(v->reader != NULL));
    json_object_object_add(what, "answers", answers);
    struct json_object *message = json_object_new_object();
    add(message, "MessageId", "invoke", 6);
    add(message, "ReceiptHandle", "invoke", 6);
    json_object_object_add(message, "Body",
                           json_object_new_string(json_object_to_json_string(what)));
    json_object_put(what);
    return job_new(message);
}

static int run_job(struct invocation *v, struct job *job, struct err *e)
{
    rehearsal_run(v->tool, job);
    if (v->unloaded.code != 0) {
        *e = v->unloaded;
        return -1;
    }
    if (job->outcome == OUTCOME_ACK)
        return EXIT_DONE;
    if (job->outcome == OUTCOME_REJECT) /* the tool has said it */
        return EXIT_FAILED;
    return err_set(e, EXIT_FAILED, "%s", job->reason ? job->reason : "no memory");
}

/* How --as says that the event is wrapped. */
static unsigned unwraps(const struct invocation *v)
{
    unsigned runs = handler_unwraps(&v->conf), wanted;
    if (strcmp(v->as, "body") == 0)
        return handler_unwraps_kindly(&v->conf);
    if (strcmp(v->as, "sqs") == 0)
        return runs;
    wanted = strcmp(v->as, "sns") == 0 ? UNWRAP_SNS : UNWRAP_EVENTBRIDGE;
    if (!(runs & wanted))
        fprintf(stderr,
                "host invoke: note: queue.envelope says otherwise: a host that runs with this "
                "configuration would not take the event out; set it to \"%s\"\n",
                v->as);
    return wanted;
}

/* A dry run reads from the Keycloak that is configured. */
static int open_reader(struct invocation *v, struct err *e)
{
    const struct conf *c = &v->conf;
    if (v->live || !c->keycloak.url || !c->keycloak.realm || !c->keycloak.client_id)
        return 0;
    v->reader = keycloak_reader_new(c, e);
    return v->reader ? 0 : -1;
}

static int open_all(struct invocation *v, struct err *e)
{
    v->handler_options =
        (struct rehearsal_options){.conf = &v->conf,
                                   .handler_path = v->handler,
                                   .unwrap = unwraps(v),
                                   .play = v->live ? NULL : play,
                                   .play_arg = v,
                                   .waited = v->live || v->trace ? on_waited : NULL,
                                   .waited_arg = v};
    struct rehearsal_options tool = {
        .conf = &v->conf, .handler_path = "tools/invoke.lua", .stage = &v->stage, .embedded = true};
    if (open_reader(v, e) != 0)
        return -1;
    if (v->trace && !(v->timeline = json_object_new_array()))
        return err_set(e, EXIT_FAILED, "no memory for the timeline");
    v->stage = (struct vm_stage){.arg = v,
                                 .found = on_found,
                                 .say = on_say,
                                 .run = on_run,
                                 .read = v->reader ? on_read : NULL,
                                 .timeline = v->trace ? on_timeline : NULL};
    v->tool = rehearsal_new(&tool, e);
    return v->tool ? 0 : -1;
}

static int invoke(struct invocation *v, struct err *e)
{
    struct buf event;
    buf_init(&event);
    log_setup(LOG_TEXT, v->verbose ? LOG_DEBUG : LOG_WARN);
    int rc = input_read_event(v->event_path, EVENT_MAX_BYTES, &event, e);
    if (rc == 0)
        rc = conf_load(&v->conf, &v->request, e);
    if (rc == 0)
        rc = open_all(v, e);
    struct job *job = rc == 0 ? order(v, &event) : NULL;
    if (job)
        rc = run_job(v, job, e);
    else if (rc == 0)
        rc = err_set(e, EXIT_FAILED, "no memory for the message");
    if (job)
        job_free(job);
    rehearsal_free(v->actor);
    rehearsal_free(v->tool);
    keycloak_reader_free(v->reader);
    json_object_put(v->timeline);
    conf_free(&v->conf);
    buf_free(&event);
    return rc;
}

/* METHOD URL STATUS [BODY], one space between them. */
static int check_answer(const char *text, struct err *e)
{
    size_t method = strcspn(text, " "), url = strcspn(text + method + (text[method] != '\0'), " ");
    const char *status = text + method + 1 + url + 1;
    if (method == 0 || url == 0 || strlen(text) < method + url + 5 ||
        strspn(status, "0123456789") != 3 || (status[3] && status[3] != ' '))
        return err_set(e, EXIT_USAGE,
                       "--answer '%.200s': write METHOD URL STATUS [BODY], as in 'POST "
                       "https://x.test/* 201'",
                       text);
    if (*status < '1' || *status > '5')
        return err_set(e, EXIT_USAGE,
                       "--answer '%.200s': no server answers %.3s: a status is a "
                       "number from 100 to 599",
                       text, status);
    return 0;
}

static int take_answer(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    struct invocation *v = arg;
    (void)option;
    if (v->answer_count == ANSWERS_MAX)
        return err_set(e, EXIT_USAGE, "--answer can be given %d times", ANSWERS_MAX);
    v->answers[v->answer_count++] = value;
    return check_answer(value, e);
}

static int check(const struct invocation *v, struct err *e)
{
    static const char *const forms[] = {"body", "sqs", "sns", "eventbridge"};
    bool known = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        known |= strcmp(v->as, forms[i]) == 0;
    if (!v->handler)
        return err_set(e, EXIT_USAGE, "name the handler: HANDLER is missing");
    if (!v->event_path)
        return err_set(e, EXIT_USAGE, "name the event: -e FILE, or -e - for standard input");
    if (!known)
        return err_set(e, EXIT_USAGE, "--as %s: it is one of body, sqs, sns, eventbridge", v->as);
    if (v->live && v->answer_count > 0)
        return err_set(e, EXIT_USAGE, "--answer goes without --live only: there servers answer");
    return 0;
}

static int print_sample(const char *form, struct err *e)
{
    char name[64];
    size_t len;
    snprintf(name, sizeof name, "samples/%.40s.json", form);
    const char *sample = embed_find(name, &len);
    if (!sample)
        return err_set(e, EXIT_USAGE, "--sample %s: it is one of sqs, sns, eventbridge", form);
    fwrite(sample, 1, len, stdout);
    return EXIT_DONE;
}

int cmd_invoke(int argc, char **argv)
{
    struct invocation v = {.as = "body"};
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "event",
         .letter = 'e',
         .arg = "FILE",
         .value = &v.event_path,
         .help = "the message's body; - is standard input"},
        {.name = "as",
         .arg = "body|sqs|sns|eventbridge",
         .value = &v.as,
         .help = "what FILE holds: the event itself, or all around it [body]"},
        {.name = "sample",
         .arg = "sqs|sns|eventbridge",
         .value = &v.sample,
         .help = "print an event to start from, for --as"},
        {.name = "live",
         .flag = &v.live,
         .help = "send what the handler sends, to the servers themselves"},
        {.name = "trace",
         .flag = &v.trace,
         .help = "print what the handler waited for, when, and for how long"},
        {.name = "answer",
         .arg = "TEXT",
         .each = take_answer,
         .each_arg = &v,
         .help = "'METHOD URL STATUS [BODY]': what a server answers; * in URL: any text"},
        {.name = "config",
         .letter = 'c',
         .arg = "FILE",
         .value = &v.request.file,
         .help = "configuration, instead of host.conf.lua beside the handler"},
        {.name = "json", .flag = &v.json, .help = "print what became of it as JSON"},
        {.name = "verbose",
         .letter = 'v',
         .flag = &v.verbose,
         .help = "show what the handler logs"},
        {0},
    };
    const struct cli_usage usage = {.command = "invoke",
                                    .operands = "HANDLER",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 0,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &v.handler, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    v.request.handler_path = v.handler;
    v.request.environ = environ;
    int rc = v.sample ? print_sample(v.sample, &e) : check(&v, &e) == 0 ? invoke(&v, &e) : -1;
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
