/* bare HANDLER QUEUE_URL TARGET_URL
 *
 * The yardstick: what consuming a queue with Lua and libcurl costs when nothing else is done.
 * One thread, one loop: long polls for free slots, a coroutine per message, one POST each,
 * signed calls, deletes in tens. No log, no leases, no dedupe, no limits, no failure but exit.
 * Leaves with 0 once a poll came back empty and every delete is confirmed. */
#include "bare_http.h"

#include "aws/sigv4.h"
#include "base/buf.h"

#include <curl/curl.h>
#include <ev.h>
#include <json-c/json.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SLOTS = 40, /* host's default: ten workers of four */
    BATCH = 10,
    HANDLE_MAX = 1024,
    WAIT_S = 5, /* host's, with --until-empty */
    CALL_MS = 10000,
    LINGER_MS = 5, /* a batch that is not full goes after this */
};

int luaopen_cjson(lua_State *L);

struct slot {
    lua_State *L; /* its coroutine, used again and again */
    int ref;
    char handle[HANDLE_MAX];
    struct slot *next; /* free */
};

/* A signed call to SQS. */
struct call {
    struct buf body;
    struct curl_slist *headers;
    int entries;       /* of a delete; 0: a receive */
    struct call *next; /* free */
};

static struct slot slots[SLOTS], *free_slots;
static int free_count, asked;             /* slots free; messages asked for by open polls */
static struct call *free_calls, *deletes; /* deletes: the batch that is being filled */
static int unconfirmed;
static bool came_empty;
static ev_timer linger;
static lua_State *lua;
static struct sigv4 signer;
static const char *queue_url, *target_url, *key_id, *secret;
static char sqs_url[300], sqs_host[256];
static struct curl_slist *json_header;

/* ---- SQS ---------------------------------------------------------------------------------- */

static struct call *call_new(void)
{
    struct call *c = free_calls;
    if (c)
        free_calls = c->next;
    else if ((c = calloc(1, sizeof *c)))
        buf_init(&c->body);
    else
        fail("no memory");
    c->entries = 0;
    buf_clear(&c->body);
    buf_printf(&c->body, "{\"QueueUrl\":\"%s\",", queue_url);
    return c;
}

static struct curl_slist *line(struct curl_slist *list, const char *name, const char *value)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", name, value);
    list = curl_slist_append(list, text);
    if (!list)
        fail("no memory");
    return list;
}

static void sign(struct call *c, const char *operation)
{
    char at[SIGV4_TIME_BYTES], target[80];
    struct timespec now;
    struct buf authorization;
    clock_gettime(CLOCK_REALTIME, &now);
    sigv4_time(now.tv_sec * INT64_C(1000), at);
    snprintf(target, sizeof target, "AmazonSQS.%s", operation);
    struct sigv4_header headers[] = {{"content-type", "application/x-amz-json-1.0"},
                                     {"host", sqs_host},
                                     {"x-amz-date", at},
                                     {"x-amz-target", target}};
    struct sigv4_request r = {.method = "POST",
                              .path = "/",
                              .headers = headers,
                              .header_count = 4,
                              .body = c->body.data,
                              .body_len = c->body.len,
                              .time = at};
    buf_init(&authorization);
    if (sigv4_sign(&signer, key_id, secret, &r, &authorization) != 0)
        fail("signing");
    c->headers = line(NULL, "Content-Type", "application/x-amz-json-1.0");
    c->headers = line(c->headers, "X-Amz-Date", at);
    c->headers = line(c->headers, "X-Amz-Target", target);
    c->headers = line(c->headers, "Authorization", authorization.data);
    buf_free(&authorization);
}

static void send_call(struct call *c, const char *operation, long timeout_ms,
                      void (*done)(void *, long, const char *, size_t))
{
    sign(c, operation);
    struct http_post post = {.url = sqs_url,
                             .headers = c->headers,
                             .body = c->body.data,
                             .body_len = c->body.len,
                             .timeout_ms = timeout_ms,
                             .done = done,
                             .arg = c};
    http_start(&post);
}

static struct json_object *call_ended(struct call *c, long status, const char *body)
{
    struct json_object *answer = json_tokener_parse(body);
    if (status != 200 || !answer)
        fail("SQS refused a call");
    curl_slist_free_all(c->headers);
    c->next = free_calls;
    free_calls = c;
    return answer;
}

static void deleted(void *arg, long status, const char *body, size_t len)
{
    struct call *c = arg;
    struct json_object *answer = call_ended(c, status, body), *list;
    (void)len;
    if (!json_object_object_get_ex(answer, "Successful", &list) ||
        (int)json_object_array_length(list) != c->entries)
        fail("a delete failed");
    unconfirmed -= c->entries;
    json_object_put(answer);
}

static void flush(void)
{
    struct call *c = deletes;
    deletes = NULL;
    ev_timer_stop(EV_DEFAULT_ & linger);
    buf_str(&c->body, "]}");
    send_call(c, "DeleteMessageBatch", CALL_MS, deleted);
}

static void on_linger(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
    flush();
}

static void delete_later(const char *handle)
{
    if (!deletes) {
        deletes = call_new();
        buf_str(&deletes->body, "\"Entries\":[");
        ev_timer_set(&linger, LINGER_MS / 1000.0, 0.0);
        ev_timer_start(EV_DEFAULT_ & linger);
    }
    buf_str(&deletes->body, deletes->entries > 0 ? ",{\"Id\":\"" : "{\"Id\":\"");
    buf_char(&deletes->body, (char)('0' + deletes->entries));
    buf_str(&deletes->body, "\",\"ReceiptHandle\":\"");
    buf_str(&deletes->body, handle);
    buf_str(&deletes->body, "\"}");
    unconfirmed++;
    if (++deletes->entries == BATCH)
        flush();
}

