#include "cli/check_queue.h"

#include "aws/creds.h"
#include "aws/sqs.h"
#include "aws/sqs_redrive.h"
#include "base/buf.h"
#include "cli/checklist.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "ops/queue_lookup.h"
#include "policy/retry.h"

#include <ev.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 5000 };

/* ---- the queue ---------------------------------------------------------------------------- */

static void tell_redrive(const struct conf *c, const struct queue_facts *f, struct checklist *list)
{
    int ours = c->retry.max_attempts;
    if (!f->known)
        checklist_add(list, CHECK_DOUBT, "redrive policy",
                      "not known: the role needs sqs:GetQueueAttributes to read it");
    else if (f->max_receives == 0)
        checklist_add(list, CHECK_DOUBT, "redrive policy",
                      "none: nothing ends a message that always fails but its retention; give the "
                      "queue a RedrivePolicy with maxReceiveCount 10 or more");
    else if (ours > f->max_receives)
        checklist_say(
            list, CHECK_BAD, "redrive policy",
            "retry.max_attempts is %d, but SQS moves a message after maxReceiveCount = %d "
            "receives, without a word on why: raise that above %d, or lower "
            "retry.max_attempts",
            ours, f->max_receives, ours);
    else if (f->max_receives < QUEUE_FEW_RECEIVES)
        checklist_say(list, CHECK_DOUBT, "redrive policy",
                      "maxReceiveCount is %d: crashes and releases cost receives too; raise it to "
                      "%d or more",
                      f->max_receives, QUEUE_FEW_RECEIVES);
    else
        checklist_say(list, CHECK_OK, "redrive policy", "maxReceiveCount %d", f->max_receives);
}

/* A message that is older than the queue keeps any is deleted, whatever its receives. */
static void tell_retention(const struct conf *c, const struct queue_facts *f,
                           struct checklist *list)
{
    int ours = c->retry.max_attempts;
    int receives = ours > 0 && ours < f->max_receives ? ours : f->max_receives;
    int64_t longest_s = retry_longest_s(c->retry.base, c->retry.cap, receives);
    if (f->max_receives == 0 || f->retention_ms == 0)
        return;
    if (longest_s < f->retention_ms / 1000)
        checklist_say(
            list, CHECK_OK, "retention",
            "%.1f h; a message that always fails is a dead letter after %.1f h of backoff "
            "at most",
            (double)f->retention_ms / 3.6e6, (double)longest_s / 3600);
    else
        checklist_say(list, CHECK_DOUBT, "retention",
                      "%d receives with retry.cap %.15g s take up to %.1f h of backoff, and the "
                      "queue deletes a message after %.1f h, so that it may never be a dead "
                      "letter: raise MessageRetentionPeriod, or lower retry.cap or %s",
                      receives, c->retry.cap, (double)longest_s / 3600,
                      (double)f->retention_ms / 3.6e6,
                      receives == ours ? "retry.max_attempts" : "maxReceiveCount");
}

/* A doubt about it stands among the configuration's already. */
static void tell_visibility(const struct conf *c, const struct queue_facts *f,
                            struct checklist *list)
{
    char words[400];
    if (conf_lease_doubt(c, words, sizeof words))
        return;
    snprintf(words, sizeof words, "; the queue's own, %d s, is for those who ask for none",
             f->visibility_s);
    checklist_say(list, CHECK_OK, "visibility",
                  "%d s with each receive, and extended while a message is in hand (limits.time "
                  "%.15g s)%s",
                  c->queue.visibility, c->limits.time, f->visibility_s >= 0 ? words : "");
}

/* ---- the dead-letter queue ------------------------------------------------------------------ */

struct dead_letters {
    struct sqs *sqs;
    const struct queue_facts *queue; /* whose dead letters they are */
    struct checklist *list;
    bool ended;
};

static const char *text_of(struct json_object *o, const char *name)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

/* What the handler rejects is a copy of the host's, which this does not touch: it is about messages
 * that die without a verdict, as when the host is killed each time. */
static void tell_allowed(const struct dead_letters *d, struct json_object *a)
{
    static const char *const refuses[] = {[SQS_REDRIVE_DENIED] = "takes from no queue (denyAll)",
                                          [SQS_REDRIVE_UNLISTED] = "does not name this queue"};
    const char *url = sqs_dead_letter_url(d->sqs), *arn = text_of(a, "QueueArn");
    const char *policy = text_of(a, "RedriveAllowPolicy");
    enum sqs_redrive says = sqs_redrive_from(policy, d->queue->arn);
    if (!arn || strcmp(arn, d->queue->moves_to) != 0 || says == SQS_REDRIVE_ALLOWED)
        return; /* another one, of queue.dlq_url, gets the host's copies only */
    if (says == SQS_REDRIVE_ODD)
        checklist_say(d->list, CHECK_DOUBT, "dead letters",
                      "%s has a RedriveAllowPolicy that is not understood, and may refuse what SQS "
                      "moves there: %s",
                      url, policy);
    else
        checklist_say(
            d->list, CHECK_BAD, "dead letters",
            "%s: its RedriveAllowPolicy %s, so that SQS cannot move messages there after "
            "maxReceiveCount receives: remove it, or set it to "
            "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"%s\"]} (with those "
            "that it names already)",
            url, refuses[says], d->queue->arn);
}

