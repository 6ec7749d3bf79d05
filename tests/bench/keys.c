/* keys [COUNT [KEY_BYTES]]
 *
 * What remembering that many acked keys costs: bytes of memory and nanoseconds of CPU a key, and
 * the longest that one of them took because the memory grew. */
#include "base/clock.h"
#include "policy/dedupe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t resident_bytes(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    size_t bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 36;
    char *key = malloc(bytes + 32);
    struct dedupe *d = count > 0 ? dedupe_new(INT64_C(1000000000), count) : NULL;
    if (!key || !d)
        return fprintf(stderr, "keys [COUNT [KEY_BYTES]]\n"), 2;
    memset(key, 'k', bytes + 31);
    int64_t before = resident_bytes(), began_us = clock_thread_cpu_us(), worst_us = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t at_us = clock_thread_cpu_us();
        snprintf(key + bytes, 32, "%zu", i);
        if (dedupe_claim(d, key, i, (int64_t)i / 1000) != DEDUPE_NEW)
            return fprintf(stderr, "key %zu was not new\n", i), 1;
        dedupe_done(d, key, i, (int64_t)i / 1000);
        int64_t took_us = clock_thread_cpu_us() - at_us;
        worst_us = took_us > worst_us ? took_us : worst_us;
    }
    int64_t took_us = clock_thread_cpu_us() - began_us, held = resident_bytes() - before;
    if (dedupe_count(d) != count ||
        dedupe_claim(d, key, count - 1, (int64_t)count / 1000) != DEDUPE_DONE)
        return fprintf(stderr, "%zu of %zu are remembered\n", dedupe_count(d), count), 1;
    printf("%zu keys of %zu bytes: %.1f MiB, %.1f bytes a key, %.0f ns a key, longest %.1f ms\n",
           count, strlen(key), (double)held / (1 << 20), (double)held / (double)count,
           (double)took_us * 1000 / (double)count, (double)worst_us / 1000);
    dedupe_free(d);
    free(key);
    return 0;
}
