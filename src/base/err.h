/* An error as a value: what went wrong, in words a user can act on. Any thread.
 *
 * The text is filled in at the place of failure (what, where, what to do) and passed up
 * unchanged; callers may put a prefix before it. `code` is meant for the caller's decision,
 * most often an exit code from cli/exit.h or 0 where nobody decides on it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
    int code;
    char text[1024];
};

/* Fills `e` (which may be NULL: then nothing happens) and returns -1, so that a failing
 * function can end with `return err_set(e, ...)`. Longer texts are cut at a whole byte. */
int err_set(struct err *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "words: " before the text that is there. Returns -1. */
int err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
