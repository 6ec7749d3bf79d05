/* "Did you mean": how far two words are apart. Any thread; allocates nothing. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <limits.h>

/* Edits between two words (insert, delete, replace, swap of neighbours; optimal string
 * alignment). INT_MAX if one has more than 64 bytes: nobody mistypes those. */
int nearest_distance(const char *a, const char *b);

/* Keeps the best candidate. Start with NEAREST(word), offer each, then ask: NULL when none is
 * so near that a person may have meant it (a third of the word, at least one edit; a candidate
 * that goes on where the word ends counts as one edit). */
struct nearest {
    const char *word;
    const char *best;
    int distance;
};
#define NEAREST(w) ((struct nearest){.word = (w), .distance = INT_MAX})
void nearest_offer(struct nearest *n, const char *candidate);
const char *nearest_found(const struct nearest *n);

#endif
