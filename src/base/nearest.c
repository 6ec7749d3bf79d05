#include "base/nearest.h"

#include <stddef.h>
#include <string.h>

enum { LONGEST = 64 };

static int min3(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

int nearest_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    int rows[3][LONGEST + 1]; /* i - 2, i - 1 and i, in turn */
    if (la > LONGEST || lb > LONGEST)
        return INT_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        int *two = rows[(i + 1) % 3], *one = rows[(i - 1) % 3], *now = rows[i % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            now[j] = min3(one[j] + 1, now[j - 1] + 1, one[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two[j - 2] + 1 < now[j])
                now[j] = two[j - 2] + 1;
        }
    }
    return rows[la % 3][lb];
}

void nearest_offer(struct nearest *n, const char *candidate)
{
    size_t len = strlen(n->word);
    int distance = nearest_distance(n->word, candidate);
    if (distance > 1 && len >= 2 && strncmp(n->word, candidate, len) == 0)
        distance = 1;
    if (distance < n->distance) {
        n->distance = distance;
        n->best = candidate;
    }
}

const char *nearest_found(const struct nearest *n)
{
    int allowed = (int)(strlen(n->word) / 3);
    return n->distance <= (allowed > 1 ? allowed : 1) ? n->best : NULL;
}