/* What is amiss with it adds a line and returns true. */
static bool tell_trouble(const struct dead_letters *d, struct json_object *a)
{
    const char *url = sqs_dead_letter_url(d->sqs);
    const char *fifo = text_of(a, "FifoQueue"), *keeps = text_of(a, "MessageRetentionPeriod");
    bool is_fifo = fifo && strcmp(fifo, "true") == 0;
    int64_t keeps_ms = keeps ? atoll(keeps) * 1000 : 0;
    int doubts = d->list->doubts, bad = d->list->bad;
    if (is_fifo != d->queue->fifo)
        checklist_say(d->list, CHECK_BAD, "dead letters",
                      "%s is %s queue, and the queue is %s: set queue.dlq_url to one of its kind",
                      url, is_fifo ? "a FIFO" : "a standard",
                      d->queue->fifo ? "a FIFO queue" : "a standard one");
    tell_allowed(d, a);
    if (keeps_ms > 0 && keeps_ms < d->queue->retention_ms)
        checklist_say(d->list, CHECK_DOUBT, "dead letters",
                      "%s keeps messages for %.1f h, less than the queue (%.1f h): what SQS moves "
                      "there keeps its age and may be deleted at once; raise its "
                      "MessageRetentionPeriod",
                      url, (double)keeps_ms / 3.6e6, (double)d->queue->retention_ms / 3.6e6);
    return d->list->doubts + d->list->bad > doubts + bad;
}

static void dead_letters_answered(void *arg, const struct queue_result *result,
                                  struct json_object *answer)
{
    struct dead_letters *d = arg;
    const char *url = sqs_dead_letter_url(d->sqs), *key = NULL;
    struct json_object *a = NULL;
    if (answer)
        json_object_object_get_ex(answer, "Attributes", &a);
    d->ended = true;
    if (result->status != QUEUE_OK) {
        checklist_say(d->list, CHECK_DOUBT, "dead letters", "%s: no more is known of it: %s", url,
                      result->text);
        return;
    }
    key = text_of(a, "KmsMasterKeyId");
    if (!tell_trouble(d, a))
        checklist_say(d->list, CHECK_OK, "dead letters",
                      "%s is there; that sqs:SendMessage is allowed on it%s%s only a write would "
                      "show",
                      url, key ? ", and kms:GenerateDataKey and kms:Decrypt with its key " : "",
                      key ? key : "");
}

static void look_at_dead_letters(const struct queue_facts *f, struct ev_loop *loop,
                                 struct fetch *fetch, struct sqs *sqs, struct checklist *list)
{
    struct err e = {0};
    struct buf body;
    const char *url = sqs_dead_letter_url(sqs);
    struct dead_letters d = {.sqs = sqs, .queue = f, .list = list};
    buf_init(&body);
    buf_str(&body, "{\"QueueUrl\":");
    buf_json(&body, url, strlen(url));
    buf_str(&body, ",\"AttributeNames\":[\"All\"]}");
    const struct sqs_question question = {.operation = "GetQueueAttributes",
                                          .body = body.data,
                                          .about = url,
                                          .timeout_ms = PATIENCE_MS};
    if (body.failed)
        err_set(&e, 0, "no memory");
    else
        sqs_ask(sqs, &question, dead_letters_answered, &d, &e);
    while (!*e.text && !d.ended) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    if (*e.text)
        checklist_add(list, CHECK_DOUBT, "dead letters", e.text);
    buf_free(&body);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void tell_queue(const struct conf *c, const struct queue_lookup *l, struct checklist *list)
{
    const char *server = sqs_other_server(l->sqs);
    if (l->error.code != 0) {
        checklist_add(list, CHECK_BAD, "queue online", l->error.text);
        return;
    }
    checklist_say(list, CHECK_OK, "queue online", "%s%s%s%s", sqs_queue_url(l->sqs),
                  server ? " at " : "", server ? server : "", l->facts.fifo ? " (FIFO)" : "");
    tell_visibility(c, &l->facts, list);
    tell_redrive(c, &l->facts, list);
    tell_retention(c, &l->facts, list);
    if (*l->facts.dead_letters_missing)
        checklist_say(list, l->facts.wants_dead_letters ? CHECK_BAD : CHECK_DOUBT, "dead letters",
                      "rejected messages would be kept and retried: %s",
                      l->facts.dead_letters_missing);
}

static void look_up(const struct conf *c, struct ev_loop *loop, struct fetch *fetch,
                    struct sqs *sqs, struct checklist *list)
{
    struct queue_lookup l = {0};
    const struct queue_lookup_options o = {.name = c->queue.url ? NULL : c->queue.name,
                                           .dead_letters = true,
                                           .dlq_url = c->queue.dlq_url,
                                           .patience_ms = PATIENCE_MS};
    queue_lookup_start(&l, loop, sqs, &o);
    while (!l.ended) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    queue_lookup_stop(&l);
    tell_queue(c, &l, list);
    if (l.error.code == 0 && sqs_dead_letter_url(sqs))
        look_at_dead_letters(&l.facts, loop, fetch, sqs, list);
}

void check_queue(const struct conf *c, struct checklist *list)
{
    struct err e = {0};
    const struct fetch_options options = handler_fetch_options(c);
    const struct sqs_options o = {
        .endpoint = c->queue.endpoint, .region = c->queue.region, .queue_url = c->queue.url};
    if (conf_require_queue(c, &e) != 0) /* a cross already */
        return;
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct fetch *fetch = loop ? fetch_new(loop, &options, &e) : NULL;
    struct creds *creds = fetch ? creds_new(&e) : NULL;
    if (creds)
        checklist_say(list, CHECK_OK, "credentials", "from %s", creds_get(creds)->source);
    struct sqs *sqs = creds ? sqs_new(&o, fetch, creds, &e) : NULL;
    if (sqs)
        look_up(c, loop, fetch, sqs, list);
    else
        checklist_say(list, CHECK_BAD, creds ? "queue online" : "credentials", "%s",
                      *e.text ? e.text : "no memory");
    sqs_free(sqs);
    creds_free(creds);
    fetch_free(fetch);
    if (loop)
        ev_loop_destroy(loop);
}
