/* What the vm's tests share: a vm on a loop of its own, jobs made from a body, and an HTTP
 * server in a thread of its own that answers by path. Included by one test file each. */
#ifndef VM_HARNESS_H
#define VM_HARNESS_H

#include "base/clock.h"
#include "base/log.h"
#include "net/fetch.h"
#include "vm/vm.h"

#include <arpa/inet.h>
#include <ev.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the server ------------------------------------------------------------------------- */

enum { SERVER_CLIENTS_MAX = 64 };

static struct server {
    int listener;
    int port;
    int stop[2];
    pthread_t thread;
    atomic_int requests;
    atomic_int connections;
    pthread_mutex_t lock;
    char last[8192]; /* head and body of the last request */
} server;

struct client {
    int fd;
    size_t len;
    char in[8192];
    int64_t answer_at; /* CLOCK_BOOTTIME ms; 0: nothing to answer */
    char out[512];
};

static void client_say(struct client *c, int status, const char *more, const char *body)
{
    snprintf(c->out, sizeof c->out,
             "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nX-Two: a\r\nX-Two: b\r\n%s\r\n%s", status,
             strlen(body), more, body);
}

/* Decides by path what to answer, and when. False: cut the connection. */
static bool client_decide(struct client *c)
{
    char path[128] = "";
    int number = 0;
    sscanf(c->in, "%*15s %127s", path);
    c->answer_at = clock_boot_ms();
    if (strncmp(path, "/cut", 4) == 0)
        return false;
    if (sscanf(path, "/status/%d", &number) == 1)
        client_say(c, number, "Retry-After: 7\r\n", "sorry");
    else if (strncmp(path, "/week", 5) == 0)
        client_say(c, 429, "Retry-After: 604800\r\n", "");
    else if (strncmp(path, "/until", 6) == 0)
        client_say(c, 429,
                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Retry-After: Sun, 06 Nov 1994 08:49:49 GMT\r\n",
                   "");
    else if (sscanf(path, "/slow/%d", &number) == 1) {
        client_say(c, 200, "", "late");
        c->answer_at += number;
    } else if (strncmp(path, "/json", 5) == 0)
        client_say(c, 200, "Content-Type: application/json\r\n", "{\"n\":7,\"none\":null}");
    else if (strncmp(path, "/empty", 6) == 0)
        client_say(c, 204, "", "");
    else if (strncmp(path, "/big", 4) == 0)
        client_say(c, 200, "", "0123456789012345678901234567890123456789");
    else
        client_say(c, 200, "", "ok");
    return true;
}

/* True when a whole request is in; it is noted. */
static bool client_whole(struct client *c)
{
    c->in[c->len] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return false;
    char *length = strcasestr(c->in, "\r\nContent-Length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (c->len < (size_t)(end + 4 - c->in) + body)
        return false;
    pthread_mutex_lock(&server.lock);
    memcpy(server.last, c->in, c->len + 1);
    pthread_mutex_unlock(&server.lock);
    atomic_fetch_add(&server.requests, 1);
    return true;
}

static bool client_read(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
    if (n <= 0)
        return false;
    c->len += (size_t)n;
    if (!client_whole(c))
        return true;
    c->len = 0;
    return client_decide(c);
}

static void *server_main(void *arg)
{
    (void)arg;
    static struct client clients[SERVER_CLIENTS_MAX];
    struct pollfd fds[SERVER_CLIENTS_MAX + 2];
    for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
        clients[i] = (struct client){.fd = -1};
    for (;;) {
        fds[0] = (struct pollfd){.fd = server.stop[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = server.listener, .events = POLLIN};
        for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
            fds[i + 2] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        poll(fds, SERVER_CLIENTS_MAX + 2, 5);
        if (fds[0].revents)
            break;
        for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
            struct client *c = &clients[i];
            if (c->fd >= 0 && fds[i + 2].revents && !client_read(c)) {
                close(c->fd);
                *c = (struct client){.fd = -1};
            }
            if (c->fd >= 0 && c->answer_at && clock_boot_ms() >= c->answer_at) {
                send(c->fd, c->out, strlen(c->out), MSG_NOSIGNAL);
                c->answer_at = 0;
            }
        }
        if (fds[1].revents) {
            int fd = accept(server.listener, NULL, NULL);
            atomic_fetch_add(&server.connections, 1);
            for (int i = 0; i < SERVER_CLIENTS_MAX && fd >= 0; i++) {
                if (clients[i].fd < 0) {
                    clients[i].fd = fd;
                    fd = -1;
                }
            }
        }
    }
    for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
        if (clients[i].fd >= 0)
            close(clients[i].fd);
    }
    return NULL;
}

__attribute__((unused)) static int server_start(void **state)
{
    (void)state;
    struct err e = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    log_setup(LOG_JSON, LOG_ERROR);
    if (fetch_global_init(&e) != 0)
        return -1;
    pthread_mutex_init(&server.lock, NULL);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server.listener, (struct sockaddr *)&a, len) != 0 ||
        listen(server.listener, 64) != 0 || pipe(server.stop) != 0)
        return -1;
    getsockname(server.listener, (struct sockaddr *)&a, &len);
    server.port = ntohs(a.sin_port);
    return pthread_create(&server.thread, NULL, server_main, NULL);
}

__attribute__((unused)) static int server_stop(void **state)
{
    (void)state;
    close(server.stop[1]);
    pthread_join(server.thread, NULL);
    close(server.stop[0]);
    close(server.listener);
    pthread_mutex_destroy(&server.lock);
    return 0;
}

