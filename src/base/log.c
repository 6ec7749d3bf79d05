#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MESSAGE_COLUMN = 19, FIELDS_COLUMN = 13 }; /* "10:02:11.480 warn  ", and its time */

static struct {
    bool json;
    bool colour;
    bool terminal;
    enum log_level level;
} config = {.json = true, .level = LOG_INFO};

static _Atomic uint64_t lines[LOG_ERROR + 1];

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_colours[] = {"\033[2m", "", "\033[33m", "\033[31m"};

void log_setup(enum log_format format, enum log_level level)
{
    bool terminal = isatty(STDERR_FILENO);
    config.json = format == LOG_JSON || (format == LOG_AUTO && !terminal);
    config.terminal = terminal;
    config.colour = terminal && !config.json && !getenv("NO_COLOR");
    config.level = level;
}

bool log_enabled(enum log_level level)
{
    return level >= config.level;
}

bool log_is_json(void)
{
    return config.json;
}

uint64_t log_lines(enum log_level level)
{
    return atomic_load_explicit(&lines[level], memory_order_relaxed);
}

static void put_value(struct buf *b, const struct log_field *f, bool json)
{
    switch (f->type) {
    case LOG_F_INT:
        buf_printf(b, "%" PRId64, f->number);
        break;
    case LOG_F_SECONDS:
        buf_printf(b, "%.3f", f->seconds);
        break;
    case LOG_F_RAW:
        buf_str(b, f->text);
        break;
    case LOG_F_BLOCK:
    case LOG_F_TEXT:
        if (json || strpbrk(f->text, " \"\n\r\t") || !*f->text)
            buf_json(b, f->text, strlen(f->text));
        else
            buf_str(b, f->text);
    }
}

static bool is_absent(const struct log_field *f)
{
    return f->type != LOG_F_INT && f->type != LOG_F_SECONDS && !f->text;
}

static void line_json(struct buf *b, enum log_level level, const char *ts, const char *msg,
                      const struct log_field *fields, int count)
{
    buf_printf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level_names[level]);
    buf_json(b, msg, strlen(msg));
    for (int i = 0; i < count; i++) {
        if (is_absent(&fields[i]))
            continue;
        buf_printf(b, ",\"%s\":", fields[i].name);
        put_value(b, &fields[i], true);
    }
    buf_str(b, "}\n");
}

/* Each of its lines below the event's own; what a terminal would obey stays out. */
static void put_block(struct buf *b, const char *text)
{
    buf_str(b, "\n    ");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\n')
            buf_str(b, "\n    ");
        else
            buf_char(b, (c < 0x20 && c != '\t') || c == 0x7f ? '?' : *text);
    }
}

/* In characters, of UTF-8. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* It may have been resized since the last line. 0: there is no edge. */
static size_t columns_now(void)
{
    struct winsize size;
    if (!config.terminal || ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

/* A field that would pass the terminal's edge goes to the next line: a terminal breaks words
 * anywhere. */
static void put_fields(struct buf *b, size_t column, const struct log_field *fields, int count)
{
    size_t columns = columns_now();
    struct buf one;
    buf_init(&one);
    for (int i = 0; i < count; i++) {
        if (is_absent(&fields[i]) || fields[i].type == LOG_F_BLOCK)
            continue;
        buf_clear(&one);
        buf_printf(&one, "  %s=", fields[i].name);
        put_value(&one, &fields[i], false);
        size_t wide = width(one.data);
        bool breaks = columns > 0 && column + wide > columns && column > FIELDS_COLUMN;
        if (breaks)
            buf_printf(b, "\n%*s", FIELDS_COLUMN - 2, "");
        column = (breaks ? FIELDS_COLUMN - 2 : column) + wide;
        buf_str(b, one.data);
        b->failed |= one.failed;
    }
    buf_free(&one);
}

static void line_text(struct buf *b, enum log_level level, const char *ts, const char *msg,
                      const struct log_field *fields, int count)
{
    buf_printf(b, "%.12s %s%-5s%s %s", ts + 11, config.colour ? level_colours[level] : "",
               level_names[level], config.colour ? "\033[0m" : "", msg);
    put_fields(b, MESSAGE_COLUMN + width(msg), fields, count);
    for (int i = 0; i < count; i++)
        if (fields[i].type == LOG_F_BLOCK && !is_absent(&fields[i]))
            put_block(b, fields[i].text);
    buf_char(b, '\n');
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody can be told that the log cannot be written */
        data += n;
        len -= (size_t)n;
    }
}

void log_fields(enum log_level level, const char *msg, const struct log_field *fields, int count)
{
    if (!log_enabled(level))
        return;
    char ts[25];
    clock_format(clock_wall_ms(), ts);
    struct buf b;
    buf_init(&b);
    if (config.json)
        line_json(&b, level, ts, msg, fields, count);
    else
        line_text(&b, level, ts, msg, fields, count);
    atomic_fetch_add_explicit(&lines[level], 1, memory_order_relaxed);
    if (b.failed)
        write_all("log line lost: no memory\n", 25);
    else
        write_all(b.data, b.len);
    buf_free(&b);
}

void log_words(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_fields(level, text, NULL, 0);
}

bool log_gate_open(struct log_gate *gate, int64_t every_ms, int64_t *held_back)
{
    int64_t now = clock_boot_ms();
    if (gate->next_ms && now < gate->next_ms) {
        gate->held_back++;
        return false;
    }
    *held_back = gate->held_back;
    *gate = (struct log_gate){.next_ms = now + every_ms};
    return true;
}
