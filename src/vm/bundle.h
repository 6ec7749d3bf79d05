/* A generation of a handler: the bytes of its file and of every file that it required while it
 * loaded, and the configuration's `handler` block (contract, section 4, Reload).
 *
 * One thread fills it, by loading the handler for the first time: what is asked for is read from
 * the disk and kept. After bundle_seal, which must happen before others see it, it is only read, by
 * any thread, and the disk is not asked any more: a file that was not there is not there.
 *
 * A path that begins with BUNDLE_BUILT_IN is one below lua/ in the binary:
 * "=examples/register.lua". */
#ifndef VM_BUNDLE_H
#define VM_BUNDLE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUNDLE_BUILT_IN '='

struct bundle;

/* NULL: no memory. One reference. */
struct bundle *bundle_new(const char *handler_path, const char *handler_json, uint32_t generation);
struct bundle *bundle_ref(struct bundle *b);
void bundle_unref(struct bundle *b); /* NULL is fine */
void bundle_seal(struct bundle *b);

const char *bundle_path(const struct bundle *b); /* of the handler */
const char *bundle_json(const struct bundle *b);
uint32_t bundle_generation(const struct bundle *b); /* what people see; one that was refused gives
                                                       its number back */
uint32_t bundle_serial(const struct bundle *b);     /* no two of a process have the same; not 0 */

/* The bytes of a file, the bundle's. NULL: there is none, or, with words in `e` (EXIT_CONFIG), it
 * is there and cannot be had. */
const char *bundle_file(struct bundle *b, const char *path, size_t *len, struct err *e);

/* The same, without ever asking the disk. */
const char *bundle_loaded(const struct bundle *b, const char *path, size_t *len);

/* The path of the file `i`, from 0; NULL: there are no more. */
const char *bundle_nth(const struct bundle *b, int i);

#endif
