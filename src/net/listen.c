#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct host_port {
    char host[256];
    char port[6];
};

static int split(const char *address, struct host_port *out, struct err *e)
{
    const char *host = address, *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (colon && memchr(address, ':', len)) {
        len = 0; /* an IPv6 address without brackets: which colon is the port's? */
    }
    if (len == 0 || len >= sizeof out->host)
        return err_set(e, EINVAL,
                       "'%s' is no address to listen on: write HOST:PORT, for example "
                       "127.0.0.1:9324 or [::1]:9324",
                       address);
    const char *port = colon + 1;
    if (!*port || strlen(port) > 5 || port[strspn(port, "0123456789")] || atoi(port) > 65535)
        return err_set(e, EINVAL,
                       "'%s' in '%s' is no port: write a number from 0 (the system "
                       "chooses) to 65535",
                       port, address);
    memcpy(out->host, host, len);
    out->host[len] = '\0';
    strcpy(out->port, port);
    return 0;
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static int name_of(int fd, char name[LISTEN_NAME_MAX])
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    char host[48], port[8];
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -1;
    if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -1;
    snprintf(name, LISTEN_NAME_MAX, sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

static int open_socket(const struct addrinfo *a)
{
    int one = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    /* Without it a server that was just stopped keeps its port busy for a minute. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 511) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int listen_tcp(const char *address, bool allow_remote, char name[LISTEN_NAME_MAX], struct err *e)
{
    struct host_port hp;
    if (split(address, &hp, e) != 0)
        return -1;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    /* A minimal system has no /etc/hosts, and the name means one thing only (RFC 6761). */
    const char *host = strcmp(hp.host, "localhost") == 0 ? "127.0.0.1" : hp.host;
    int rc = getaddrinfo(host, hp.port, &hints, &found);
    if (rc != 0)
        return err_set(e, EINVAL, "cannot listen on %s: %s", address, gai_strerror(rc));
    int fd = -1;
    if (!allow_remote && !is_loopback(found->ai_addr)) {
        err_set(e, EACCES, "%s can be reached from other machines: listen on 127.0.0.1 or [::1]",
                address);
        goto done;
    }
    fd = open_socket(found);
    if (fd < 0 || name_of(fd, name) != 0) {
        err_set(e, errno, "cannot listen on %s: %s", address, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
done:
    freeaddrinfo(found);
    return fd;
}

/* ---- Unix sockets ---- */

static bool unix_address(struct sockaddr_un *sa, const char *path)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof sa->sun_path)
        return false;
    memcpy(sa->sun_path, path, len + 1);
    return true;
}

/* 0, or the errno of trying. */
static int try_connect(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 ? 0 : errno;
    close(fd);
    return error;
}

bool listen_is_stale(const char *path)
{
    struct sockaddr_un sa;
    struct stat st;
    return unix_address(&sa, path) && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           try_connect(&sa) == ECONNREFUSED;
}

int listen_unix(const char *path, struct err *e)
{
    struct sockaddr_un sa;
    if (!unix_address(&sa, path))
        return err_set(e, EINVAL, "'%s' is too long for a socket's path (at most %zu bytes)", path,
                       sizeof sa.sun_path - 1);
    if (listen_is_stale(path))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode before the file is there: so it is never open to others. */
    if (fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
        bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 511) == 0)
        return fd;
    err_set(e, errno, "cannot listen on %s: %s", path,
            errno == EADDRINUSE ? "it is in use, or is no socket" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}
