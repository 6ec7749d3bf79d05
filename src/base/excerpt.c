#include "base/excerpt.h"

#include "base/utf8.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { COLUMNS = 100, BEFORE_CARET = 60 };

struct span {
    const char *at;
    size_t len;
};

/* ---- lines ------------------------------------------------------------------------------- */

/* Takes the first line off `rest`. "\r\n" and "\n\r" are one line end, as in Lua's lexer. */
static struct span take_line(struct span *rest)
{
    struct span line = {rest->at, 0};
    while (line.len < rest->len && line.at[line.len] != '\n' && line.at[line.len] != '\r')
        line.len++;
    size_t end = line.len;
    if (end < rest->len)
        end++;
    if (end > line.len && end < rest->len && rest->at[end] != rest->at[line.len] &&
        (rest->at[end] == '\n' || rest->at[end] == '\r'))
        end++;
    rest->at += end;
    rest->len -= end;
    return line;
}

static size_t character(struct span s, size_t i)
{
    unsigned char c = (unsigned char)s.at[i];
    size_t n = c < 0x80 ? 1 : utf8_length(s.at + i, s.len - i);
    return n ? n : 1;
}

static bool is_printable(struct span s, size_t i, size_t n)
{
    unsigned char c = (unsigned char)s.at[i];
    if (n == 1)
        return c == '\t' || (c >= 0x20 && c < 0x7f);
    return !(c == 0xc2 && (unsigned char)s.at[i + 1] < 0xa0); /* C1: terminals obey them */
}

static size_t columns(struct span s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i += character(s, i))
        count++;
    return count;
}

/* The part of a line that is shown: it begins `skip` characters in. */
static void put_line(struct buf *out, struct span s, size_t skip)
{
    size_t column = 0;
    if (skip)
        buf_str(out, "…");
    for (size_t i = 0; i < s.len; column++) {
        size_t n = character(s, i);
        if (column == skip + COLUMNS) {
            buf_str(out, "…");
            return;
        }
        if (column >= skip && is_printable(s, i, n))
            buf_add(out, s.at + i, n);
        else if (column >= skip)
            buf_char(out, '?');
        i += n;
    }
}

static void put_caret(struct buf *out, struct span s, size_t skip, struct span word)
{
    size_t column = 0;
    if (skip)
        buf_char(out, ' ');
    for (size_t i = 0; s.at + i < word.at; column++) {
        if (column >= skip)
            buf_char(out, s.at[i] == '\t' ? '\t' : ' ');
        i += character(s, i);
    }
    buf_char(out, '^');
    size_t wide = columns(word);
    for (size_t i = 1; i < wide && column + i < skip + COLUMNS; i++)
        buf_char(out, '~');
}

/* ---- where the caret stands ---------------------------------------------------------------- */

static bool is_name(int c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* The word in the line, whole; `after`: only behind one of these characters. */
static const char *find_word(struct span line, struct span word, const char *after, bool last)
{
    const char *found = NULL;
    for (size_t i = 0; word.len && i + word.len <= line.len; i++) {
        const char *at = line.at + i;
        bool whole =
            !(i > 0 && is_name(at[-1]) && is_name(*word.at)) &&
            !(i + word.len < line.len && is_name(at[word.len]) && is_name(word.at[word.len - 1]));
        if (!whole || memcmp(at, word.at, word.len) != 0)
            continue;
        if (after && (i == 0 || !strchr(after, at[-1])))
            continue;
        found = at;
        if (!last)
            break;
    }
    return found;
}

/* Takes the next 'word' of a message: quoted as Lua quotes. */
static bool next_quoted(const char **message, struct span *word)
{
    const char *open = strchr(*message, '\'');
    const char *close = open ? strchr(open + 1, '\'') : NULL;
    if (close && close == open + 1 && close[1] == '\'') /* the character ' itself */
        close++;
    if (!close)
        return false;
    *word = (struct span){open + 1, (size_t)(close - open - 1)};
    *message = close + 1;
    return true;
}

/* The lexer stopped at what is named after "near": the last one of several in a line. */
static bool find_near(struct span line, const char *message, struct span *place)
{
    const char *near = strstr(message, " near ");
    if (near && strcmp(near, " near <eof>") == 0) {
        *place = (struct span){line.at + line.len, 1};
        return true;
    }
    if (!near || !next_quoted(&near, place))
        return false;
    place->at = find_word(line, *place, NULL, true);
    return place->at != NULL;
}

/* As what follows a dot or a colon, if there is such a place. */
static bool find_member(struct span line, struct span *word)
{
    const char *at = find_word(line, *word, ".:", false);
    word->at = at ? at : find_word(line, *word, NULL, false);
    return word->at != NULL;
}

static bool find_named(struct span line, const char *message, struct span *place)
{
    while (next_quoted(&message, place)) {
        if (find_member(line, place))
            return true;
    }
    return false;
}

static struct span place_in(struct span line, const char *message, const char *callee)
{
    struct span place;
    if (message && (find_near(line, message, &place) || find_named(line, message, &place)))
        return place;
    if (callee) {
        place = (struct span){callee, strlen(callee)};
        if (find_member(line, &place))
            return place;
    }
    size_t i = 0;
    while (i < line.len && (line.at[i] == ' ' || line.at[i] == '\t'))
        i++;
    return (struct span){line.at + i, 1};
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void put_numbered(struct buf *out, struct span s, int number, int width, bool failing,
                         size_t skip)
{
    buf_printf(out, "%s%c %*d | ", out->len ? "\n" : "", failing ? '>' : ' ', width, number);
    put_line(out, s, skip);
    while (out->len && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
}

void excerpt_add(struct buf *out, const char *text, size_t len, int line, const char *message,
                 const char *callee)
{
    struct span rest = {text, len}, lines[3] = {{0}};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* Lua's lexer does not see it either */
        rest = (struct span){text + 3, len - 3};
    for (int i = 1; i <= line + 1 && rest.len > 0; i++) {
        struct span s = take_line(&rest);
        if (i >= line - 1)
            lines[i - line + 1] = s;
    }
    if (line < 1 || !lines[1].at)
        return;
    int width = 0;
    for (int n = line + 1; n > 0; n /= 10)
        width++;
    struct span place = place_in(lines[1], message, callee);
    size_t column = columns((struct span){lines[1].at, (size_t)(place.at - lines[1].at)});
    size_t skip = columns(lines[1]) > COLUMNS && column > BEFORE_CARET ? column - BEFORE_CARET : 0;
    if (lines[0].at)
        put_numbered(out, lines[0], line - 1, width, false, 0);
    put_numbered(out, lines[1], line, width, true, skip);
    buf_printf(out, "\n  %*s | ", width, "");
    put_caret(out, lines[1], skip, place);
    if (lines[2].at)
        put_numbered(out, lines[2], line + 1, width, false, 0);
}
