#include "conf/secret.h"

#include "base/exit.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct err *e, const char *path, const char *why, const char *advice)
{
    return err_set(e, EXIT_CONFIG, "the secret file %s %s: %s", path, why, advice);
}

/* Reads to the end, one byte more than is allowed at most. Returns the length or -1. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, to + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static size_t without_newline(const char *text, size_t len)
{
    if (len && text[len - 1] == '\n')
        len--;
    if (len && text[len - 1] == '\r')
        len--;
    return len;
}

static void warn_if_open(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & S_IROTH)
        log_warn("everybody on this machine may read the secret file %s: chmod o-rwx %s", path,
                 path);
}

int conf_read_secret(const char *path, struct buf *out, struct err *e)
{
    char text[CONF_SECRET_MAX_BYTES + 1];
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail(e, path, "cannot be read", strerror(errno));
    ssize_t got = read_all(fd, text, sizeof text);
    size_t len = got > 0 ? without_newline(text, (size_t)got) : 0;
    if (got < 0)
        rc = fail(e, path, "cannot be read", strerror(errno));
    else if (got > CONF_SECRET_MAX_BYTES)
        rc = fail(e, path, "is longer than 64 KiB", "that is no secret; is it the right file?");
    else if (!len)
        rc = fail(e, path, "is empty", "write the secret into it");
    else if (memchr(text, 0, len))
        rc = fail(e, path, "has a NUL byte in it", "it must be text");
    if (!rc) {
        warn_if_open(fd, path);
        buf_add(out, text, len);
        if (out->failed)
            rc = err_set(e, EXIT_FAILED, "no memory for the secret of %s", path);
    }
    explicit_bzero(text, sizeof text);
    close(fd);
    return rc;
}
