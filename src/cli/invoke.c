/* host invoke HANDLER: one message through a handler. Nothing is sent; lua/tools/invoke.lua answers
 * what the handler asks for. */
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "conf/conf.h"
#include "ops/rehearsal.h"
#include "vm/embed.h"
#include "vm/vm.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_MAX_BYTES = 16 << 20, ANSWERS_MAX = 32 };

static const char about[] =
    "Runs one message through a handler and shows what it would send. Nothing is sent: Keycloak is "
    "in\n"
    "memory, groups and roles are assumed to exist, sleeps take no time; what other servers answer "
    "is\n"
    "said by --answer. Leaves with 0 if the handler gave an outcome, with 1 if it failed.\n";

static const char example[] =
    "  host invoke register.lua -e register.event.json\n"
    "  echo '{\"user\":{}}' | host invoke register.lua -e -\n"
    "  host invoke sync.lua -e e.json --answer 'POST https://crm.example.org/* 201 {\"id\":7}'\n";

struct invocation {
    const char *handler, *event_path, *as;
    const char *answers[ANSWERS_MAX];
    int answer_count;
    bool json, verbose;
    struct conf_request request;
    struct conf conf;
    struct vm_stage stage;
    struct rehearsal *tool;  /* lua/tools/invoke.lua */
    struct rehearsal *actor; /* the handler */
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

static int on_run(void *arg, const char *handler, struct job *job, struct err *e)
{
    (void)handler, (void)e; /* it has been loaded */
    rehearsal_run(((struct invocation *)arg)->actor, job);
    return 0;
}

static void play(void *arg, const struct fetch_request *q, struct fetch_played *answer)
{
    vm_answer(rehearsal_vm(((struct invocation *)arg)->tool), q, answer);
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
    if (job->outcome == OUTCOME_ACK)
        return EXIT_DONE;
    if (job->outcome == OUTCOME_REJECT) /* the tool has said it */
        return EXIT_FAILED;
    return err_set(e, EXIT_FAILED, "%s", job->reason ? job->reason : "no memory");
}

static int open_all(struct invocation *v, struct err *e)
{
    struct rehearsal_options handler = {
        .conf = &v->conf, .handler_path = v->handler, .play = play, .play_arg = v};
    struct rehearsal_options tool = {
        .conf = &v->conf, .handler_path = "tools/invoke.lua", .stage = &v->stage, .embedded = true};
    v->stage = (struct vm_stage){v, on_found, on_say, on_run};
    v->actor = rehearsal_new(&handler, e);
    v->tool = v->actor ? rehearsal_new(&tool, e) : NULL;
    return v->tool ? 0 : -1;
}

static int invoke(struct invocation *v, struct err *e)
{
    struct buf event;
    buf_init(&event);
    log_setup(LOG_TEXT, v->verbose ? LOG_DEBUG : LOG_WARN);
    int rc = input_read(v->event_path, EVENT_MAX_BYTES, &event, e);
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
    conf_free(&v->conf);
    buf_free(&event);
    return rc;
}

static int take_answer(void *arg, const struct cli_option *option, const char *value, struct err *e)
{
    struct invocation *v = arg;
    (void)option;
    if (v->answer_count == ANSWERS_MAX)
        return err_set(e, EXIT_USAGE, "--answer can be given %d times", ANSWERS_MAX);
    v->answers[v->answer_count++] = value;
    return 0;
}

static int check(const struct invocation *v, struct err *e)
{
    if (!v->event_path)
        return err_set(e, EXIT_USAGE, "name the event: -e FILE, or -e - for standard input");
    if (strcmp(v->as, "body") != 0 && strcmp(v->as, "sqs") != 0)
        return err_set(e, EXIT_USAGE, "--as %s: it is either body or sqs", v->as);
    return 0;
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
         .arg = "FORM",
         .value = &v.as,
         .help = "body: FILE is the body; sqs: the whole message [body]"},
        {.name = "answer",
         .arg = "TEXT",
         .each = take_answer,
         .each_arg = &v,
         .help = "'METHOD URL STATUS [BODY]': what a server answers; * in URL is any text"},
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
                                    .operands_min = 1,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &v.handler, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    v.request.handler_path = v.handler;
    v.request.environ = environ;
    int rc = check(&v, &e) == 0 ? invoke(&v, &e) : -1;
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