/* ---- messages ------------------------------------------------------------------------------- */

static void resume(struct slot *s, int arguments)
{
    int results, rc = lua_resume(s->L, lua, arguments, &results);
    if (rc == LUA_YIELD)
        return;
    if (rc != LUA_OK)
        fail(lua_tostring(s->L, -1));
    lua_settop(s->L, 0);
    s->next = free_slots;
    free_slots = s;
    free_count++;
    delete_later(s->handle);
}

static void posted(void *arg, long status, const char *body, size_t len)
{
    struct slot *s = arg;
    (void)body, (void)len;
    lua_pushinteger(s->L, status);
    resume(s, 1);
}

static int post_answered(lua_State *L, int status, lua_KContext context)
{
    (void)L, (void)status, (void)context;
    return 1;
}

/* post(url, body): waits for the status. The strings stay on the coroutine's stack. */
static int lua_post(lua_State *L)
{
    struct http_post post = {.url = luaL_checkstring(L, 1),
                             .headers = json_header,
                             .timeout_ms = CALL_MS,
                             .done = posted,
                             .arg = *(struct slot **)lua_getextraspace(L)};
    post.body = luaL_checklstring(L, 2, &post.body_len);
    http_start(&post);
    return lua_yieldk(L, 0, 0, post_answered);
}

static void run(struct json_object *message)
{
    struct slot *s = free_slots;
    struct json_object *handle, *body;
    if (!json_object_object_get_ex(message, "ReceiptHandle", &handle) ||
        !json_object_object_get_ex(message, "Body", &body) || !s)
        fail("this is no message, or one too many");
    free_slots = s->next;
    free_count--;
    snprintf(s->handle, sizeof s->handle, "%s", json_object_get_string(handle));
    lua_pushvalue(lua, 1);
    lua_xmove(lua, s->L, 1);
    lua_pushlstring(s->L, json_object_get_string(body), (size_t)json_object_get_string_len(body));
    lua_pushstring(s->L, target_url);
    lua_pushcfunction(s->L, lua_post);
    resume(s, 3);
}

static void received(void *arg, long status, const char *body, size_t len)
{
    struct json_object *answer = call_ended(arg, status, body), *list = NULL;
    (void)len;
    json_object_object_get_ex(answer, "Messages", &list);
    size_t count = list ? json_object_array_length(list) : 0;
    asked -= BATCH;
    came_empty = came_empty || count == 0;
    for (size_t i = 0; i < count; i++)
        run(json_object_array_get_idx(list, i));
    json_object_put(answer);
}

static void poll_more(void)
{
    while (!came_empty && free_count - asked >= BATCH) {
        struct call *c = call_new();
        buf_printf(&c->body,
                   "\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":%d,\"VisibilityTimeout\":30,"
                   "\"MessageAttributeNames\":[\"All\"],\"MessageSystemAttributeNames\":[\"All\"]}",
                   BATCH, WAIT_S);
        asked += BATCH;
        send_call(c, "ReceiveMessage", WAIT_S * 1000 + CALL_MS, received);
    }
}

/* ---- start and end ----------------------------------------------------------------------------
 */

static void start_lua(const char *handler)
{
    lua = luaL_newstate();
    if (!lua)
        fail("no memory");
    luaL_openlibs(lua);
    luaL_requiref(lua, "cjson", luaopen_cjson, 1);
    lua_settop(lua, 0);
    if (luaL_dofile(lua, handler) != LUA_OK)
        fail(lua_tostring(lua, -1));
    for (int i = 0; i < SLOTS; i++) {
        slots[i].L = lua_newthread(lua);
        slots[i].ref = luaL_ref(lua, LUA_REGISTRYINDEX);
        *(struct slot **)lua_getextraspace(slots[i].L) = &slots[i];
        slots[i].next = free_slots;
        free_slots = &slots[i];
    }
    free_count = SLOTS;
}

static void start_sqs(void)
{
    key_id = getenv("AWS_ACCESS_KEY_ID");
    secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *host = strstr(queue_url, "://");
    if (!key_id || !secret || !host)
        fail("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and a queue URL are needed");
    host += 3;
    snprintf(sqs_host, sizeof sqs_host, "%.*s", (int)strcspn(host, "/"), host);
    snprintf(sqs_url, sizeof sqs_url, "http://%s/", sqs_host);
    sigv4_init(&signer, "eu-west-1", "sqs");
    json_header = line(NULL, "Content-Type", "application/json");
    ev_init(&linger, on_linger);
}

static void end_all(void)
{
    lua_close(lua);
    http_free();
    while (free_calls) {
        struct call *c = free_calls;
        free_calls = c->next;
        buf_free(&c->body);
        free(c);
    }
    curl_slist_free_all(json_header);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bare HANDLER QUEUE_URL TARGET_URL\n", stderr);
        return 2;
    }
    queue_url = argv[2];
    target_url = argv[3];
    if (!ev_default_loop(EVFLAG_AUTO))
        fail("libev does not start");
    http_init();
    start_lua(argv[1]);
    start_sqs();
    poll_more();
    while (!came_empty || asked > 0 || free_count < SLOTS || unconfirmed > 0) {
        ev_run(EV_DEFAULT_ EVRUN_ONCE);
        http_turn();
        poll_more();
    }
    end_all();
    return 0;
}
