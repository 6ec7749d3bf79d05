/* A server for tests of HTTP clients: threads of its own, one a connection, each running the
 * test's script. It keeps the last request and counts what reached it. */
#ifndef TESTS_CAPTURE_SERVER_H
#define TESTS_CAPTURE_SERVER_H

#include "base/buf.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_CONNECTIONS_MAX = 256 };

struct server;
struct connection {
    struct server *server;
    pthread_t thread;
    int fd;
    int number;   /* from 0 */
    int requests; /* read on this connection */
};

struct server {
    int fd;
    char url[64];
    pthread_t thread;
    void (*script)(struct connection *); /* the connection is closed when it returns */
    void *arg;
    atomic_int connections;
    atomic_int requests; /* whole requests read */
    pthread_mutex_t lock;
    struct buf last; /* the last whole request, head and body */
    size_t last_head_len;
    struct connection list[SERVER_CONNECTIONS_MAX];
};

__attribute__((unused)) static void *server_connection(void *arg)
{
    struct connection *c = arg;
    c->server->script(c);
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

__attribute__((unused)) static void *server_accept(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        int n = atomic_load(&s->connections);
        if (n == SERVER_CONNECTIONS_MAX)
            abort();
        struct connection *c = &s->list[n];
        struct timeval patience = {.tv_sec = 10};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        *c = (struct connection){.server = s, .fd = fd, .number = n};
        atomic_fetch_add(&s->connections, 1); /* before it can be answered, and then counted */
        if (pthread_create(&c->thread, NULL, server_connection, c) != 0)
            abort();
    }
    return NULL;
}

__attribute__((unused)) static void server_start(struct server *s,
                                                 void (*script)(struct connection *), void *arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    memset(s, 0, sizeof *s);
    s->script = script;
    s->arg = arg;
    buf_init(&s->last);
    pthread_mutex_init(&s->lock, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(s->fd, 64) != 0 ||
        getsockname(s->fd, (struct sockaddr *)&a, &len) != 0)
        abort();
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    if (pthread_create(&s->thread, NULL, server_accept, s) != 0)
        abort();
}

__attribute__((unused)) static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (int i = 0; i < s->connections; i++) {
        shutdown(s->list[i].fd, SHUT_RDWR);
        pthread_join(s->list[i].thread, NULL);
        close(s->list[i].fd);
    }
    buf_free(&s->last);
    pthread_mutex_destroy(&s->lock);
}

/* Reads one whole request. False: the client has gone. */
__attribute__((unused)) static bool server_read(struct connection *c)
{
    struct buf b;
    buf_init(&b);
    size_t head = 0, want = 0;
    while (head == 0 || b.len < head + want) {
        buf_reserve(&b, 65536);
        ssize_t n = recv(c->fd, b.data + b.len, 65536, 0);
        if (n <= 0) {
            buf_free(&b);
            return false;
        }
        b.len += (size_t)n;
        b.data[b.len] = '\0';
        char *end = head ? NULL : strstr(b.data, "\r\n\r\n");
        if (end) {
            head = (size_t)(end - b.data) + 4;
            char *length = strcasestr(b.data, "\r\nContent-Length:");
            if (length && length < end)
                want = strtoul(length + 17, NULL, 10);
        }
    }
    pthread_mutex_lock(&c->server->lock);
    buf_free(&c->server->last);
    c->server->last = b;
    c->server->last_head_len = head;
    pthread_mutex_unlock(&c->server->lock);
    c->requests++;
    atomic_fetch_add(&c->server->requests, 1);
    return true;
}

__attribute__((unused)) static void server_write(struct connection *c, const char *bytes,
                                                 size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

__attribute__((unused)) static void server_say(struct connection *c, const char *text)
{
    server_write(c, text, strlen(text));
}

__attribute__((unused)) static void server_reset(struct connection *c) /* RST instead of FIN */
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    dup2(open("/dev/null", O_RDWR), c->fd);
}

/* "GET /path HTTP/1.1\r\n…" of the last request as a copy; the caller frees. */
__attribute__((unused)) static char *server_last_head(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    char *copy = strndup(s->last.data, s->last_head_len);
    pthread_mutex_unlock(&s->lock);
    return copy;
}

__attribute__((unused)) static char *server_last_body(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    char *copy = strdup(s->last.data + s->last_head_len);
    pthread_mutex_unlock(&s->lock);
    return copy;
}

#endif
