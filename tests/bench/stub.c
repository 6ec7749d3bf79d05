/* stub MESSAGES [DELAY_MS]
 *
 * SQS and the target in one process for the bench: HTTP/1.1 with kept connections on a free
 * port of 127.0.0.1, which is printed first. DELAY_MS is how long the target takes to answer.
 * On SIGTERM it prints its books and exits 0 if they are right, 1 if not. */
#include "stub_work.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CONNECTIONS = 1024, REQUEST_MAX = 1 << 20 };

struct connection {
    int fd; /* 0: free */
    struct text in, out;
    size_t out_at;
    int64_t due_us; /* when `out` may be sent; 0: nothing waits */
    bool full;      /* the socket is: waiting for EPOLLOUT */
};

struct server {
    int epoll, listener, signals;
    int64_t delay_us;
    struct work *work;
    struct answer answer;
    struct connection connections[CONNECTIONS];
    int used; /* no connection at or after this index is open */
};

static void die(const char *what)
{
    fprintf(stderr, "stub: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void watch(struct server *s, int op, int fd, uint32_t events, void *data)
{
    struct epoll_event e = {.events = events, .data.ptr = data};
    if (epoll_ctl(s->epoll, op, fd, &e) != 0)
        die("epoll_ctl");
}

static void drop(struct connection *c)
{
    close(c->fd);
    c->fd = 0;
    c->in.len = c->out.len = 0;
    c->due_us = 0;
    c->full = false;
}

/* ---- HTTP --------------------------------------------------------------------------------- */

/* The value of a header, NUL-terminated in place; `head` ends with a NUL. */
static char *header(char *head, const char *name)
{
    size_t len = strlen(name);
    for (char *line = strchr(head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

static void end_line(char *value)
{
    if (value)
        value[strcspn(value, "\r\n")] = '\0';
}

/* "AWS4-HMAC-SHA256 … Signature=" and 64 hexadecimal digits. */
static bool is_signed(const char *authorization)
{
    const char *at = authorization ? strstr(authorization, "Signature=") : NULL;
    return at && strncmp(authorization, "AWS4-HMAC-SHA256 Credential=", 28) == 0 &&
           strspn(at + 10, "0123456789abcdef") == 64;
}

static void write_answer(struct server *s, struct connection *c)
{
    const struct answer *a = &s->answer;
    c->out.len = c->out_at = 0;
    text_print(&c->out, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n", a->status,
               a->status < 300 ? "OK" : "Bad", a->body.len);
    if (a->type)
        text_print(&c->out, "Content-Type: %s\r\n", a->type);
    if (a->location)
        text_print(&c->out, "Location: http://127.0.0.1%s\r\n", a->location);
    text_add(&c->out, "\r\n", 2);
    text_add(&c->out, a->body.data ? a->body.data : "", a->body.len);
    c->due_us = monotonic_us() + a->wait_ms * 1000 + (a->of_target ? s->delay_us : 0);
}

static void serve(struct server *s, struct connection *c, char *head, char *body, size_t len)
{
    struct request r = {.method = head, .path = "", .target = "", .body = body, .body_len = len};
    char *target = header(head, "X-Amz-Target"), *authorization = header(head, "Authorization");
    char *path = strchr(head, ' ');
    end_line(target);
    end_line(authorization);
    if (target)
        r.target = target + (strncmp(target, "AmazonSQS.", 10) == 0 ? 10 : 0);
    r.signed_v4 = is_signed(authorization);
    if (path) {
        *path++ = '\0';
        path[strcspn(path, " \r\n")] = '\0';
        r.path = path;
    }
    s->answer.body.len = 0;
    work_answer(s->work, &r, &s->answer);
    write_answer(s, c);
}

/* Answers the request at the start of `in`, if it is there whole. */
static void take_request(struct server *s, struct connection *c)
{
    char *end = c->in.len ? strstr(c->in.data, "\r\n\r\n") : NULL;
    if (!end)
        return;
    end[2] = '\0'; /* so that a header is not looked for in the body */
    char *length = header(c->in.data, "Content-Length");
    end[2] = '\r';
    size_t head_len = (size_t)(end - c->in.data) + 4;
    size_t body_len = length ? strtoul(length, NULL, 10) : 0;
    if (c->in.len < head_len + body_len)
        return;
    char *body = c->in.data + head_len, after = body[body_len];
    body[body_len] = end[2] = '\0';
    serve(s, c, c->in.data, body, body_len);
    body[body_len] = after;
    c->in.len -= head_len + body_len;
    memmove(c->in.data, body + body_len, c->in.len + 1);
}

static void send_due(struct server *s, struct connection *c)
{
    ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        drop(c);
        return;
    }
    c->out_at += n > 0 ? (size_t)n : 0;
    bool full = c->out_at < c->out.len;
    if (full != c->full)
        watch(s, EPOLL_CTL_MOD, c->fd, full ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
    c->full = full;
    if (!full)
        c->due_us = 0;
}

static void read_some(struct server *s, struct connection *c)
{
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || c->in.len + (size_t)n > REQUEST_MAX) {
        drop(c);
        return;
    }
    text_add(&c->in, bytes, (size_t)n);
    if (c->due_us == 0)
        take_request(s, c);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void accept_all(struct server *s)
{
    int fd, one = 1;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int i = 0;
        while (i < CONNECTIONS && s->connections[i].fd)
            i++;
        if (i == CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        s->connections[i].fd = fd;
        if (i >= s->used)
            s->used = i + 1;
        watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, &s->connections[i]);
    }
}

/* Sends what is due; returns how long to sleep, in ms, -1 for ever. */
static int send_all_due(struct server *s)
{
    int64_t now = monotonic_us(), next = INT64_MAX;
    for (int i = 0; i < s->used; i++) {
        struct connection *c = &s->connections[i];
        if (c->fd == 0 || c->due_us == 0)
            continue;
        if (c->due_us <= now)
            send_due(s, c);
        else if (c->due_us < next)
            next = c->due_us;
    }
    return next == INT64_MAX ? -1 : (int)((next - now) / 1000 + 1);
}

static void loop(struct server *s)
{
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(s->epoll, events, 256, send_all_due(s));
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &s->signals)
                return;
            if (what == &s->listener)
                accept_all(s);
            else
                read_some(s, what);
        }
    }
}

static int start(struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->signals < 0 || s->epoll < 0 || s->listener < 0 ||
        bind(s->listener, (struct sockaddr *)&at, len) != 0 || listen(s->listener, 128) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&at, &len) != 0)
        die("listening on 127.0.0.1");
    watch(s, EPOLL_CTL_ADD, s->signals, EPOLLIN, &s->signals);
    watch(s, EPOLL_CTL_ADD, s->listener, EPOLLIN, &s->listener);
    return ntohs(at.sin_port);
}

static void free_server(struct server *s)
{
    for (int i = 0; i < s->used; i++) {
        if (s->connections[i].fd)
            drop(&s->connections[i]);
        free(s->connections[i].in.data);
        free(s->connections[i].out.data);
    }
    free(s->answer.body.data);
    work_free(s->work);
    free(s);
}

int main(int argc, char **argv)
{
    int messages = argc > 1 ? atoi(argv[1]) : 0;
    struct server *s = calloc(1, sizeof *s);
    if (messages < 1 || messages > 99999999 || argc > 3 || !s) {
        fputs("usage: stub MESSAGES [DELAY_MS]\n", stderr);
        free(s);
        return 2;
    }
    s->delay_us = argc > 2 ? atoi(argv[2]) * INT64_C(1000) : 0;
    int port = start(s);
    s->work = work_new(messages, port);
    printf("%d\n", port);
    fflush(stdout);
    loop(s);
    bool good = work_summary(s->work, stdout);
    free_server(s);
    return good ? 0 : 1;
}
