#include "cli/status_screen.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { LONG_TURN_S = 1, COLUMNS = 80 };

static struct json_object *member(struct json_object *o, const char *name)
{
    struct json_object *v;
    return json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static const char *text(struct json_object *o, const char *name)
{
    struct json_object *v = member(o, name);
    return v ? json_object_get_string(v) : "";
}

static int64_t number(struct json_object *o, const char *name)
{
    return json_object_get_int64(member(o, name));
}

/* "4 s", "12 min", "3 h 5 min", "2 d 7 h" */
static const char *duration(double seconds, char out[32])
{
    int64_t s = (int64_t)seconds;
    if (s < 120)
        snprintf(out, 32, "%" PRId64 " s", s);
    else if (s < 7200)
        snprintf(out, 32, "%" PRId64 " min", s / 60);
    else if (s < 172800)
        snprintf(out, 32, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
    return out;
}

static double seconds(struct json_object *o, const char *name)
{
    return json_object_get_double(member(o, name));
}

static void put_state(struct buf *b, struct json_object *s)
{
    char d[32];
    struct json_object *hold = member(s, "hold");
    buf_printf(b, "%s", text(s, "state"));
    if (hold) {
        buf_printf(b, ": %s", text(hold, "reason"));
        if (member(hold, "target"))
            buf_printf(b, ", %s", text(hold, "target"));
        if (member(hold, "for_s"))
            buf_printf(b, ", for %s", duration(seconds(hold, "for_s"), d));
    }
    buf_char(b, '\n');
}

/* Receiving has ended when the polls have that were open then, not when it was told to. */
static void put_polls(struct buf *b, struct json_object *s)
{
    bool paused = json_object_get_boolean(member(s, "paused"));
    int64_t open = number(s, "polls_open"), in_hand = number(member(s, "in_hand"), "all");
    if (!member(s, "polls_open") || !(paused || member(member(s, "hold"), "target")))
        return;
    if (open > 0)
        buf_printf(b, "            %" PRId64 " poll%s still open and may bring up to %s\n", open,
                   open == 1 ? " is" : "s are", open == 1 ? "ten messages" : "ten messages each");
    else if (paused)
        buf_printf(b, "            no poll is open: nothing more comes%s\n",
                   in_hand > 0 ? ", what is in hand goes on" : ", and nothing is in hand");
}

static void put_in_hand(struct buf *b, struct json_object *h)
{
    static const char *const states[] = {"buffered", "running", "parked",
                                         "waiting",  "copying", "settling"};
    const char *before = " (";
    buf_printf(b, "  in hand   %" PRId64, number(h, "all"));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (number(h, states[i]) == 0)
            continue;
        buf_printf(b, "%s%" PRId64 " %s", before, number(h, states[i]), states[i]);
        before = ", ";
    }
    buf_printf(b, "%s\n", *before == ',' ? ")" : "");
}

static void put_workers(struct buf *b, struct json_object *s, struct json_object *w)
{
    char d[32];
    struct json_object *list = member(s, "worker_list");
    buf_printf(b, "  workers   %" PRId64 " of %" PRId64 " busy, %" PRId64 " of %" PRId64 " slots\n",
               number(w, "busy"), number(w, "all"), number(w, "slots_busy"), number(w, "slots"));
    if (number(w, "stuck") > 0)
        buf_printf(b, "            %" PRId64 " got stuck in C code so far: the log says which\n",
                   number(w, "stuck"));
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *one = json_object_array_get_idx(list, i);
        if (seconds(one, "in_one_turn_s") >= LONG_TURN_S)
            buf_printf(b, "            worker %" PRId64 " has not looked up for %s\n",
                       number(one, "worker"), duration(seconds(one, "in_one_turn_s"), d));
        else if (strcmp(text(one, "state"), "ready") != 0)
            buf_printf(b, "            worker %" PRId64 " is %s\n", number(one, "worker"),
                       text(one, "state"));
    }
}

static void put_counts(struct buf *b, struct json_object *c)
{
    char one[COLUMNS];
    size_t column = 0;
    json_object_object_foreach(c, name, value)
    {
        int len = snprintf(one, sizeof one, "%.30s %" PRId64, name, json_object_get_int64(value));
        for (char *p = one; *p; p++)
            *p = *p == '_' ? ' ' : *p;
        bool full = column + (size_t)len + 3 > COLUMNS; /* ", " before it, "," after it */
        buf_str(b, column == 0 ? "  so far    " : full ? ",\n            " : ", ");
        column = (column == 0 || full ? 12 : column + 2) + (size_t)len;
        buf_str(b, one);
    }
    buf_char(b, '\n');
}

static void put_targets(struct buf *b, struct json_object *list)
{
    char d[32];
    const char *before = "  targets   ";
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *t = json_object_array_get_idx(list, i);
        buf_printf(b, "%s%s %s", before, text(t, "target"),
                   strcmp(text(t, "state"), "closed") == 0 ? "in use" : "down");
        if (seconds(t, "down_s") > 0)
            buf_printf(b, " for %s%s", duration(seconds(t, "down_s"), d),
                       strcmp(text(t, "state"), "trying") == 0 ? ", being tried" : "");
        if (member(t, "limit"))
            buf_printf(b, ", %" PRId64 " at once", number(t, "limit"));
        if (number(t, "parked") > 0)
            buf_printf(b, ", %" PRId64 " wait for it", number(t, "parked"));
        buf_char(b, '\n');
        before = "            ";
    }
}

/* A reload that was refused, until one is not; the words' first line. */
static void put_reload(struct buf *b, struct json_object *s)
{
    const char *why = text(s, "reload_error");
    if (strcmp(text(s, "reload"), "refused") == 0)
        buf_printf(b, "  reload    refused: %.*s\n", (int)strcspn(why, "\n"), why);
}

void status_screen(struct json_object *s, struct buf *b)
{
    char d[32];
    const char *queue = text(s, "queue"), *slash = strrchr(queue, '/');
    buf_printf(b, "%s  ", slash ? slash + 1 : *queue ? queue : "host");
    put_state(b, s);
    put_polls(b, s);
    if (number(s, "generation") > 0)
        buf_printf(b, "  handler   %s, generation %" PRId64 "\n", text(s, "handler"),
                   number(s, "generation"));
    else
        buf_printf(b, "  handler   %s, not loaded\n", text(s, "handler"));
    put_reload(b, s);
    buf_printf(b, "  process   host %s, pid %" PRId64 ", up %s\n", text(s, "version"),
               number(s, "pid"), duration(seconds(s, "up_s"), d));
    if (*queue)
        buf_printf(b, "  queue     %s%s%s\n", queue, member(s, "endpoint") ? " at " : "",
                   text(s, "endpoint"));
    if (member(s, "last_receive"))
        buf_printf(b, "  received  last at %s\n", text(s, "last_receive"));
    if (member(s, "in_hand"))
        put_in_hand(b, member(s, "in_hand"));
    if (member(s, "workers"))
        put_workers(b, s, member(s, "workers"));
    put_targets(b, member(s, "targets"));
    if (member(s, "counts"))
        put_counts(b, member(s, "counts"));
}