/* ---- the vm ----------------------------------------------------------------------------- */

enum { VERDICTS_MAX = 2048 };

struct rig {
    struct ev_loop *loop;
    struct fetch *fetch;
    struct vm *vm;
    struct vm_options options;
    struct err err;
    struct job *verdicts[VERDICTS_MAX];
    int count;
    struct token_request *asked[16];
    int asked_count;
    ev_timer poke;
    struct metrics *metrics; /* NULL: nothing is counted */
};

static void rig_verdict(void *arg, struct job *job)
{
    struct rig *r = arg;
    assert_true(r->count < VERDICTS_MAX);
    r->verdicts[r->count++] = job;
}

static void rig_ask(void *arg, struct token_request *q)
{
    struct rig *r = arg;
    assert_true(r->asked_count < 16);
    r->asked[r->asked_count++] = q;
}

static void rig_poke(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)w;
    (void)events;
}

static void rig_defaults(struct rig *r)
{
    memset(r, 0, sizeof *r);
    r->options = (struct vm_options){
        .handler_path = "/srv/app/register.lua",
        .generation = 3,
        .queue_name = "registrations",
        .handler_json = "{}",
        .limit_time_s = 60, /* never before limits.cpu, however busy the machine is */
        .limit_cpu_s = 0.5,
        .limit_memory_bytes = 32 << 20,
        .slots = 4,
        .http_timeout_ms = 2000,
        .http_connect_timeout_ms = 2000,
        .http_max_body_bytes = 1 << 20,
        .retry_after_max_ms = 900000,
        .keycloak_url = "http://127.0.0.1:1/auth",
        .keycloak_realm = "customers"};
}

/* A handler's text, in which PORT stands for the server's port. */
static char *with_port(const char *source)
{
    struct buf b;
    buf_init(&b);
    for (const char *p; (p = strstr(source, "PORT")) != NULL; source = p + 4) {
        buf_add(&b, source, (size_t)(p - source));
        buf_printf(&b, "%d", server.port);
    }
    buf_str(&b, source);
    return buf_take(&b, NULL);
}

/* -1: it does not load; rig->err says why. */
__attribute__((unused)) static int rig_open(struct rig *r, const char *source)
{
    char *text = with_port(source);
    r->options.source = text;
    r->options.source_len = strlen(text);
    r->loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&r->poke, rig_poke, 0.005, 0.005);
    ev_timer_start(r->loop, &r->poke);
    struct fetch_options fo = {
        .connect_timeout_ms = 2000, .idle_connection_s = 20, .max_connections = 16};
    r->fetch = fetch_new(r->loop, &fo, &r->err);
    assert_non_null(r->fetch);
    struct vm_ports ports = {.loop = r->loop,
                             .fetch = r->fetch,
                             .metrics = r->metrics,
                             .arg = r,
                             .verdict = rig_verdict,
                             .ask_token = rig_ask};
    r->vm = vm_new(&r->options, &ports, &r->err);
    return r->vm ? vm_load(r->vm, &r->err) : -1;
}

static void rig_close(struct rig *r)
{
    vm_free(r->vm);
    fetch_free(r->fetch);
    ev_loop_destroy(r->loop);
    for (int i = 0; i < r->count; i++)
        job_free(r->verdicts[i]);
    free((void *)r->options.source);
}

static void rig_turn(struct rig *r)
{
    ev_run(r->loop, EVRUN_ONCE);
    fetch_turn(r->fetch);
    vm_turn(r->vm);
}

/* Turns until `count` verdicts are in. */
static void rig_until(struct rig *r, int count)
{
    int64_t end = clock_boot_ms() + 90000;
    while (r->count < count && clock_boot_ms() < end)
        rig_turn(r);
    assert_int_equal(r->count, count);
}

__attribute__((unused)) static void rig_for(struct rig *r, int ms)
{
    int64_t end = clock_boot_ms() + ms;
    while (clock_boot_ms() < end)
        rig_turn(r);
}

static struct job *make_job(const char *body)
{
    struct json_object *m = json_object_new_object();
    json_object_object_add(m, "MessageId", json_object_new_string("m-1"));
    json_object_object_add(m, "ReceiptHandle", json_object_new_string("h-1"));
    json_object_object_add(m, "Body", json_object_new_string(body));
    struct job *job = job_new(m);
    assert_non_null(job);
    return job;
}

static struct job *rig_send(struct rig *r, const char *body)
{
    struct job *job = make_job(body);
    vm_run(r->vm, job);
    return job;
}

/* Sends one message and returns its job when the verdict is in. */
__attribute__((unused)) static struct job *rig_one(struct rig *r, const char *body)
{
    int before = r->count;
    rig_send(r, body);
    rig_until(r, before + 1);
    return r->verdicts[before];
}

__attribute__((unused)) static void rig_must_open(struct rig *r, const char *source)
{
    if (rig_open(r, source) != 0)
        fail_msg("%s", r->err.text);
    vm_begin_init(r->vm);
    int64_t end = clock_boot_ms() + 10000;
    while (vm_init_state(r->vm, &r->err) == VM_INIT_RUNNING && clock_boot_ms() < end)
        rig_turn(r);
    if (vm_init_state(r->vm, &r->err) != VM_INIT_READY)
        fail_msg("%s", r->err.text);
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr((text) ? (text) : "", part))                                                   \
            fail_msg("'%s' does not contain '%s'", (text) ? (text) : "(null)", part);              \
    } while (0)

#endif
