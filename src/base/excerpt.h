/* The line of a source text that failed, with one line before and one after it, and a caret under
 * the place. Any thread.
 *
 *     13 | function M.handle(msg)
 *   > 14 |   local name = msg.json.user.name
 *        |                         ^~~~
 *     15 | end
 *
 * Lines end as they do for Lua. Tabs stay tabs, in the line of the caret too; long lines are cut
 * around the caret; what a terminal would obey, and what is no UTF-8, becomes a question mark. */
#ifndef BASE_EXCERPT_H
#define BASE_EXCERPT_H

#include "base/buf.h"

/* Without a last line end. `message`: what Lua says of it, which most often names the word that the
 * caret stands under. `callee`: the function that was called there, the next best word. Both may be
 * NULL. With neither in the line the caret stands under its first word. Nothing is added if there
 * is no such line. */
void excerpt_add(struct buf *out, const char *text, size_t len, int line, const char *message,
                 const char *callee);

#endif
