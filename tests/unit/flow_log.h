/* What the log says between log_catch() and log_caught(). */
#ifndef TESTS_FLOW_LOG_H
#define TESTS_FLOW_LOG_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *caught;
static int real_stderr;

static inline void log_catch(void)
{
    real_stderr = dup(STDERR_FILENO);
    caught = tmpfile();
    dup2(fileno(caught), STDERR_FILENO);
}

static inline const char *log_caught(void)
{
    static char text[16384];
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(caught);
    text[fread(text, 1, sizeof text - 1, caught)] = '\0';
    fclose(caught);
    return text;
}

/* How often `part` stands in it. */
static inline int log_count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

#endif
