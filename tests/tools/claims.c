/* The shared store by hand, for tests on real servers: lines of words on standard input, a line of
 * JSON for each on standard output, when it is answered. Calls are started together until a line
 * "go"; so several can be open at once.
 *
 *   claims TABLE ENDPOINT REGION SCOPE REMEMBER_MS
 *
 *   claim KEY BODY TOKEN FOR_MS     done KEY BODY TOKEN FOR_MS     free KEY TOKEN     go
 *
 * TOKEN is padded to 32 digits. The end of the input ends it. */
#include "aws/claim_table.h"
#include "base/log.h"
#include "ops/platform.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 8192 };

struct line {
    struct shared_call call;
    char key[WORD], body[WORD];
    int number;
};

static struct ev_loop *loop;
static struct fetch *client;
static int open_calls;

static void answered(struct shared_call *call)
{
    static const char *const names[] = {"ok", "acked", "held", "away", "fault"};
    struct line *l = (struct line *)call;
    struct buf out;
    buf_init(&out);
    buf_printf(&out, "{\"n\":%d,\"answer\":\"%s\",\"wait_ms\":%lld,\"text\":", l->number,
               names[call->answer], (long long)call->wait_ms);
    buf_json(&out, call->text, strlen(call->text));
    buf_str(&out, "}\n");
    fputs(out.data, stdout);
    buf_free(&out);
    free(l);
    open_calls--;
}

static void turn_until_answered(void)
{
    while (open_calls > 0) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(client);
    }
    fflush(stdout);
}

/* False: no such line. */
static bool read_line(const char *text, struct line *l)
{
    char op[16], token[SHARED_TOKEN_BYTES];
    long long for_ms = 0;
    int n = sscanf(text, "%15s %8191s", op, l->key);
    if (n == 2 && strcmp(op, "free") == 0) {
        l->call.op = SHARED_FREE;
        n = sscanf(text, "%*s %*s %32s", token) + 3;
    } else if (n == 2) {
        l->call.op = strcmp(op, "claim") == 0 ? SHARED_CLAIM : SHARED_DONE;
        n = sscanf(text, "%*s %*s %8191s %32s %lld", l->body, token, &for_ms) + 1;
    }
    if (n != 4)
        return false;
    snprintf(l->call.token, sizeof l->call.token, "%032d", 0);
    memcpy(l->call.token, token, strlen(token));
    l->call.key = l->key;
    l->call.body = l->body;
    l->call.body_len = strlen(l->body);
    l->call.for_ms = for_ms;
    l->call.done = answered;
    return true;
}

static void serve(struct shared *store)
{
    static char text[2 * WORD];
    struct list calls;
    int number = 0;
    list_init(&calls);
    while (fgets(text, sizeof text, stdin)) {
        if (strcmp(text, "go\n") == 0) {
            store->ops->start(store->self, &calls);
            if (!list_empty(&calls))
                abort();
            turn_until_answered();
            continue;
        }
        struct line *l = calloc(1, sizeof *l);
        if (!l || !read_line(text, l)) {
            fprintf(stderr, "claims: what is this: %s", text);
            exit(2);
        }
        l->number = number++;
        list_append(&calls, &l->call.node);
        open_calls++;
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct rng rng;
    if (argc != 6)
        return 2;
    rng_seed(&rng, rand_seed());
    log_setup(LOG_TEXT, LOG_INFO);
    loop = ev_default_loop(EVFLAG_AUTO);
    struct fetch_options options = {.connect_timeout_ms = 3000, .max_connections = 64};
    if (fetch_global_init(&e) != 0 || !(client = fetch_new(loop, &options, &e))) {
        fprintf(stderr, "claims: %s\n", e.text);
        return 1;
    }
    struct creds *creds = creds_new(&e);
    struct dynamodb_options where = {.table = argv[1], .endpoint = argv[2], .region = argv[3]};
    struct dynamodb *table = creds ? dynamodb_new(&where, client, creds, &e) : NULL;
    struct claim_table_options o = {.scope = argv[4], .remember_ms = atoll(argv[5])};
    struct timers timers = timers_on(loop);
    struct random random = random_from(&rng);
    struct claim_table *claims = table ? claim_table_new(&o, table, &timers, &random) : NULL;
    if (!claims) {
        fprintf(stderr, "claims: %s\n", e.text);
        return 1;
    }
    struct shared store = claim_table_seam(claims);
    serve(&store);
    claim_table_free(claims);
    dynamodb_free(table);
    creds_free(creds);
    fetch_free(client);
    return 0;
}
