#include "base/utf8.h"

#include <stdint.h>

static int continues(const uint8_t *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return 1;
}

size_t utf8_length(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return len >= 2 && continues(s, 1, 2) ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if (len < 3 || !continues(s, 1, 3))
            return 0;
        int overlong = s[0] == 0xe0 && s[1] < 0xa0;
        int surrogate = s[0] == 0xed && s[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (len < 4 || !continues(s, 1, 4))
            return 0;
        int overlong = s[0] == 0xf0 && s[1] < 0x90;
        int beyond = s[0] == 0xf4 && s[1] >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

size_t utf8_cut(const char *text, size_t len, size_t most)
{
    if (len <= most)
        return len;
    while (most > 0 && ((uint8_t)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}
