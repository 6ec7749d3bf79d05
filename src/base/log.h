/* The log: one line per event on standard error, text on a terminal, JSON otherwise.
 * Any thread: a line is built in the caller's stack or heap and written by one write(2), so
 * that lines never mix. Set up once, before threads start.
 *
 * Secrets never come here: callers log names and URLs, not tokens, bodies or headers. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

void log_setup(enum log_format format, enum log_level level);
bool log_enabled(enum log_level level);
bool log_is_json(void);

/* One field of a line. Build them with the macros; `text` is read during the call only. */
struct log_field {
    const char *name;
    /* RAW: text is JSON already. BLOCK: in a log for people lines of its own, below the others */
    enum { LOG_F_TEXT, LOG_F_INT, LOG_F_SECONDS, LOG_F_RAW, LOG_F_BLOCK } type;
    const char *text; /* NULL: the field is left out */
    int64_t number;
    double seconds;
};
#define LF_TEXT(n, t) ((struct log_field){.name = (n), .type = LOG_F_TEXT, .text = (t)})
#define LF_INT(n, v) ((struct log_field){.name = (n), .type = LOG_F_INT, .number = (v)})
#define LF_SECONDS(n, v) ((struct log_field){.name = (n), .type = LOG_F_SECONDS, .seconds = (v)})
#define LF_RAW(n, t) ((struct log_field){.name = (n), .type = LOG_F_RAW, .text = (t)})
#define LF_BLOCK(n, t) ((struct log_field){.name = (n), .type = LOG_F_BLOCK, .text = (t)})

/* Lines written at this level since the start. */
uint64_t log_lines(enum log_level level);

void log_fields(enum log_level level, const char *msg, const struct log_field *fields, int count);

/* log_with(LOG_INFO, "settled", LF_TEXT("id", id), LF_INT("attempt", 2)) */
#define log_with(level, msg, ...)                                                                  \
    log_fields(level, msg, (const struct log_field[]){__VA_ARGS__},                                \
               (int)(sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)))

/* A line of words only. */
void log_words(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_words(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_words(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_words(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_words(LOG_ERROR, __VA_ARGS__)

/* A state: false when `key` (a static string) was logged less than `every_ms` ago, true (and
 * the count of lines kept back since) when it is time again. For lines that repeat. */
struct log_gate {
    int64_t next_ms;
    int64_t held_back;
};
bool log_gate_open(struct log_gate *gate, int64_t every_ms, int64_t *held_back);

#endif
